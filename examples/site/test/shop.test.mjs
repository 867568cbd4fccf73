import assert from "node:assert/strict";
import { test } from "node:test";
import { Visitor, startSite, state } from "./helpers.mjs";

async function signedIn(t) {
  const site = await startSite(t);
  const visitor = new Visitor(site);
  await visitor.login("ada", "lovelace-1815");
  return { site, visitor };
}

test("23 orders on five pages, each once", async (t) => {
  const { visitor } = await signedIn(t);
  const seen = [];
  let path = "/orders";
  while (path) {
    const html = await (await visitor.request(path)).text();
    seen.push(...[...html.matchAll(/data-id="(\d+)"/g)].map((match) => match[1]));
    path = /rel="next" href="([^"]+)"/.exec(html)?.[1];
  }
  assert.equal(seen.length, 23);
  assert.equal(new Set(seen).size, 23);
  const { orders, total } = await (await visitor.request("/api/orders?offset=20")).json();
  assert.deepEqual([orders.length, total], [3, 23]);
});

test("an order's page links to its invoices, which download", async (t) => {
  const { site, visitor } = await signedIn(t);
  const html = await (await visitor.request("/orders/1007")).text();
  assert.match(html, /href="\/orders\/1007\/invoice.pdf"/);
  const pdf = await visitor.request("/orders/1007/invoice.pdf");
  assert.equal(pdf.headers.get("content-disposition"), 'attachment; filename="invoice-1007.pdf"');
  const bytes = Buffer.from(await pdf.arrayBuffer());
  assert.equal(bytes.subarray(0, 5).toString(), "%PDF-");
  const startxref = Number(/startxref\n(\d+)/.exec(bytes.toString("latin1"))[1]);
  assert.equal(bytes.subarray(startxref, startxref + 4).toString(), "xref");
  const csv = await (await visitor.request("/orders/1007/invoice.csv")).text();
  assert.match(csv, /^order,date,item,quantity,total\r\n1007,/);
  assert.equal((await visitor.request("/orders/9999")).status, 404);
  const { ada } = (await state(site)).users;
  assert.equal(ada.invoices, 2);
  assert.equal(ada.hits["/orders/1007"], 1);
});

test("nothing of the shop is shown to a stranger", async (t) => {
  const site = await startSite(t);
  for (const path of ["/orders", "/orders/more", "/orders/1001", "/orders/1001/invoice.pdf", "/welcome"]) {
    const answer = await new Visitor(site).request(path);
    assert.equal(answer.status, 303, path);
    assert.equal(answer.headers.get("location"), "/login");
  }
  assert.equal((await new Visitor(site).request("/api/orders")).status, 401);
});
