// Signs in. Whatever the browser holds when this returns (cookies and all three stores) is the session.

import type { BrowserContext, Page } from "playwright";
import { rememberAddress, shopAddress } from "../helpers/address";
import { totp } from "../helpers/totp";

interface Params {
  username: string;
  password: string;
  baseUrl?: string;
  totpSecret?: string;
}

export default async function create(params: Params, page: Page, _context: BrowserContext): Promise<void> {
  const address = await shopAddress(params);
  await rememberAddress(address);

  await page.goto(`${address}/login`);
  await page.fill("#username", params.username);
  await page.fill("#password", params.password);
  await page.click("#sign-in");
  let outcome = await nextOutcome(page);

  if (outcome === "otp" && params.totpSecret) {
    await page.fill("#otp", totp(params.totpSecret));
    await page.click("#verify");
    outcome = await nextOutcome(page);
  }
  if (outcome !== "in") throw new Error(`Could not sign in: ${outcome}`);
}

/** "in", "otp", or what the page says went wrong. */
async function nextOutcome(page: Page): Promise<string> {
  const sign = page.locator("#status[data-state=in], #status[data-state=out], #otp-form:visible, #error:not(:empty)").first();
  await sign.waitFor();
  const id = await sign.getAttribute("id");
  if (id === "otp-form") return "otp";
  if ((await sign.getAttribute("data-state")) === "in") return "in";
  return (await sign.textContent()) ?? "no reason given";
}
