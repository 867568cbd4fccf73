// The site's HTML. Every value that a user or a visitor can choose goes through `escape`.

import { PAGE_SIZE } from "./orders.mjs";

export function escape(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(text).replace(/[&<>"']/g, (letter) => entities[letter]);
}

function layout(title, body, { head = "", charset = "utf-8" } = {}) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="${charset}">
<title>${escape(title)}</title>
${head}
<style>body{font:16px/1.5 sans-serif;margin:2rem auto;max-width:44rem}label{display:block;margin:.5rem 0}.error{color:#a00}</style>
</head>
<body>
<header><a href="/">Shop</a> <a href="/account">Account</a> <a href="/orders">Orders</a></header>
<main>${body}</main>
</body>
</html>
`;
}

export function homePage() {
  return layout("Shop", `<h1>Shop</h1><p><a href="/login">Sign in</a></p>`);
}

const FIELDS = `
  <label>Username <input id="username" name="username" autocomplete="username"></label>
  <label>Password <input id="password" name="password" type="password" autocomplete="current-password"></label>
  <button id="sign-in" type="submit">Sign in</button>`;

/** The forms of /login and of its variants, which send the same fields in another way. */
const LOGIN_FORMS = {
  form: `<form id="login" method="post" action="/login">${FIELDS}</form>`,
  get: `<form id="login" method="get" action="/login/get/send">${FIELDS}</form>`,
  multipart: `<form id="login" method="post" action="/login/multipart" enctype="multipart/form-data">${FIELDS}</form>`,
  latin1: `<form id="login" method="post" action="/login/latin1" accept-charset="iso-8859-1">${FIELDS}</form>`,
  json: `<form id="login">${FIELDS}</form>
<script>
document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ username: username.value, password: password.value });
  const answer = await fetch("/login/json", { method: "POST", headers: { "content-type": "application/json" }, body });
  const { next, error } = await answer.json();
  if (next) location.href = next;
  else document.getElementById("error").textContent = error;
});
</script>`,
};

export const LOGIN_VARIANTS = Object.keys(LOGIN_FORMS);

export function loginPage({ variant = "form", error = "" } = {}) {
  const charset = variant === "latin1" ? "iso-8859-1" : "utf-8";
  const message = `<p id="error" class="error" role="alert">${escape(error)}</p>`;
  return layout("Sign in", `<h1>Sign in</h1>${message}${LOGIN_FORMS[variant]}`, { charset });
}

export function otpPage({ error = "" } = {}) {
  return layout("One more step", `<h1>One more step</h1>
<p id="error" class="error" role="alert">${escape(error)}</p>
<form id="otp-form" method="post" action="/login/otp">
  <label>Code <input id="otp" name="otp" inputmode="numeric" autocomplete="one-time-code"></label>
  <button id="verify" type="submit">Verify</button>
</form>`);
}

/** After a login: fetches what belongs into the three stores, writes it, and only then goes on to the account. */
export function welcomePage() {
  const head = `<script>
(async () => {
  const grants = await (await fetch("/api/grants", { method: "POST" })).json();
  localStorage.setItem("shop.token", grants.localToken);
  sessionStorage.setItem("shop.visit", grants.sessionToken);
  await new Promise((resolve, reject) => {
    const opening = indexedDB.open("shop", 3);
    opening.onupgradeneeded = () => {
      const store = opening.result.createObjectStore("devices", { keyPath: "id" });
      store.createIndex("byKind", "kind");
      opening.result.createObjectStore("log", { autoIncrement: true });
    };
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const writing = opening.result.transaction(["devices", "log"], "readwrite");
      writing.objectStore("devices").put({
        id: "this", kind: "browser", token: grants.deviceToken,
        since: new Date(grants.since), bytes: new Uint8Array([1, 2, 250]), seen: new Map([["logins", 1]]),
      });
      writing.objectStore("log").add({ event: "login", big: 9007199254740993n });
      writing.oncomplete = () => { opening.result.close(); resolve(); };
      writing.onerror = () => reject(writing.error);
    };
  });
  location.replace("/account");
})();
</script>`;
  return layout("Signing in", "<p>Signing you in…</p>", { head });
}

/**
 * Reads all three stores in the document's first script, before anything else of the page exists, because that is
 * when a restored session must already be there. Opening a database that does not exist is undone, not left behind.
 */
export function accountPage() {
  const head = `<script>
