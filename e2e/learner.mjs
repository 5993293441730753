// What a learner does, in words: shared by the tests of lesson and pages.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const top = join(import.meta.dirname, "..");
const catalogues = Object.fromEntries(
  ["en", "zh"].map((lang) => [lang, JSON.parse(readFileSync(join(top, `public/i18n/${lang}.json`), "utf8"))]));

/** The page's words in its language. */
export const words = (lang) => (key, args = {}) => {
  const text = catalogues[lang][key] ?? catalogues[lang][`${key}_other`];
  assert.ok(text, `no word for ${key}`);
  return Object.entries(args).reduce((said, [name, value]) => said.replaceAll(`{${name}}`, value), text);
};

/** Moves the focus by Tab, as a person without a mouse does, until it is on the element; fails when it can't be reached. */
export async function tabTo(page, locator, { most = 120, back = false } = {}) {
  await locator.first().waitFor();
  for (let i = 0; i < most; i += 1) {
    if (await locator.first().evaluate((element) => {
      let focused = document.activeElement;
      while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
      return element === focused || element.contains(focused);
    })) return;
    await page.keyboard.press(back ? "Shift+Tab" : "Tab");
  }
  assert.fail(`not reached by Tab: ${locator}`);
}

/** Goes to a thing on the stage: Tab to the stage, then arrows towards it. */
export async function stageTo(page, thing) {
  await tabTo(page, page.locator(".stage [role=button][tabindex='0']"));
  for (let i = 0; i < 40; i += 1) {
    const way = await thing.first().evaluate((element, turn) => {
      if (element === document.activeElement) return "";
      const centre = (e) => { const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; };
      const [to, from] = [centre(element), centre(document.activeElement)];
      const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
      // Along the longer side; now and then along the other, when the way is blocked.
      const across = Math.abs(dx) > Math.abs(dy) !== (turn % 4 === 3);
      return across ? (dx > 0 ? "ArrowRight" : "ArrowLeft") : (dy > 0 ? "ArrowDown" : "ArrowUp");
    }, i);
    if (!way) return;
    await page.keyboard.press(way);
  }
  assert.fail(`not reached by arrows: ${thing}`);
}

/** Waits until the cluster runs and time goes on. */
export async function running(page, lang) {
  const t = words(lang);
  await page.getByRole("group", { name: t("time-label"), exact: true }).first().waitFor();
  const play = page.getByRole("button", { name: t("play"), exact: true });
  if (await play.first().isVisible().catch(() => false)) await play.first().click();
  const clock = page.locator(".clock b").first();
  const before = await clock.textContent();
  await page.waitForFunction((was) => document.querySelector(".clock b")?.textContent !== was, before);
}

/** The number before a word of the tally above the stage ("754 answered"). */
export async function tally(page, lang, key) {
  const word = words(lang)(key);
  const text = (await page.locator(".tally").first().textContent()).replaceAll(/[\s,  ]/g, "");
  return Number(text.match(new RegExp(`(\\d+)${word.replaceAll(" ", "")}`))?.[1] ?? 0);
}

/** Waits until a number of the tally grows beyond what it is now by at least `by`. */
export async function grows(page, lang, key, by = 1, timeout = 20_000) {
  const before = await tally(page, lang, key);
  const end = Date.now() + timeout;
  while ((await tally(page, lang, key)) < before + by) {
    assert.ok(Date.now() < end, `${key} did not grow beyond ${before}`);
    await page.waitForTimeout(100);
  }
}

/** Puts a text into the editor from the keyboard, in place of what is there. */
export async function typeYaml(page, lang, text) {
  const editor = page.getByRole("textbox", { name: words(lang)("editor-label") }).first();
  await editor.focus();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}

/** A task's section, by its number from 1. */
export const task = (page, n) => page.locator("section.task").nth(n - 1);

/** Waits until a task is ticked. */
export async function ticked(page, n, timeout = 60_000) {
  await page.waitForFunction((i) => document.querySelectorAll("section.task")[i]?.classList.contains("is-done"), n - 1, { timeout });
}

/** Sets the speed with the slider, by keys. */
export async function speed(page, lang, key = "End", times = 1) {
  const slider = page.getByRole("slider", { name: words(lang)("time-speed") }).first();
  await slider.focus();
  for (let i = 0; i < times; i += 1) await page.keyboard.press(key);
}
