// The cases of runners/cases against the Node package, the ones with pages in the real headless shell. The Python
// package runs the same tables.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium, errors } from "playwright-core";
import { Scope, enter, leave } from "../src/scope.mjs";

const require = createRequire(import.meta.url);
const shim = (name) => require(`../shims/intuned-browser/${name}.cjs`);
const browser = shim("index");
const CASES = fileURLToPath(new URL("../../cases/", import.meta.url));
const table = async (name) => JSON.parse(await readFile(path.join(CASES, `${name}.json`), "utf8"));
const PAGES_AT_ONCE = 6;
const S3_KEYS = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };

const KINDS = { Error, RangeError, TypeError, TimeoutError: errors.TimeoutError };

function refusedAs({ node, contains = "" }) {
  return (error) => {
    assert.ok(error instanceof KINDS[node], `${error.name} is no ${node}: ${error.message}`);
    assert.ok(error.message.includes(contains), error.message);
    return true;
  };
}

const today = (pattern) => {
  const now = new Date();
  const two = (number) => String(number).padStart(2, "0");
  return pattern.replace("YYYY", now.getFullYear()).replace("MM", two(now.getMonth() + 1)).replace("DD", two(now.getDate()));
};

/** A text that a table writes as `{repeat, times, then, closed}`. */
function expanded(key, value) {
  if (typeof value?.repeat !== "string") return value;
  const { repeat, times, then, closed = "" } = value;
  return repeat.repeat(times) + then + closed.repeat(times);
}

for (const name of ["filter-empty-values", "sanitize-html"]) {
  const { cases, function: helper } = JSON.parse(JSON.stringify(await table(name)), expanded);
  describe(helper, () => {
    for (const { name: what, input, expected } of cases) {
      test(what, () => {
        const before = structuredClone(input);
        assert.deepEqual(browser[helper](input), expected);
        assert.deepEqual(input, before);
      });
    }
  });
}

describe("filterEmptyValues, in Node alone", () => {
  test("undefined goes, dates and other objects stay as they are", () => {
    const date = new Date(0);
    class Thing {}
    const thing = new Thing();
    const result = browser.filterEmptyValues({ data: { a: undefined, date, thing } });
    assert.deepEqual(Object.keys(result), ["date", "thing"]);
    assert.equal(result.date, date);
    assert.equal(result.thing, thing);
  });
});

const dates = await table("process-date");
describe("processDate", () => {
  for (const { name, input, expected, expectedFromToday, error } of dates.cases) {
    test(name, () => {
      if (error) return assert.throws(() => browser.processDate(input), refusedAs(error));
      // Today may change between two looks at the clock.
      const possible = expectedFromToday ? [today(expectedFromToday)] : [expected];
      const found = browser.processDate(input);
      if (expectedFromToday) possible.push(today(expectedFromToday));
      assert.ok(possible.includes(found && found.toISOString().slice(0, 10)), String(found));
      if (found) assert.equal(found.toISOString().slice(10), "T00:00:00.000Z");
      return undefined;
    });
  }
});

const urls = await table("resolve-url");
describe("resolveUrl", () => {
  for (const { name, input, expected, error } of urls.cases) {
    test(name, async () => {
      if (error) await assert.rejects(browser.resolveUrl(input), refusedAs(error));
      else assert.equal(await browser.resolveUrl(input), expected);
    });
  }
});

const validation = await table("validate-data");
describe("validateDataUsingSchema", () => {
  for (const { name, only, data, schema, problems, paths, fits, foreignError } of validation.cases) {
    if (only && only !== "node") continue;
    test(name, () => {
      const before = structuredClone({ data, schema });
      const validate = () => browser.validateDataUsingSchema({ data, schema });
      if (foreignError) {
        assert.throws(validate, (error) => !(error instanceof browser.ValidationError));
      } else if (problems || fits === false) {
        assert.throws(validate, (error) => {
          assert.ok(error instanceof browser.ValidationError);
          assert.deepEqual(error.data, data);
          const lines = error.message.split("\n").slice(1);
          if (problems) assert.deepEqual(lines.map((line) => line.split(":")[0]).sort(), paths);
          return true;
        });
      } else {
        validate();
      }
      assert.deepEqual({ data, schema }, before);
    });
  }
});

