// The lesson "Your first Service", done by a learner.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { axe, browserTest, screenshot } from "./harness.mjs";
import { grows, running, speed, stageTo, tabTo, tally, task, ticked, typeYaml, words } from "./learner.mjs";

const folder = join(import.meta.dirname, "../lessons/basics/first-service");
const file = (name) => readFileSync(join(folder, name), "utf8");
const whole = (service) => `${file(service).trim()}\n`;

/** Opens what can be done to a Pod and does it, all from the keyboard. */
async function doToPod(page, lang, pod, deed) {
  const t = words(lang);
  await stageTo(page, pod);
  await page.keyboard.press("Enter");
  const button = page.getByRole("dialog").getByRole("button", { name: t(deed) });
  await tabTo(page, button);
  await page.keyboard.press("Enter");
}

/** A Pod on a node. The one on node-a has the address 10.244.1.2 at the start. */
const podOn = (page, node) => page.locator(`.stage [role=button][aria-label^="Pod "][aria-label*="${node}"]`);

async function firstTask(page, lang) {
  await doToPod(page, lang, podOn(page, "node-a"), "fault-delete-pod");
  await ticked(page, 1);
}

browserTest("the lesson can be done from the keyboard alone", async ({ open }) => {
  const page = await open("first-service/?hooks", { lang: "en" });
  const t = words("en");
  await running(page, "en");
  // The prediction, before the run.
  const option = page.getByRole("radio", { name: /refused at once/ });
  await tabTo(page, page.locator(".prediction input[type=radio]"));
  while (!(await option.isChecked())) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.getByText(t("prediction-kept")).waitFor();
  await speed(page, "en", "ArrowRight", 2); // 5x
  await firstTask(page, "en");
  await screenshot(page, "lesson-task-1");

  await typeYaml(page, "en", whole("solution-service.yaml"));
  await page.keyboard.press("ControlOrMeta+s");
  await ticked(page, 2);
  await grows(page, "en", "stage-answered", 10);
  await screenshot(page, "lesson-task-2");

  await typeYaml(page, "en", whole("solution-broken.yaml"));
  await page.keyboard.press("ControlOrMeta+Enter");
  await ticked(page, 3);
  assert.ok((await tally(page, "en", "stage-refused")) > 0);
  await screenshot(page, "lesson-task-3");

  await typeYaml(page, "en", whole("solution-service.yaml"));
  await page.keyboard.press("ControlOrMeta+s");
  await ticked(page, 4);

  await page.keyboard.press("Escape");
  await doToPod(page, "en", podOn(page, "node-c"), "fault-delete-pod");
  await ticked(page, 5);
  await screenshot(page, "lesson-done");

  // The question, with its explanation.
  const answer = page.locator("form.quiz:not(.prediction)").last();
  await tabTo(page, answer.locator("input[type=radio]"));
  await page.keyboard.press("Space");
  await tabTo(page, answer.getByRole("button", { name: t("quiz-check") }));
  await page.keyboard.press("Enter");
  await answer.getByRole("status").filter({ hasText: /\w/ }).waitFor();
  const stats = await page.evaluate(() => window.servicelab.stats());
  console.log(`report: ${stats.frames} frames, script ${stats.medianScript.toFixed(2)} ms median, ${stats.longestScript.toFixed(1)} ms longest, ${stats.motionsPerFrame.toFixed(1)} requests and ${stats.domWritesPerFrame.toFixed(1)} DOM writes a frame, ${(stats.bytes / stats.frames).toFixed(0)} bytes a frame`);
  assert.ok(stats.medianScript < 16, `script takes ${stats.medianScript} ms a frame`);
}, { timeout: 240_000 });

