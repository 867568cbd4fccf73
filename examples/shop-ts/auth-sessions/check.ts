// Does the session still hold? The account page says so once its script has asked the shop.

import type { BrowserContext, Page } from "playwright";
import { shopAddress } from "../helpers/address";

export default async function check(page: Page, _context: BrowserContext): Promise<boolean> {
  await page.goto(`${await shopAddress()}/account`);
  const status = page.locator("#status[data-state=in], #status[data-state=out]");
  await status.waitFor();
  return (await status.getAttribute("data-state")) === "in";
}
