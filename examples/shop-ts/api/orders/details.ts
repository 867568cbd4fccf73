// One order and its invoice, kept as a file.

import { saveFileToS3 } from "@intuned/browser";
import { RunError } from "@intuned/runtime";
import type { BrowserContext, Page } from "playwright";
import { shopAddress } from "../../helpers/address";

interface Params {
  id: string;
  baseUrl?: string;
}

export default async function details(params: Params, page: Page, _context: BrowserContext) {
  if (!params.id) throw new RunError("id is required", { retryable: false });
  const answer = await page.goto(`${await shopAddress(params)}/orders/${encodeURIComponent(params.id)}`);
  if (answer?.status() === 404) throw new RunError(`There is no order ${params.id}`, { retryable: false });

  const text = async (id: string) => (await page.locator(`#${id}`).textContent()) ?? "";
  const order = { id: params.id, date: await text("date"), item: await text("item"), total: await text("total") };
  const invoice = await saveFileToS3({ page, trigger: page.locator("#invoice") });
  return { ...order, quantity: Number(await text("quantity")), invoice };
}
