// The editor alone, on a small page with the site's own Content-Security-Policy.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { policyTag } from "../tools/policy.mjs";
import { axe, browserTest, screenshot } from "./harness.mjs";
import { running, typeYaml, words } from "./learner.mjs";

async function openEditor(open, options) {
  const page = await open("fixtures/editor.html", options);
  await page.waitForFunction(() => window.ready);
  return page;
}
const text = (page) => page.evaluate(() => window.editor.getText(window.handle));
const content = (page) => page.locator("#editor .cm-content");
const styleOf = (locator, property) => locator.evaluate((element, name) => getComputedStyle(element)[name], property);
const wrongPort = { line: 12, column: 17, length: 5, severity: "error", message: "spec.ports[0].targetPort: Invalid value: 80800: must be between 1 and 65535, inclusive" };
const diagnose = (page, ...list) => page.evaluate((all) => window.editor.setDiagnostics(window.handle, all), list);

browserTest("the editor shows YAML under the policy, in a shadow root, by the page's colours", async ({ open }) => {
  const page = await openEditor(open);
  assert.equal(await page.evaluate(() => document.querySelector("#editor").shadowRoot.adoptedStyleSheets.length > 1), true);
  assert.equal(await page.evaluate(() => document.querySelector("#editor").shadowRoot.querySelectorAll("style, [style*=expression]").length), 0);
  const key = page.locator("#editor .lab-key", { hasText: "kind" }).first();
  assert.equal(await styleOf(key, "color"), "rgb(28, 111, 168)");
  assert.equal(await styleOf(page.locator("#editor .lab-num", { hasText: "80800" }), "color"), "rgb(143, 90, 0)");
  assert.equal(await page.locator("#editor .lab-num", { hasText: "10.96" }).count(), 0, "an address is no number");
  assert.equal(await styleOf(page.locator("#editor .lab-str"), "color"), "rgb(10, 118, 88)");
  await diagnose(page, wrongPort);
  await axe(page);
  await screenshot(page, "editor");
  await page.evaluate(() => (document.documentElement.dataset.theme = "dark"));
  assert.equal(await styleOf(key, "color"), "rgb(124, 192, 236)");
  await axe(page);
  await screenshot(page, "editor-dark");
});

browserTest("a mistake is underlined exactly under its value, with its message beneath", async ({ open }) => {
  const page = await openEditor(open);
  await diagnose(page, wrongPort);
  const underline = page.locator("#editor .lab-underline");
  assert.equal(await underline.textContent(), "80800");
  assert.match(await styleOf(underline, "textDecoration"), /wavy/);
  const message = page.locator("#editor .lab-message");
  assert.equal(await message.textContent(), wrongPort.message);
  const [value, beneath, next] = await Promise.all([underline.boundingBox(), message.boundingBox(), page.locator("#editor .cm-line", { hasText: "protocol" }).boundingBox()]);
  assert.ok(value.y + value.height <= beneath.y + 1 && beneath.y + beneath.height <= next.y + 1, "between its line and the next");
  assert.equal(await content(page).getAttribute("aria-invalid"), "true");
  assert.match(await page.locator("#editor [role=status]").textContent(), /^12: spec\.ports/);
  // It moves with the text, and goes when the page says so.
  await page.evaluate(() => window.editor.gotoLine(window.handle, 1, 1));
  await page.keyboard.type("# 注\n");
  assert.equal(await underline.textContent(), "80800");
  await diagnose(page);
  assert.equal(await underline.count() + await message.count(), 0);
  assert.equal(await content(page).getAttribute("aria-invalid"), null);
});

browserTest("columns are Unicode characters; places outside the text are drawn in", async ({ open }) => {
  const page = await openEditor(open);
  await page.evaluate(() => window.editor.setText(window.handle, "名: 😀😀x\r\nb: 1\r\n"));
  assert.equal(await text(page), "名: 😀😀x\nb: 1\n");
  const at = (line, column, length, severity = "error") => ({ line, column, length, severity, message: `${line}:${column}` });
  await diagnose(page, at(1, 6, 1), at(2, 4, 1, "warning"), at(99, 99, 9), at(2, 1, 0), at(0, -5, 1e9));
  const marks = await page.locator("#editor .lab-underline").allTextContents();
  for (const each of ["x", "1", "b: "]) assert.ok(marks.includes(each), `${each} in ${marks}`);
  assert.equal(await page.locator("#editor .lab-message").count(), 5);
});