const signatures = await table("sigv4");
describe("signatures of S3 requests", () => {
  const { presign, signHeaders } = shim("sigv4");
  const common = { region: signatures.region, credentials: signatures.credentials, now: new Date(signatures.now) };
  for (const { name, signature, ...input } of signatures.presigned) {
    test(name, () => assert.ok(presign({ method: "GET", ...input, ...common }).endsWith(`X-Amz-Signature=${signature}`)));
  }
  for (const { name, signature, ...input } of signatures.headers) {
    test(name, () => assert.ok(signHeaders({ ...input, ...common }).authorization.endsWith(`Signature=${signature}`)));
  }
  for (const { name, input, expected } of signatures.objectUrls) {
    test(name, () => assert.equal(shim("s3").objectUrl(input), expected));
  }
  test("names are cleaned", () => {
    for (const [name, cleaned] of signatures.cleanNames) assert.equal(shim("uploads").cleanName(name), cleaned);
  });
});

describe("the AI helpers", () => {
  test("load in both module systems and say that there is no gateway", async () => {
    const modules = [shim("ai"), await import("../shims/intuned-browser/ai.mjs")];
    for (const ai of modules) {
      await assert.rejects(ai.extractStructuredData({}), /extractStructuredData is not available.*no AI gateway/);
      await assert.rejects(ai.isPageLoaded({}), /isPageLoaded is not available.*no AI gateway/);
    }
  });
});

test("ES modules get the same functions", async () => {
  assert.deepEqual({ ...(await import("../shims/intuned-browser/index.mjs")) }, browser);
});

// ---- With a browser

let site;
let siteProcess;
let chrome;
let folder;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "helpers-test-"));
  siteProcess = spawn(process.execPath, [path.join(CASES, "site.mjs")], { stdio: ["pipe", "pipe", "inherit"] });
  [site] = await once(createInterface(siteProcess.stdout), "line");
  chrome = await chromium.launch({ executablePath: "/usr/bin/chromium-headless-shell", chromiumSandbox: process.getuid() !== 0 });
});

after(async () => {
  await chrome?.close();
  siteProcess?.stdin.end();
  await rm(folder, { recursive: true, force: true });
});

async function onPage(open, work) {
  const context = await chrome.newContext();
  try {
    const page = await context.newPage();
    if (open) await page.goto(site + open);
    return await work(page);
  } finally {
    await context.close();
  }
}

const markdown = await table("markdown");
describe("extractMarkdown", { concurrency: PAGES_AT_ONCE }, () => {
  for (const { name, body, on, expected, error } of markdown.cases) {
    test(name, () =>
      onPage(null, async (page) => {
        await page.setContent(`<!doctype html><title>t</title><body>${body}</body>`);
        const content = await page.content();
        const result = browser.extractMarkdown({ source: on ? page.locator(on) : page });
        if (error) await assert.rejects(result, refusedAs(error));
        else assert.equal(await result, expected);
        assert.equal(await page.content(), content);
      }));
  }
});

/** The helper's own options from a case's language-neutral ones. */
function optionsOf(page, helper, { on, input }, progress) {
  const source = on ? page.locator(on) : page;
  const { evaluate, button, container, trigger, page: isPageGiven, url, ...rest } = input;
  switch (helper) {
    case "withNetworkSettledWait":
      return [(given) => given.evaluate(evaluate), { page, ...rest }];
    case "waitForDomSettled":
      return [{ source, ...rest }];
    case "scrollToLoadContent":
      return [{ source, onScrollProgress: progress, ...rest }];
    case "clickUntilExhausted":
      return [{
        page, buttonLocator: page.locator(button), heartbeat: progress,
        ...(container && { containerLocator: page.locator(container) }), ...rest,
      }];
    case "resolveUrl":
      return [{ url: url.locator ? page.locator(url.locator) : url, ...(isPageGiven && { page }), ...rest }];
    case "downloadFile":
      return [{ page, trigger: triggerOf(page, trigger), ...rest }];
    default:
      return [{ page, url, ...rest }];
  }
}

function triggerOf(page, trigger) {
  if (trigger.locator) return page.locator(trigger.locator);
  if (trigger.click) return (given) => given.locator(trigger.click).click();
  if (trigger.throws) {
    return () => {
      throw new Error(trigger.throws);
    };
  }
  return trigger;
}

