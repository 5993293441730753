// Time belongs to the learner, and nothing that goes wrong takes it from them: dots, scrubbing, hidden tabs, engines that die.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { browserTest, screenshot } from "./harness.mjs";
import { grows, running, speed, tally, task, ticked, typeYaml, words } from "./learner.mjs";

const lesson = (name) => readFileSync(join(import.meta.dirname, "../lessons/basics/first-service", name), "utf8");
const service = lesson("solution-service.yaml");
const broken = lesson("solution-broken.yaml");

/** Seconds on the clock. */
const clock = async (page) => Number(await page.locator(".clock b").first().textContent());
const line = (page, lang = "en") => page.getByRole("slider", { name: words(lang)("time-line") });

/** Painted pixels of the dots' canvas, in all and those of failures' colour. */
const painted = (page) => page.evaluate(() => {
  const canvas = document.querySelector("canvas.stage-dots");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--fail").trim();
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  let all = 0, failing = 0, sum = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] < 128) continue;
    all += 1;
    sum = (sum * 31 + i) >>> 0;
    if (Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 24) failing += 1;
  }
  return { all, failing, sum };
});

/** Waits until a measure of the canvas holds. */
async function until(page, holds, what) {
  const end = Date.now() + 20_000;
  for (;;) {
    const seen = await painted(page);
    if (holds(seen)) return seen;
    assert.ok(Date.now() < end, `${what}: ${JSON.stringify(seen)}`);
    await page.waitForTimeout(100);
  }
}

browserTest("requests are dots that move, failures are seen, and a paused stage stands still", async ({ open }) => {
  const page = await open("first-service/", { lang: "en" });
  const t = words("en");
  await running(page, "en");
  await typeYaml(page, "en", service);
  await page.keyboard.press("ControlOrMeta+s");
  await grows(page, "en", "stage-answered", 20);
  const moving = await until(page, (c) => c.all > 300, "dots on their way");
  await until(page, (c) => c.sum !== moving.sum, "they move");
  await typeYaml(page, "en", broken);
  await page.keyboard.press("ControlOrMeta+s");
  await grows(page, "en", "stage-refused", 10);
  await until(page, (c) => c.failing > 20, "refusals in the colour of failures");
  await page.getByRole("button", { name: t("time-pause") }).first().click();
  await page.waitForTimeout(400);
  const still = await painted(page);
  await page.waitForTimeout(400);
  assert.deepEqual(await painted(page), still, "a paused picture doesn't change");
});

browserTest("less motion: no dot is drawn, numbers stand on the lines instead", async ({ open }) => {
  const page = await open("first-service/", { lang: "en", reducedMotion: true });
  await running(page, "en");
  await typeYaml(page, "en", service);
  await page.keyboard.press("ControlOrMeta+s");
  await grows(page, "en", "stage-answered", 40);
  for (let i = 0; i < 10; i += 1) {
    assert.equal((await painted(page)).all, 0);
    await page.waitForTimeout(50);
  }
  const rates = await page.locator(".stage .edge-n").allTextContents();
  assert.ok(rates.some((rate) => Number(rate) > 1), `rates on the lines: ${rates}`);
});

browserTest("the time line goes back by pointer, on from there, and beyond what was seen", async ({ open }) => {
  const page = await open("first-service/", { lang: "en" });
  const t = words("en");
  await running(page, "en");
  await typeYaml(page, "en", service);
  await page.keyboard.press("ControlOrMeta+s");
  await speed(page, "en", "ArrowRight", 2);
  await page.waitForFunction(() => Number(document.querySelector(".clock b")?.textContent) > 12);
  await page.getByRole("button", { name: t("time-pause") }).first().click();
  const box = await line(page).boundingBox();
  const at = async (part) => {
    await page.mouse.move(box.x + box.width * part, box.y + box.height / 2, { steps: 4 });
    await page.waitForTimeout(150);
  };
  const span = Number(await line(page).getAttribute("aria-valuemax"));
  const now = await clock(page);
  const answered = await tally(page, "en", "stage-answered");
  await at(now / span);
  await page.mouse.down();
  for (let part = now / span; part > 0.15; part -= 0.1) await at(part);
  await at(0.15);
  await page.mouse.up();
  assert.ok(Math.abs((await clock(page)) - span * 0.15) < 0.3, `${await clock(page)} of ${span}`);
  assert.ok((await tally(page, "en", "stage-answered")) < answered, "what hadn't happened yet isn't counted");
  // Beyond all that was computed: the engine gets there, and the same past lies behind.
  await line(page).focus();
  for (let i = 0; i < 3; i += 1) await page.keyboard.press("PageUp");
  const far = span * 0.15 + 30;
  await page.waitForFunction((to) => Math.abs(Number(document.querySelector(".clock b")?.textContent) - to) < 0.5, far);
  await page.waitForFunction((least) => Number(document.querySelector(".tally")?.textContent.replaceAll(/[\s,  ]/g, "").match(/(\d+)answered/)?.[1]) > least, answered);
  await page.keyboard.press("Home");
  await page.waitForFunction(() => Number(document.querySelector(".clock b")?.textContent) < 0.2);
  const there = await clock(page);
  for (let i = 0; i < 3; i += 1) await page.keyboard.press("PageUp");
  await page.waitForFunction((to) => Math.abs(Number(document.querySelector(".clock b")?.textContent) - to) < 0.01, there + 30);
  await screenshot(page, "lesson-scrubbed");
}, { timeout: 120_000 });

