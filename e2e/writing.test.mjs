// Writing with the engine's help: what Apply would change, Services that would reach nobody, layout, find and replace.
import assert from "node:assert/strict";
import { axe, browserTest, screenshot } from "./harness.mjs";
import { running, tabTo, typeYaml, words } from "./learner.mjs";

const service = `apiVersion: v1
kind: Service
metadata:
  name: my-service
spec:
  selector:
    app: my-app
  ports:
  - port: 80
    targetPort: 8080
`;
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-app
spec:
  replicas: 3
  selector:
    matchLabels:
      app: my-app
  template:
    metadata:
      labels:
        app: my-app
    spec:
      containers:
      - name: my-app
        image: my-app:1.0
        ports:
        - name: http
          containerPort: 8080
`;
const both = `${service}---\n${deployment}`;

/** The playground with an editor, and both objects applied. */
async function applied(open, lang, options) {
  const page = await open("playground/", { lang, ...options });
  await running(page, lang);
  if (options?.width < 500) await page.getByRole("tab", { name: words(lang)("tab-yaml") }).click();
  await page.locator(".editor-cm .cm-content").waitFor();
  await typeYaml(page, lang, both);
  await page.keyboard.press("ControlOrMeta+s");
  await page.getByText(/service\/my-service created/).waitFor();
  return page;
}
const box = (page, lang) => page.getByRole("textbox", { name: words(lang)("editor-label") }).first();
const written = async (page) => (await page.locator(".editor-cm .cm-content .cm-line").allTextContents()).join("\n");
const panel = (page, lang) => page.getByRole("region", { name: words(lang)("editor-compare") });

for (const [lang, options, name] of [
  ["en", {}, "wide"],
  ["zh", { dark: true }, "zh-dark"],
  ["en", { width: 390, height: 844 }, "phone"],
  ["zh", { width: 390, height: 844, dark: true }, "zh-phone-dark"],
]) {
  browserTest(`what Apply would change stands beside the text, ${name}`, async ({ open }) => {
    const page = await applied(open, lang, options);
    const t = words(lang);
    const region = panel(page, lang);
    await page.keyboard.press("Shift+Alt+D");
    const sum = region.locator(".lab-compare-sum");
    await sum.filter({ hasText: `2 ${t("editor-unchanged")}` }).waitFor();
    // The focus stays with who types.
    assert.equal(await box(page, lang).evaluate((e) => e.getRootNode().activeElement === e), true);
    assert.equal(await page.getByRole("button", { name: t("editor-changes"), exact: true }).getAttribute("aria-pressed"), "true");
    // Another order, comments, quotes and what the server fills in anyway are no changes.
    const same = `# mine\nkind: Service\napiVersion: v1\nspec:\n    type: ClusterIP\n    ports:\n      - {targetPort: 8080, protocol: TCP, port: 80} # there\n    selector: {"app": 'my-app'}\nmetadata: {name: my-service}\n---\n${deployment}`;
    await typeYaml(page, lang, same);
    await page.waitForTimeout(700);
    await sum.filter({ hasText: `2 ${t("editor-unchanged")}` }).waitFor();
    await typeYaml(page, lang, both.replace("targetPort: 8080", "targetPort: http").replace("replicas: 3", "replicas: 4") + `---\n${service.replace("my-service", "other")}`);
    await sum.filter({ hasText: `1 ${t("editor-created")} · 2 ${t("editor-configured")}` }).waitFor();
    const change = (object) => region.locator(".lab-change", { hasText: object });
    assert.equal(await change("Service/my-service").locator("pre").textContent(), "  spec:\n    ports:\n    - port: 80\n-     targetPort: 8080\n+     targetPort: http\n");
    assert.match(await change("Deployment/my-app").locator("pre").textContent(), /^- {3}replicas: 3\n\+ {3}replicas: 4$/m);
    await axe(page, { selector: ".bench" });
    await screenshot(page, `compare-${name}`);
    // A new object is folded; opened by keyboard it shows what would be stored, defaults too.
    await tabTo(page, change("Service/other").locator("summary"));
    await page.keyboard.press("Enter");
    assert.match(await change("Service/other").locator("pre").textContent(), /^\+ {3}sessionAffinity: None$/m);
    await screenshot(page, `compare-${name}-created`);
    await page.keyboard.press("Escape");
    await region.waitFor({ state: "detached" });
    assert.equal(await box(page, lang).evaluate((e) => e.getRootNode().activeElement === e), true);
    // By its button; applied, there is nothing left to change.
    await page.getByRole("button", { name: t("editor-changes"), exact: true }).click();
    await sum.filter({ hasText: t("editor-configured") }).waitFor();
    await page.getByRole("button", { name: t("apply"), exact: true }).click();
    await sum.filter({ hasText: `3 ${t("editor-unchanged")}` }).waitFor();
    await region.getByRole("button", { name: t("editor-close") }).click();
    await region.waitFor({ state: "detached" });
  });
}