browserTest("Ctrl+S and Ctrl+Enter apply; Tab leaves; undo takes back what the page set", async ({ open }) => {
  const page = await openEditor(open);
  const first = await text(page);
  await page.locator("#before").focus();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "editor");
  await page.keyboard.press("Control+s");
  await page.keyboard.press("Control+Enter");
  assert.equal(await page.evaluate(() => window.applied), 2);
  assert.equal(await text(page), first);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "after");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.type("x");
  assert.equal(await page.evaluate(() => window.changes.length), 1);
  await page.evaluate(() => window.editor.setText(window.handle, "kind: Pod\n"));
  assert.equal(await page.evaluate(() => window.changes.length), 1, "the page isn't told what it did itself");
  await page.keyboard.press("Control+z");
  assert.equal(await text(page), "x" + first);
  await page.keyboard.press("Control+z");
  assert.equal(await text(page), first);
  await page.evaluate(() => window.editor.gotoLine(window.handle, 12, 17));
  await page.keyboard.type("9");
  assert.match(await text(page), /targetPort: 980800/);
});

browserTest("the search panel works under the policy, in the reader's language", async ({ open }) => {
  const page = await openEditor(open);
  await page.evaluate(() => window.editor.setPhrases(window.handle, { Find: "查找", next: "下一个", close: "关闭" }));
  await content(page).focus();
  await page.keyboard.press("Control+f");
  const field = page.locator("#editor [main-field]");
  assert.equal(await field.getAttribute("aria-label"), "查找");
  await field.fill("port");
  await page.keyboard.press("Enter");
  assert.ok(await page.locator("#editor .cm-searchMatch").count() > 1);
  await axe(page);
  await screenshot(page, "editor-search");
  await page.evaluate(() => window.editor.setPhrases(window.handle, {}));
  assert.equal(await field.getAttribute("aria-label"), "Find");
  await page.keyboard.press("Escape");
  assert.equal(await field.count(), 0);
});

const popup = (page) => page.getByRole("listbox", { name: "Completions" });
const setText = (page, now) => page.evaluate((next) => window.editor.setText(window.handle, next), now);
const atEnd = async (page, now) => {
  await setText(page, now);
  await content(page).focus();
  await page.keyboard.press("Control+End");
};

browserTest("what can stand here comes by Ctrl+Space, is chosen by arrows and Enter, and goes by Escape", async ({ open }) => {
  const page = await openEditor(open);
  await atEnd(page, "kind: Service\nspec:\n  ");
  await page.keyboard.press("Control+Space");
  const option = (name) => popup(page).getByRole("option", { name });
  await option(/^selector/).waitFor();
  assert.deepEqual(await page.evaluate(() => window.asked.at(-1)), [3, 3]);
  assert.equal(await popup(page).getByRole("option").count(), 3);
  assert.equal(await option(/^selector/).getAttribute("aria-selected"), "true");
  await page.getByText("Route service traffic to pods.").waitFor();
  await axe(page);
  await screenshot(page, "editor-completion");
  await page.keyboard.press("Escape");
  await popup(page).waitFor({ state: "detached" });
  assert.equal(await text(page), "kind: Service\nspec:\n  ");

  await page.keyboard.press("Control+Space");
  await option(/^type/).waitFor();
  await page.waitForTimeout(100); // a list that has just come takes no key yet
  await page.keyboard.press("ArrowDown");
  assert.equal(await option(/^type/).getAttribute("aria-selected"), "true");
  await page.keyboard.press("Enter");
  // The field is written with its colon, and its values are offered at once.
  await option(/^ClusterIP/).waitFor();
  assert.equal(await text(page), "kind: Service\nspec:\n  type: ");
  await page.keyboard.type("Node");
  await option(/^ClusterIP/).waitFor({ state: "detached" });
  await page.waitForTimeout(100);
  await page.keyboard.press("Enter");
  assert.equal(await text(page), "kind: Service\nspec:\n  type: NodePort");
  await page.keyboard.press("Control+z");
  assert.equal(await text(page), "kind: Service\nspec:\n  type: Node");
  assert.ok(await page.evaluate(() => window.changes.length) > 0, "the page is told");
});

browserTest("the list comes while one types, and is not in the way of Enter when the word is whole", async ({ open }) => {
  const page = await openEditor(open);
  await atEnd(page, "kind: Service\nspec:\n");
  await page.keyboard.type("  lo");
  const idle = popup(page).getByRole("option", { name: /^loadBalancerIP/ });
  await idle.waitFor();
  await page.getByText("no effect here").waitFor();
  await page.keyboard.press("Escape");
  await atEnd(page, "kind: Service\nspec:\n  type: ");
  await page.keyboard.type("NodePort", { delay: 30 });
  await popup(page).waitFor({ state: "detached" });
  await page.keyboard.press("Enter");
  assert.match(await text(page), /type: NodePort\n/);
  // Where nothing is known, nothing comes.
  await page.keyboard.type("xyz: ");
  await page.waitForTimeout(300);
  assert.equal(await popup(page).count(), 0);
});