browserTest("a hidden tab stops time and says so", async ({ open }) => {
  const page = await open("first-service/", { lang: "en" });
  const t = words("en");
  await running(page, "en");
  const turn = (hidden) => page.evaluate((is) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await turn(true);
  await page.waitForTimeout(200);
  const stopped = await clock(page);
  await page.waitForTimeout(600);
  await turn(false);
  await page.getByText(t("stage-hidden")).first().waitFor();
  assert.equal(await clock(page), stopped);
  await page.getByRole("button", { name: t("time-play") }).first().click();
  await page.waitForFunction((was) => Number(document.querySelector(".clock b")?.textContent) > was, stopped);
});

browserTest("an engine that dies of what was done last goes on without it; one that hangs is replaced", async ({ open }) => {
  const page = await open("first-service/?hooks", { lang: "en" });
  const t = words("en");
  page.allow(/crashed on request|panicked|unreachable|engine/i);
  await running(page, "en");
  await typeYaml(page, "en", service);
  await page.keyboard.press("ControlOrMeta+s");
  await grows(page, "en", "stage-answered", 10);
  for (let i = 0; i < 3; i += 1) {
    await page.evaluate(() => window.servicelab.crashWorker());
    await page.waitForTimeout(1_500);
  }
  await page.getByText(t("stage-left-out")).first().waitFor();
  await page.getByText("selector:").first().waitFor(); // the text is the learner's, whatever the engine does
  await page.waitForTimeout(8_500); // got over it
  await typeYaml(page, "en", service);
  await page.keyboard.press("ControlOrMeta+s");
  await grows(page, "en", "stage-answered", 10, 30_000);
  await page.evaluate(() => window.servicelab.hangWorker());
  await page.getByText(/The engine died/).first().waitFor({ timeout: 30_000 });
  await grows(page, "en", "stage-answered", 10, 40_000);
}, { timeout: 150_000 });

browserTest("a lesson whose text changed after the build is drawn anew", async ({ open }) => {
  const page = await open("", { lang: "en" });
  const text = lesson("en.md").replace(/^# .*$/m, "# Your very first Service").replace("## What stays", "## What *really* stays");
  await page.route("**/lessons/basics/first-service/en.md", (route) => route.fulfill({ contentType: "text/markdown", body: text }));
  await page.goto(`${page.base}en/first-service/`);
  await page.getByRole("heading", { level: 1, name: "Your very first Service" }).waitFor();
  await page.getByRole("heading", { name: "What really stays" }).waitFor();
  await task(page, 5).waitFor();
  await running(page, "en");
});

browserTest("the prediction stands beside the result, and home leads on to where one was", async ({ open }) => {
  const page = await open("first-service/", { lang: "en" });
  const t = words("en");
  await running(page, "en");
  await page.getByRole("radio", { name: /waits for an answer/ }).check();
  await page.locator(".prediction").getByRole("button").first().click();
  await page.getByText(t("prediction-kept")).waitFor();
  await speed(page, "en", "ArrowRight", 2);
  await page.locator('.stage [role=button][aria-label^="Pod "][aria-label*="node-a"]').first().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").getByRole("button", { name: t("fault-delete-pod") }).click();
  await ticked(page, 1);
  await typeYaml(page, "en", service);
  await page.keyboard.press("ControlOrMeta+s");
  await ticked(page, 2);
  await typeYaml(page, "en", broken);
  await page.keyboard.press("ControlOrMeta+s");
  await ticked(page, 3);
  const prediction = page.locator(".prediction");
  await prediction.getByText(/It waits for an answer/).first().waitFor();
  await prediction.getByText(/refused, at once, on the node/).first().waitFor();
  await screenshot(page, "lesson-prediction");
  await page.goto(`${page.base}en/`);
  const go = page.locator("a", { hasText: "Your first Service" }).filter({ hasText: /Continue/ }).first();
  await go.waitFor();
  await screenshot(page, "home-continue");
  await go.click();
  await page.waitForURL(/first-service/);
}, { timeout: 120_000 });
