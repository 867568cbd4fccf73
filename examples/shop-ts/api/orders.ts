// The orders, page after page. With `details`, asks for one `orders/details` run per order
// (carried out when this is part of a job).

import { extendPayload } from "@intuned/runtime";
import type { BrowserContext, Page } from "playwright";
import { shopAddress } from "../helpers/address";

interface Params {
  limit?: number;
  baseUrl?: string;
  details?: boolean;
}

interface Order {
  id: string;
  date: string;
  item: string;
  total: string;
}

export default async function orders(params: Params, page: Page, _context: BrowserContext) {
  const limit = params.limit ?? Infinity;
  const found: Order[] = [];
  await page.goto(`${await shopAddress(params)}/orders`);
  for (;;) {
    found.push(...(await ordersOnPage(page)));
    console.log(`${found.length} orders so far`);
    const next = page.locator("a[rel=next]");
    if (found.length >= limit || (await next.count()) === 0) break;
    const href = await next.getAttribute("href");
    await page.goto(new URL(href!, page.url()).href);
  }
  const wanted = found.slice(0, limit);
  if (params.details) {
    extendPayload(wanted.map(({ id }) => ({ api: "orders/details", parameters: { id } })));
  }
  return { count: wanted.length, orders: wanted };
}

function ordersOnPage(page: Page): Promise<Order[]> {
  return page.locator("li.order").evaluateAll((rows) =>
    rows.map((row) => ({
      id: (row as HTMLElement).dataset.id!,
      date: row.querySelector("time")!.textContent!,
      item: row.querySelector(".item")!.textContent!,
      total: row.querySelector(".total")!.textContent!,
    })),
  );
}