const localToken = localStorage.getItem("shop.token") ?? "";
const sessionToken = sessionStorage.getItem("shop.visit") ?? "";
const deviceToken = new Promise((resolve) => {
  const opening = indexedDB.open("shop");
  opening.onupgradeneeded = () => opening.transaction.abort();
  opening.onerror = (event) => { event.preventDefault(); resolve(""); };
  opening.onsuccess = () => {
    const database = opening.result;
    try {
      const reading = database.transaction("devices").objectStore("devices").get("this");
      reading.onsuccess = () => {
        const device = reading.result;
        const whole = device && device.since instanceof Date && device.bytes instanceof Uint8Array
          && device.bytes[2] === 250 && device.seen instanceof Map;
        database.close();
        resolve(whole ? device.token : "");
      };
      reading.onerror = () => { database.close(); resolve(""); };
    } catch { database.close(); resolve(""); }
  };
});
addEventListener("DOMContentLoaded", async () => {
  const headers = { "x-local-token": localToken, "x-session-token": sessionToken, "x-device-token": await deviceToken };
  const answer = await fetch("/api/me", { headers });
  const me = await answer.json();
  const status = document.getElementById("status");
  status.textContent = answer.ok ? "Welcome, " + me.name : "Signed out: " + me.missing.join(", ");
  status.dataset.state = answer.ok ? "in" : "out";
});
</script>`;
  return layout("Account", `<h1>Account</h1><p id="status" data-state="unknown">…</p>`, { head });
}

function orderRow(order) {
  return `<li class="order" data-id="${order.id}"><a href="/orders/${order.id}">Order ${order.id}</a>
<time>${order.date}</time> <span class="item">${escape(order.item)}</span> <span class="total">${order.total}</span></li>`;
}

export function ordersPage(orders, page) {
  const last = Math.max(1, Math.ceil(orders.length / PAGE_SIZE));
  const shown = orders.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
  const back = page > 1 ? `<a rel="prev" href="/orders?page=${page - 1}">Previous</a>` : "";
  const next = page < last ? `<a rel="next" href="/orders?page=${page + 1}">Next</a>` : "";
  return layout("Orders", `<h1>Orders</h1>
<ul id="orders">${shown.map(orderRow).join("\n")}</ul>
<nav>${back} <span id="page">Page ${page} of ${last}</span> ${next}</nav>`);
}

/** Rows that arrive by script: `more` by a button that vanishes at the end, `scroll` when the end comes into view. */
export function growingOrdersPage(kind) {
  const control = kind === "more"
    ? `<button id="load-more">Load more</button>`
    : `<div id="sentinel" style="height:1px"></div>`;
  const wiring = kind === "more"
    ? `document.getElementById("load-more").addEventListener("click", grow); grow();`
    : `new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) grow(); }).observe(document.getElementById("sentinel"));`;
  const spacing = kind === "scroll" ? "<style>.order{min-height:260px}</style>" : "";
  return layout("Orders", `<h1>Orders</h1>${spacing}<ul id="orders"></ul>${control}
<script>
let busy = false;
async function grow() {
  if (busy) return;
  busy = true;
  const list = document.getElementById("orders");
  const answer = await fetch("/api/orders?offset=" + list.children.length + "&limit=${PAGE_SIZE}");
  const { orders, total } = await answer.json();
  for (const order of orders) {
    const row = document.createElement("li");
    row.className = "order";
    row.dataset.id = order.id;
    row.textContent = order.id + " " + order.item + " " + order.total;
    list.append(row);
  }
  if (list.children.length >= total) document.getElementById("load-more")?.remove();
  busy = false;
}
${wiring}
</script>`);
}

export function orderPage(order) {
  const row = (label, id, value) => `<dt>${label}</dt><dd id="${id}">${escape(value)}</dd>`;
  return layout(`Order ${order.id}`, `<h1>Order ${order.id}</h1>
<dl>${row("Date", "date", order.date)}${row("Item", "item", order.item)}${row("Quantity", "quantity", order.quantity)}${row("Total", "total", order.total)}</dl>
<p><a id="invoice" href="/orders/${order.id}/invoice.pdf">Invoice (PDF)</a>
<a id="invoice-csv" href="/orders/${order.id}/invoice.csv">Invoice (CSV)</a></p>`);
}

export function plainPage(title, text) {
  return layout(title, `<h1>${escape(title)}</h1><p>${escape(text)}</p>`);
}