browserTest("no list comes unasked over what one does next", async ({ open }) => {
  const page = await openEditor(open);
  const none = async (what) => {
    await page.waitForTimeout(500);
    assert.equal(await popup(page).count(), 0, what);
  };
  await atEnd(page, "kind: Service\nspec:\n");
  await page.keyboard.insertText("  selector: {app: web}\n  ");
  await none("on a line that is still empty");
  await page.keyboard.type("ty");
  await page.evaluate(() => document.activeElement.blur());
  await none("when one has left the editor");
});

browserTest("what a word means is shown under the pointer, and by Ctrl+Shift+Space at the caret", async ({ open }) => {
  const page = await openEditor(open);
  const about = page.getByText("Number or name of the port.");
  await page.locator("#editor .lab-key", { hasText: "targetPort" }).hover();
  await about.first().waitFor();
  await axe(page);
  await screenshot(page, "editor-hover");
  await page.mouse.move(5, 5);
  await about.first().waitFor({ state: "detached" });
  await page.evaluate(() => window.editor.gotoLine(window.handle, 12, 7));
  await page.keyboard.press("Control+Shift+Space");
  await page.locator("#editor .lab-about").waitFor();
  assert.match(await page.locator("#editor [role=status]", { hasText: "targetPort" }).textContent(), /IntOrString.*Number or name/);
  // It can be gone to, to scroll; Escape leads back.
  await page.keyboard.press("Tab");
  assert.equal(await page.getByRole("group", { name: "targetPort" }).evaluate((e) => e.getRootNode().activeElement === e), true);
  await page.keyboard.press("Escape");
  await page.locator("#editor .lab-about").waitFor({ state: "detached" });
  await page.keyboard.press("Control+Shift+Space");
  await page.locator("#editor .lab-about").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#editor .lab-about").waitFor({ state: "detached" });
});