browserTest("what the API server would refuse is told before, and at a past moment the past counts", async ({ open }) => {
  const page = await applied(open, "en");
  const t = words("en");
  const sum = panel(page, "en").locator(".lab-compare-sum");
  await typeYaml(page, "en", deployment.replaceAll("app: my-app", "app: other"));
  await page.keyboard.press("Shift+Alt+D");
  await panel(page, "en").getByText(/field is immutable/).waitFor();
  assert.equal(await sum.textContent(), `1 ${t("editor-refused")}`);
  await screenshot(page, "compare-refused");
  await typeYaml(page, "en", both);
  await sum.filter({ hasText: `2 ${t("editor-unchanged")}` }).waitFor();
  // Back at the beginning neither is there, nor would it be soon again: time stands.
  await page.getByRole("button", { name: t("time-pause"), exact: true }).first().click();
  await page.getByRole("slider", { name: t("time-line") }).first().focus();
  await page.keyboard.press("Home");
  await sum.filter({ hasText: `2 ${t("editor-created")}` }).waitFor();
});

for (const lang of ["en", "zh"]) {
  browserTest(`a Service that would reach nobody is told as one types, ${lang}`, async ({ open }) => {
    const page = await applied(open, lang);
    const t = words(lang);
    const message = page.locator(".editor-cm .lab-message");
    const mark = page.locator(".editor-cm .lab-underline");
    for (const [text, at, key, args, word] of [
      [service.replace("app: my-app", "app: myapp"), "myapp", "diag-no-pod", { selector: "app=myapp", namespace: "default" }, "my-app"],
      [service.replace("8080", "8081"), "8081", "diag-no-port", { port: "8081", declared: "8080" }, "8080"],
      [service.replace("8080", "htpp"), "htpp", "diag-no-port-name", { name: "htpp", protocol: "TCP", declared: "http" }, "http"],
    ]) {
      await typeYaml(page, lang, text);
      await message.filter({ hasText: t(key, args) }).waitFor();
      assert.equal(await mark.textContent(), at);
      await page.locator(".prob.is-warning").waitFor();
      await axe(page, { selector: ".bench" });
      await screenshot(page, `advice-${key}-${lang}`);
      await page.keyboard.press("Control+.");
      await message.first().waitFor({ state: "detached" });
      assert.ok((await written(page)).includes(word));
    }
  });
}

browserTest("the layout is put in order by a key, and a text with a mistake is left alone", async ({ open }) => {
  const page = await applied(open, "en");
  const t = words("en");
  const loose = "# mine\napiVersion:   v1\nkind: Service\nmetadata:\n    name: my-service   \nspec:\n    # which\n    selector:\n        app: my-app # these\n    ports:\n        -   port: 80\n            targetPort: 8080\n";
  await typeYaml(page, "en", loose);
  await page.keyboard.press("Shift+Alt+F");
  await page.getByText(t("editor-formatted")).waitFor();
  const tidy = `# mine\n${service.replace("  selector", "  # which\n  selector").replace("app: my-app\n", "app: my-app # these\n")}`;
  assert.equal(await written(page), tidy);
  await page.keyboard.press("Shift+Alt+F");
  await page.getByText(t("editor-format-same")).waitFor();
  await page.keyboard.press("Control+z");
  assert.equal(await written(page), loose);
  await page.getByRole("button", { name: t("editor-format"), exact: true }).click();
  await page.getByText(t("editor-formatted")).waitFor();
  assert.equal(await written(page), tidy);
  const broken = "a: 1\nb:\n\t- x\n";
  await typeYaml(page, "en", broken);
  await page.keyboard.press("Shift+Alt+F");
  await page.getByText(t("editor-format-wrong", { why: "" }).trim(), { exact: false }).waitFor();
  assert.equal(await written(page), broken);
});

browserTest("find and replace speak Chinese and need no mouse", async ({ open }) => {
  const page = await applied(open, "zh");
  const t = words("zh");
  await page.keyboard.press("Control+f");
  const find = page.getByRole("textbox", { name: t("editor-find") });
  await find.waitFor();
  await page.keyboard.type("my-app");
  await tabTo(page, page.getByRole("textbox", { name: t("editor-replace") }));
  await page.keyboard.type("shop");
  await axe(page, { selector: ".bench" });
  await screenshot(page, "find-zh");
  await tabTo(page, page.getByRole("button", { name: t("editor-replace-all"), exact: true }));
  await page.keyboard.press("Enter");
  assert.equal(await written(page), both.replaceAll("my-app", "shop"));
  await page.keyboard.press("Escape");
  await find.waitFor({ state: "detached" });
});
