// Every page, as people with different windows, languages and eyes see it.
import assert from "node:assert/strict";
import { axe, browserTest, screenshot } from "./harness.mjs";
import { grows, running, tally, typeYaml, words } from "./learner.mjs";

const looks = [
  ["wide", {}],
  ["dark", { dark: true }],
  ["phone", { width: 390, height: 844 }],
  ["contrast", { moreContrast: true }],
];

for (const [name, path] of [["home", ""], ["first-service", "first-service/"], ["playground", "playground/"]]) {
  for (const lang of ["en", "zh"]) {
    for (const [look, options] of looks) {
      if (lang === "zh" && look === "contrast") continue;
      browserTest(`${name}, ${lang}, ${look}: nothing wrong, nothing for axe`, async ({ open }) => {
        const page = await open(path, { lang, ...options });
        if (name === "home") await page.locator(".stage [role=button]").first().waitFor();
        else await running(page, lang);
        await page.waitForTimeout(1_500); // some requests on their way, for the picture
        await screenshot(page, `${name}-${lang}-${look}`);
        await axe(page);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `the page is ${wide} px wider than its window`);
      });
    }
  }
}

browserTest("the text is there before any script", async ({ open }) => {
  const page = await open("first-service/", { lang: "en", context: { javaScriptEnabled: false } });
  page.allow(/request: csp/); // how Chromium tells of scripts that it was told not to run
  await page.getByRole("heading", { level: 1 }).waitFor();
  assert.ok((await page.locator("article").textContent()).length > 3_000);
});

browserTest("the door leads to the reader's language, and the switch keeps the page", async ({ open }) => {
  const page = await open("", { lang: undefined, context: { locale: "zh-CN" } });
  await page.waitForURL(/\/zh\/$/);
  await page.getByRole("link", { name: "EN", exact: true }).or(page.getByRole("link", { name: "English" })).first().click();
  await page.waitForURL(/\/en\/$/);
});

browserTest("less motion: the same facts, no dots", async ({ open }) => {
  const page = await open("first-service/", { lang: "en", reducedMotion: true });
  await running(page, "en");
  await screenshot(page, "first-service-reduced-motion");
  await page.getByRole("button", { name: words("en")("stage-table"), exact: true }).click();
  await page.getByRole("table").first().waitFor();
  await axe(page);
  await screenshot(page, "first-service-table");
});

const tutorial = `apiVersion: v1
kind: Service
metadata:
  name: my-service
spec:
  selector:
    app: my-app
  ports:
    - protocol: TCP
      port: 80
      targetPort: 8080
---
apiVersion: apps/v1
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
            - containerPort: 8080
`;

browserTest("the Service of every tutorial, pasted into an empty cluster, carries traffic", async ({ open }) => {
  const page = await open("playground/", { lang: "en" });
  const t = words("en");
  await running(page, "en");
  await typeYaml(page, "en", tutorial);
  await page.keyboard.press("ControlOrMeta+s");
  await page.getByText(/service\/my-service created/).waitFor();
  await grows(page, "en", "stage-answered", 60, 40_000);
  await screenshot(page, "playground-tutorial");
  await page.getByRole("tab", { name: t("tab-rules") }).click();
  await page.getByText(/default\/my-service cluster IP/).first().waitFor();
  await screenshot(page, "playground-rules");
});

browserTest("what is wrong is told where it is, and the cluster goes on", async ({ open }) => {
  const page = await open("playground/", { lang: "en" });
  const t = words("en");
  await running(page, "en");
  await typeYaml(page, "en", tutorial);
  await page.keyboard.press("ControlOrMeta+s");
  await grows(page, "en", "stage-answered", 20, 40_000);
  for (const [text, said] of [
    [tutorial.replace("port: 80\n", "port: 80800\n"), /must be between 1 and 65535/],
    [tutorial.replace("kind: Service", "kind: Servcie"), /Servcie/],
    ["a: [1, 2", /did not find expected/],
  ]) {
    await typeYaml(page, "en", text);
    await page.getByText(said).first().waitFor();
    await page.keyboard.press("ControlOrMeta+s");
    await grows(page, "en", "stage-answered", 10);
  }
  await screenshot(page, "playground-problems");
  // A paste of 5 MB: an answer, and nothing is lost.
  await typeYaml(page, "en", `# mine\n${"a: 1\n".repeat(1_050_000)}`);
  await page.getByRole("button", { name: t("apply"), exact: true }).click();
  await grows(page, "en", "stage-answered", 20, 40_000);
  await page.getByText("# mine").first().waitFor();
}, { timeout: 180_000 });

browserTest("a page that stops shows the text and offers to go on", async ({ open }) => {
  const page = await open("playground/?hooks", { lang: "en" });
  const t = words("en");
  page.allow(/panic/i);
  await running(page, "en");
  await typeYaml(page, "en", "# keep me\n" + tutorial);
  await page.waitForTimeout(600); // the text is kept shortly after the last key
  await page.evaluate(() => window.servicelab.panicPage());
  await page.getByRole("heading", { name: t("panic-title") }).waitFor();
  assert.match(await page.getByRole("textbox", { name: t("panic-yaml") }).inputValue(), /# keep me/);
  await screenshot(page, "panic");
  await page.getByRole("button", { name: t("panic-reload") }).click();
  await running(page, "en");
  await page.getByText("# keep me").first().waitFor();
  assert.ok((await tally(page, "en", "stage-answered")) >= 0);
});