/** What a case says about a result. */
async function comparable(result, expected) {
  if (result === undefined) return null;
  if (typeof result?.suggestedFilename !== "function") return result;
  const stored = await readFile(await result.path(), "utf8");
  return { name: result.suggestedFilename(), ...(expected.text !== undefined && { text: stored }) };
}

const pages = await table("pages");
describe("on pages", { concurrency: PAGES_AT_ONCE }, () => {
  for (const [number, it] of pages.cases.entries()) {
    test(it.name, () =>
      onPage(it.open, async (page) => {
        const filled = JSON.parse(JSON.stringify(it).replaceAll("SITE", site).replaceAll("CASE", `node${number}`));
        let calls = 0;
        const listeners = page.listenerCount("request");
        const call = async () => browser[it.helper](...optionsOf(page, it.helper, filled, () => { calls += 1; }));
        if (it.error) await assert.rejects(call, refusedAs(it.error));
        else {
          const result = await comparable(await call(), filled.expected);
          if ("expected" in it) assert.deepEqual(result, filled.expected);
        }
        if (it.then) assert.equal(await page.evaluate(it.then[0]), it.then[1]);
        if ("calls" in it) assert.equal(calls, it.calls);
        assert.equal(page.listenerCount("request"), listeners);
        assert.equal(page.context().pages().length, 1);
      }));
  }
});

describe("goToUrl, in Node alone", () => {
  test("takes page and url one after the other too", () =>
    onPage(null, async (page) => {
      await browser.goToUrl(page, `${site}/plain`);
      assert.equal(page.url(), `${site}/plain`);
    }));
});

// ---- Files

async function objects() {
  return (await fetch(`${site}/objects`)).json();
}

describe("uploads to S3", () => {
  const configs = () => ({ bucket: "files", region: "eu-central-1", endpoint: site, ...S3_KEYS });

  test("bytes arrive, signed, under a cleaned name", async () => {
    const attachment = await browser.uploadFileToS3({
      file: Buffer.from("hello"), configs: configs(), fileNameOverride: "reports/a b.txt", contentType: "text/plain",
    });
    assert.match(attachment.key, /^[0-9a-f-]{36}\/reports\/a_b\.txt$/);
    assert.deepEqual((await objects())[`/files/${attachment.key}`], { contentType: "text/plain", text: "hello" });
    assert.deepEqual(JSON.parse(JSON.stringify({ file: attachment })), {
      file: {
        fileName: attachment.key, key: attachment.key, suggestedFileName: "", fileType: "document",
        bucket: "files", region: "eu-central-1", endpoint: site,
      },
    });
    assert.equal(attachment.getFilePath(), attachment.key);
    assert.throws(() => attachment.getS3Key(), /endpoint/);
  });

  test("a download arrives and its temporary file is gone", () =>
    onPage("/plain", async (page) => {
      const download = await browser.downloadFile({ page, trigger: `${site}/report.csv` });
      const attachment = await browser.uploadFileToS3({ file: download, configs: configs() });
      assert.match(attachment.key, /^[0-9a-f-]{36}\/report_1_\.csv$/);
      assert.equal(attachment.suggestedFileName, "report (1).csv");
      assert.deepEqual((await objects())[`/files/${attachment.key}`], { contentType: null, text: "a,b\n1,2\n" });
      await assert.rejects(async () => readFile(await download.path()));
    }));

  test("a wrong secret is S3's refusal, and the secret is not in it", async () => {
    const wrong = { ...configs(), secretAccessKey: "not-the-secret" };
    await assert.rejects(browser.uploadFileToS3({ file: Buffer.from("x"), configs: wrong }), (error) => {
      assert.match(error.message, /status 403.*SignatureDoesNotMatch/);
      assert.ok(!error.message.includes("not-the-secret"));
      return true;
    });
  });

  test("without credentials nothing is sent", async () => {
    const none = { bucket: "files", region: "eu-central-1", endpoint: site };
    await assert.rejects(browser.uploadFileToS3({ file: Buffer.from("x"), configs: none }), /no S3 credentials/);
  });

  test("the environment fills what configs leave out, and signs urls", async () => {
    const given = {
      AWS_BUCKET: "from-env", INTUNED_S3_REGION: "eu-central-1", AWS_ENDPOINT_URL: site,
      AWS_ACCESS_KEY_ID: S3_KEYS.accessKeyId, INTUNED_S3_SECRET_ACCESS_KEY: S3_KEYS.secretAccessKey,
    };
    Object.assign(process.env, given);
    try {
      const attachment = await browser.uploadFileToS3({ file: new Uint8Array([65]), configs: { bucket: "" } });
      assert.equal((await objects())[`/from-env/${attachment.key}`].text, "A");
      assert.match(await attachment.getSignedUrl(60), /\/from-env\/.*X-Amz-Expires=60&.*X-Amz-Signature=[0-9a-f]{64}$/);
    } finally {
      for (const name of Object.keys(given)) delete process.env[name];
    }
  });

  test("text is no file", async () => {
    await assert.rejects(browser.uploadFileToS3({ file: "a.txt" }), /can be uploaded/);
  });

  test("the url at S3 itself", () => {
    const { StoredAttachment } = shim("attachment");
    const attachment = new StoredAttachment({ fileName: "u/a b", suggestedFileName: "", bucket: "b", region: "r" });
    assert.equal(attachment.getS3Key(), "https://b.s3.r.amazonaws.com/u/a b");
  });
});

