// What a good Playwright script does without Keywright: the yardstick of the benchmarks.
//
//   node bare.mjs SITE once     one login in a fresh process, then exit
//   node bare.mjs SITE serve    stays warm; for each line on stdin ("login-and-check", "check-and-orders") does it and
//                               prints {"ms": …}

import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../../runners/node/package.json", import.meta.url))("playwright-core");
const [site, mode] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium-headless-shell",
  chromiumSandbox: process.getuid() !== 0,
});

async function login() {
  const context = await browser.newContext({ viewport: { width: 1024, height: 800 } });
  const page = await context.newPage();
  await page.goto(`${site}/login`);
  await page.fill("#username", "ada");
  await page.fill("#password", "lovelace-1815");
  await page.click("#sign-in");
  await page.locator("#status[data-state=in]").waitFor();
  const sessionStorage = await page.evaluate(() => Object.entries(globalThis.sessionStorage));
  const state = await context.storageState({ indexedDB: true });
  await context.close();
  return { state, sessionStorage };
}

async function restored({ state, sessionStorage }) {
  const context = await browser.newContext({ viewport: { width: 1024, height: 800 }, storageState: state });
  await context.addInitScript((entries) => {
    for (const [name, value] of entries) globalThis.sessionStorage.setItem(name, value);
  }, sessionStorage);
  return { context, page: await context.newPage() };
}

async function check(saved) {
  const { context, page } = await restored(saved);
  await page.goto(`${site}/account`);
  await page.locator("#status[data-state=in]").waitFor();
  await context.close();
}

async function orders(saved) {
  const { context, page } = await restored(saved);
  await page.goto(`${site}/orders`);
  await page.locator("li.order").evaluateAll((rows) => rows.map((row) => row.textContent));
  await context.close();
}

if (mode === "once") {
  await login();
  await browser.close();
} else {
  let saved;
  const tasks = {
    "login-and-check": async () => check((saved = await login())),
    "check-and-orders": async () => {
      await check(saved);
      await orders(saved);
    },
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const started = performance.now();
    await tasks[line]();
    console.log(JSON.stringify({ ms: performance.now() - started }));
  }
  await browser.close();
}