browserTest("the lesson works in Chinese, dark, on a phone, and after a reload", async ({ open }) => {
  const page = await open("first-service/", { lang: "zh", width: 390, height: 844, dark: true });
  const t = words("zh");
  await running(page, "zh");
  await axe(page);
  await screenshot(page, "lesson-zh-phone-dark");
  const pod = podOn(page, "node-a").first();
  await pod.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").getByRole("button", { name: t("fault-delete-pod") }).click();
  await page.getByRole("tab", { name: t("tab-lesson") }).click();
  await ticked(page, 1);
  await page.getByRole("tab", { name: t("tab-yaml") }).click();
  await typeYaml(page, "zh", "# 我的文字\n" + whole("solution-service.yaml"));
  await page.getByRole("button", { name: t("apply"), exact: true }).click();
  await page.getByRole("tab", { name: t("tab-lesson") }).click();
  await ticked(page, 2);
  await page.reload();
  await running(page, "zh");
  await page.getByRole("tab", { name: t("tab-lesson") }).click();
  await ticked(page, 1, 15_000);
  await ticked(page, 2, 15_000);
  await page.getByRole("tab", { name: t("tab-yaml") }).click();
  await page.getByText("# 我的文字").first().waitFor();
  await screenshot(page, "lesson-zh-phone-dark-reloaded");
}, { timeout: 180_000 });

browserTest("a worker that dies is replaced, and the cluster stands where it stood", async ({ open }) => {
  const page = await open("first-service/?hooks", { lang: "en" });
  const t = words("en");
  page.allow(/crashed on request|panicked|unreachable|engine/i);
  await running(page, "en");
  await speed(page, "en", "ArrowRight", 2);
  await typeYaml(page, "en", whole("solution-service.yaml"));
  await page.keyboard.press("ControlOrMeta+s");
  await grows(page, "en", "stage-answered", 20);
  const before = await tally(page, "en", "stage-answered");
  await page.evaluate(() => window.servicelab.crashWorker());
  await page.getByText(/The engine died/).first().waitFor();
  await grows(page, "en", "stage-answered", 20, 40_000);
  assert.ok((await tally(page, "en", "stage-answered")) > before, "what was counted before is counted still");
  await page.getByText("selector:").first().waitFor();
  await screenshot(page, "lesson-worker-replaced");
}, { timeout: 120_000 });

browserTest("with one rule deleted from a node, requests through it fail on the stage", async ({ open }) => {
  const page = await open("first-service/?hooks", { lang: "en" });
  await running(page, "en");
  await typeYaml(page, "en", whole("solution-service.yaml"));
  await page.keyboard.press("ControlOrMeta+s");
  await grows(page, "en", "stage-answered", 20);
  const [answered, lost] = [await tally(page, "en", "stage-answered"), await tally(page, "en", "stage-timed-out")];
  await page.evaluate(() => window.servicelab.removeRule("node-a", "default", "web"));
  await grows(page, "en", "stage-timed-out", 25, 30_000);
  await screenshot(page, "lesson-rule-removed");
  // frontend's 20 a second are lost now; nobody else is answered. Some were under way.
  assert.ok((await tally(page, "en", "stage-answered")) - answered < 60, "its requests are answered no more");
  assert.ok((await tally(page, "en", "stage-timed-out")) > lost);
}, { timeout: 120_000 });

browserTest("hints, solution, prediction and resets are there", async ({ open }) => {
  const page = await open("first-service/", { lang: "en" });
  const t = words("en");
  await running(page, "en");
  const second = task(page, 2);
  for (const name of [t("hint-first"), t("hint-next"), t("hint-next")]) {
    await second.getByRole("button", { name, exact: false }).first().click();
  }
  assert.equal(await second.locator("ol > li").count(), 3);
  await second.getByText(t("solution"), { exact: true }).first().click();
  await second.getByRole("button", { name: t("solution-put") }).click();
  await page.getByText("selector:").first().waitFor();
  await screenshot(page, "lesson-hints");
  await page.getByRole("button", { name: t("reset-cluster") }).click();
  await page.getByText(t("reset-cluster-done")).waitFor();
});