describe("uploads to the platform's own store", () => {
  /** Run with a worker that takes files. */
  async function inRun(work) {
    const asked = [];
    let extended = 0;
    const ask = async (method, params) => {
      asked.push({ method, ...params, text: await readFile(params.path, "utf8") });
      return { id: "f1", readUrl: "http://platform.example/files/f1" };
    };
    process.env.KEYWRIGHT_SLOT_DIR = folder;
    const scope = new Scope({ context: {}, calls: { ask }, sendExtend: () => { extended += 1; }, slotDir: folder });
    try {
      await enter(scope, work);
    } finally {
      leave(scope);
      delete process.env.KEYWRIGHT_SLOT_DIR;
    }
    return { asked, extended };
  }

  test("a saved download keeps its name, and asks for the full time again", () =>
    onPage("/dir/sub/links", async (page) => {
      let attachment;
      const { asked, extended } = await inRun(async () => {
        attachment = await browser.saveFileToS3({ page, trigger: page.locator("a >> text=report"), contentType: "text/csv" });
      });
      assert.equal(asked.length, 1);
      const [{ method, path: stored, fileName, contentType, text }] = asked;
      assert.deepEqual({ method, fileName, contentType, text }, {
        method: "file.store", fileName: "report (1).csv", contentType: "text/csv", text: "a,b\n1,2\n",
      });
      assert.ok(stored.startsWith(folder + path.sep));
      assert.deepEqual(await readdir(folder), []);
      assert.equal(extended, 1);
      assert.deepEqual(attachment.toJSON(), {
        fileName: "report (1).csv", key: "report (1).csv", suggestedFileName: "report (1).csv", fileType: "document",
        signedUrl: "http://platform.example/files/f1",
      });
      assert.equal(await attachment.getSignedUrl(), "http://platform.example/files/f1");
      assert.throws(() => attachment.getS3Key(), /platform's own store/);
    }));

  test("outside of a run there is no such store", async () => {
    await assert.rejects(browser.uploadFileToS3({ file: Buffer.from("x") }), /outside a run/);
  });
});

describe("authoring mode", () => {
  test("nothing is uploaded and downloads are cancelled", () =>
    onPage("/plain", async (page) => {
      process.env.MODE = "generate_code";
      try {
        const attachment = await browser.saveFileToS3({ page, trigger: `${site}/report.csv` });
        assert.equal(attachment.bucket, "testing_bucket");
        assert.match(attachment.fileName, /^[0-9a-f-]{36}\/report \(1\)\.csv$/);
        assert.notEqual(attachment.fileName, attachment.key);
        assert.equal(await attachment.getSignedUrl(), "https://authoring.invalid/file");
        const bytes = await browser.uploadFileToS3({ file: Buffer.from("x") });
        assert.equal(bytes.key, bytes.suggestedFileName);
      } finally {
        delete process.env.MODE;
      }
    }));
});
