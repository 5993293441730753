// What every browser test stands on: the built site under a sub-path, on a name that is not localhost (so no
// secure context), in Chromium; and a page on which nothing may go wrong unseen. How to use it: README.md.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";
import { chromium } from "playwright-core";
import { serve } from "../tools/static-server.mjs";

const top = join(import.meta.dirname, "..");
export const HOST = "lab.test";
export const PREFIX = "/some/where/";

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", `--host-resolver-rules=MAP ${HOST} 127.0.0.1`,
];

let shared; // one server and one browser for a test file
function start() {
  shared ??= (async () => {
    const server = await serve({
      [PREFIX]: process.env.DIST ?? join(top, "dist"),
      [`${PREFIX}fixtures/`]: join(top, "e2e/fixtures"),
      [`${PREFIX}fixtures/vendor/`]: join(top, "public/vendor"),
    });
    const browser = await chromium.launch({ executablePath: process.env.CHROME || "/usr/bin/chromium", args: flags });
    return { server, browser, base: `http://${HOST}:${server.port}${PREFIX}` };
  })();
  return shared;
}
after(async () => {
  if (!shared) return;
  const { server, browser } = await shared;
  await browser.close();
  await server.close();
});

/** Notes all that goes wrong on the page in `page.problems`; `page.allow(pattern)` lets an expected one pass. */
function watch(page) {
  const problems = [];
  const allowed = [];
  page.problems = problems;
  page.allow = (pattern) => allowed.push(pattern);
  page.unexpected = () => problems.filter((text) => !allowed.some((pattern) => pattern.test(text)));
  page.on("console", (message) => message.type() === "error" && problems.push(`console: ${message.text()} (${message.location().url})`));
  page.on("pageerror", (error) => problems.push(`page error: ${error.stack ?? error}`));
  page.on("crash", () => problems.push("the page crashed"));
  page.on("response", (response) => response.status() >= 400 && problems.push(`request: ${response.status()} ${response.url()}`));
  page.on("requestfailed", (request) => {
    const reason = request.failure()?.errorText;
    if (reason !== "net::ERR_ABORTED") problems.push(`request: ${reason} ${request.url()}`); // aborted: the page moved on
  });
}

/**
 * Opens a page of the site in a fresh browser profile.
 *
 *   lang           "en" or "zh": opens `<lang>/<path>`, and the browser speaks it; without it `path` is opened as it is
 *   width, height  of the window; under 500 a phone with a touch screen
 *   dark, reducedMotion, moreContrast   what the system asks for
 *   storage        {key: value} in localStorage before the first script
 */
export async function openPage(path, { lang, width = 1440, height = 900, dark = false, reducedMotion = false, moreContrast = false, storage, context: options } = {}) {
  const { browser, base } = await start();
  const phone = width < 500;
  const context = await browser.newContext({
    locale: lang === "zh" ? "zh-CN" : "en-GB",
    viewport: { width, height },
    isMobile: phone, hasTouch: phone, deviceScaleFactor: phone ? 2 : 1,
    colorScheme: dark ? "dark" : "light",
    reducedMotion: reducedMotion ? "reduce" : "no-preference",
    contrast: moreContrast ? "more" : "no-preference",
    ...options,
  });
  await context.addInitScript((entries) => {
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`securitypolicyviolation: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ${event.sample}`));
    for (const [key, value] of entries) if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
  }, Object.entries(storage ?? {}));
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  watch(page);
  page.base = base;
  await page.goto(base + (lang ? `${lang}/` : "") + path);
  return page;
}

const pictures = join(top, "target/screenshots");
/** A picture in target/screenshots/NAME.png. */
export async function screenshot(page, name, options = {}) {
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), ...options });
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Fails on anything that axe finds on the page (or below `selector`), shadow roots included. */
export async function axe(page, { selector, disable = [] } = {}) {
  await page.evaluate(axeSource); // by the debugger, which no policy stops
  const found = await page.evaluate(async ([where, off]) => {
    const { violations } = await globalThis.axe.run(where ?? document, { rules: Object.fromEntries(off.map((rule) => [rule, { enabled: false }])) });
    return violations.map(({ id, impact, help, nodes }) =>
      `${id} (${impact}): ${help}\n${nodes.slice(0, 5).map((node) => `    ${node.target.flat().join(" >> ")}  ${node.failureSummary.replaceAll("\n", " ")}`).join("\n")}`);
  }, [selector, disable]);
  assert.equal(found.length, 0, `axe found:\n${found.join("\n")}`);
}

/**
 * A test that gets `open`, which is openPage for pages that are closed at the end. It fails on any problem that a page
 * noted, and leaves a picture of each open page when it fails.
 */
export function browserTest(name, run, { timeout = 90_000 } = {}) {
  test(name, { timeout }, async (t) => {
    const pages = [];
    const open = async (path, options) => {
      const page = await openPage(path, options);
      pages.push(page);
      return page;
    };
    try {
      await run({ open, t });
      const problems = pages.flatMap((page) => page.unexpected());
      assert.deepEqual(problems, [], "nothing may go wrong on the page");
    } catch (error) {
      for (const [i, page] of pages.entries()) {
        await screenshot(page, `failed-${name.replace(/[^\p{L}\p{N}]+/gu, "-")}-${i}`).catch(() => {});
        for (const problem of page.unexpected()) t.diagnostic(problem);
      }
      throw error;
    } finally {
      for (const page of pages) await page.context().close();
    }
  });
}
