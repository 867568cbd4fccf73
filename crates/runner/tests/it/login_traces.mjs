// Signs in on the example site in the ways asked for and records each with Playwright, as a runner would.
// Arguments: the folder of playwright-core, the browser, the site's server.mjs, the folder for the traces, the password,
// and the kinds of login.
// Prints one line of JSON: {"traces": [{"kind", "path"}], "secrets": [cookie and token values]}.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { once } from "node:events";
import path from "node:path";

const [playwrightFolder, executablePath, server, out, password, ...kinds] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwrightFolder);

const site = spawn(process.execPath, [server, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
const browser = await chromium.launch({ executablePath });
try {
  const [ready] = await once(site.stdout, "data");
  const { url } = JSON.parse(ready);
  const control = async (name, body) => {
    const headers = { "content-type": "application/json" };
    return (await fetch(`${url}/__control/${name}`, { method: "POST", headers, body: JSON.stringify(body) })).json();
  };
  await control("users", { username: "ada", password });

  const traces = [];
  for (const kind of kinds) {
    const httpCredentials = kind === "basic" ? { username: "ada", password } : undefined;
    const context = await browser.newContext({ httpCredentials });
    await context.tracing.start({ screenshots: true, snapshots: true, sources: true });
    const page = await context.newPage();
    await page.goto(kind === "form" ? `${url}/login` : `${url}/login/${kind}`);
    if (kind !== "basic") {
      await page.fill("#username", "ada");
      await page.getByLabel("Password").pressSequentially(password);
      await page.fill("#password", password);
      await page.evaluate((secret) => console.log("typed", secret), password);
      await page.click("#sign-in");
    }
    await page.getByText("Welcome,").waitFor();
    await page.evaluate(() => [localStorage.getItem("shop.token"), sessionStorage.getItem("shop.visit")]);
    await context.storageState();
    const file = path.join(out, `${kind}.zip`);
    await context.tracing.stop({ path: file });
    await context.close();
    traces.push({ kind, path: file });
  }

  const texts = (value) => (typeof value === "string" ? [value] : Object.values(value ?? {}).flatMap(texts));
  const secrets = texts(await control("secrets", { username: "ada" })).filter((text) => /^[\w-]{20,}$/.test(text));
  console.log(JSON.stringify({ traces, secrets }));
} finally {
  await browser.close();
  site.kill();
}