browserTest("a mistake with one remedy is put right by its button or by Ctrl+.", async ({ open }) => {
  const page = await openEditor(open);
  const fix = { title: "Write 8080", edits: [{ line: 12, column: 17, length: 5, text: "8080" }] };
  await diagnose(page, { ...wrongPort, fix });
  const button = page.getByRole("button", { name: "Write 8080" });
  await button.waitFor();
  await axe(page);
  await screenshot(page, "editor-fix");
  await button.click();
  assert.match(await text(page), /targetPort: 8080\n/);
  assert.equal(await page.evaluate(() => window.changes.length), 1, "the page is told");
  await page.keyboard.press("Control+z");
  assert.match(await text(page), /targetPort: 80800/);
  // By keyboard; several edits, from the end to the beginning, as one step.
  const edits = [{ line: 11, column: 11, length: 2, text: "81" }, { line: 10, column: 5, length: 0, text: "# 端口\n    " }];
  await diagnose(page, { ...wrongPort, line: 11, fix: { title: "Two at once", edits } });
  await page.evaluate(() => window.editor.gotoLine(window.handle, 1, 1));
  await page.keyboard.press("Control+.");
  assert.match(await text(page), /\n  - # 端口\n    name: http # the only one\n    port: 81\n/);
  // The text has gone on elsewhere: the fix goes with its place. Gone on just there, it can't be put right any more.
  await page.keyboard.press("Control+z");
  await diagnose(page, { ...wrongPort, fix });
  await page.evaluate(() => window.editor.gotoLine(window.handle, 1, 1));
  await page.keyboard.type("# 注\n");
  await page.keyboard.press("Control+.");
  assert.match(await text(page), /^# 注\n.*targetPort: 8080\n/s);
  await page.keyboard.press("Control+z");
  await diagnose(page, { ...wrongPort, line: 13, fix: { ...fix, edits: [{ ...fix.edits[0], line: 13 }] } });
  await page.evaluate(() => window.editor.gotoLine(window.handle, 13, 19));
  await page.keyboard.type("9");
  const now = await text(page);
  await page.keyboard.press("Control+.");
  assert.equal(await text(page), now);
});

browserTest("a paste of 5 MB doesn't hang, and its thousand mistakes neither", async ({ open }) => {
  const page = await openEditor(open);
  await content(page).focus();
  const took = await page.evaluate(async () => {
    const begin = performance.now();
    const data = new DataTransfer();
    data.setData("text/plain", "- { name: http, port: 80, targetPort: 8080 } # 端口\n".repeat(100_000));
    document.querySelector("#editor").shadowRoot.querySelector(".cm-content")
      .dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - begin;
  });
  assert.ok(took < 3000, `paste took ${took} ms`);
  const typed = await page.evaluate(() => window.changes.length);
  await page.waitForFunction((before) => window.changes.length > before, typed);
  assert.ok(await page.evaluate(() => window.changes.at(-1)) > 5_000_000);
  await diagnose(page, ...Array.from({ length: 1000 }, (_, i) => ({ line: i + 1, column: 3, length: 4, severity: "error", message: "no" })));
  const key = await page.evaluate(async () => {
    const begin = performance.now();
    window.editor.gotoLine(window.handle, 50_000, 3);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - begin;
  });
  assert.ok(key < 2000, `jump took ${key} ms`);
  await page.keyboard.press("Control+z");
  await page.waitForFunction(() => window.editor.getText(window.handle).length < 1000);
  assert.equal(await page.locator("#editor .lab-key").count() > 0, true, "small again, coloured again");
});

browserTest("on a phone a long message wraps in sight, also when a long line is scrolled", async ({ open }) => {
  const page = await openEditor(open, { width: 390, height: 844, dark: true });
  await page.evaluate(() => window.editor.setText(window.handle, `a: ${"long ".repeat(60)}\nb: 1\n`));
  await diagnose(page, { ...wrongPort, line: 1, column: 294, length: 4, message: `${wrongPort.message}, `.repeat(3) });
  await page.evaluate(() => window.editor.gotoLine(window.handle, 1, 294));
  const [message, editor] = await Promise.all([page.locator("#editor .lab-message").boundingBox(), page.locator("#editor").boundingBox()]);
  assert.ok(message.height > 60, "it wraps");
  assert.ok(message.x >= editor.x + 44 && message.x + message.width <= editor.x + editor.width, "it is in sight");
  await screenshot(page, "editor-phone");
});

browserTest("an editor can be taken down and mounted again", async ({ open }) => {
  const page = await openEditor(open, { dark: true, width: 390 });
  await page.evaluate(() => {
    window.editor.destroy(window.handle);
    window.handle = window.editor.create(document.querySelector("#editor"), { text: "a: 1\n", label: "again", onChange() {}, onApply() {} });
  });
  assert.equal(await page.locator("#editor .cm-content").count(), 1);
  assert.equal(await content(page).getAttribute("aria-label"), "again");
});

// From here on with the engine, in the playground.
for (const lang of ["en", "zh"]) {
  browserTest(`the engine tells what can stand and what it means, ${lang}`, async ({ open }) => {
    const page = await open("playground/", { lang });
    const t = words(lang);
    await running(page, lang);
    await page.locator(".editor-cm .cm-content").waitFor();
    await typeYaml(page, lang, "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ty");
    await page.keyboard.press("Control+Space");
    const options = page.getByRole("listbox", { name: t("editor-completions") }).getByRole("option");
    await options.filter({ hasText: /^type/ }).waitFor();
    await page.getByText("type determines how the Service is exposed.").waitFor();
    await page.waitForTimeout(100);
    await page.keyboard.press("Enter");
    await options.filter({ hasText: "LoadBalancer" }).waitFor();
    assert.deepEqual(await options.allTextContents(), ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]);
    await screenshot(page, `playground-completion-${lang}`);
    await page.waitForTimeout(100);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Control+Shift+Space");
    await page.locator(".lab-about", { hasText: /type.*string.*ClusterIP.*allocates a cluster-internal IP address/s }).waitFor();
    await axe(page, { selector: ".editor" });
    await page.keyboard.press("Escape");
    // Kinds of our own are told in the page's language.
    await typeYaml(page, lang, "apiVersion: lab/v1\nkind: Client\nspec:\n  ra");
    await page.keyboard.press("Control+Space");
    await page.getByText(lang === "en" ? "Requests a second, 0 to 2000" : "每秒请求数").waitFor();
    await page.keyboard.press("Escape");
  });

  browserTest(`what is nearly right is put right in one step, ${lang}`, async ({ open }) => {
    const page = await open("playground/", { lang });
    const t = words(lang);
    await running(page, lang);
    await page.locator(".editor-cm .cm-content").waitFor();
    const written = () => page.locator(".editor-cm .cm-content .cm-line").allTextContents();
    await typeYaml(page, lang, "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  type: nodeport\n  ports:\n  - port: \"80\"\n  - port: 443\n    targetport: 8443\n");
    const press = async (key, args = {}) => {
      const name = Object.entries(args).reduce((text, [from, to]) => text.replace(`{${from}}`, to), t(key));
      await page.getByRole("button", { name, exact: true }).first().click();
    };
    await press("fix-unquote", { word: "80" });
    await press("fix-write", { word: "targetPort" });
    await press("fix-write", { word: "NodePort" });
    await press("fix-name-ports");
    const want = ["  type: NodePort", "  - name: http", "    port: 80", "  - name: https", "    port: 443", "    targetPort: 8443"];
    for (const line of want) assert.ok((await written()).includes(line), `${line} in ${await written()}`);
    await page.locator(".editor-cm .lab-message").first().waitFor({ state: "detached" });
  });
}

test("the page of these tests has the site's own policy", () => {
  assert.ok(readFileSync(new URL("fixtures/editor.html", import.meta.url), "utf8").includes(policyTag()));
});
