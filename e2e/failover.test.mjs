// A failure as a timeline: who noticed when, what was lost meanwhile, which setting governs, and when all was back.
import assert from "node:assert/strict";
import { axe, browserTest, screenshot } from "./harness.mjs";
import { grows, running, stageTo, tabTo, typeYaml, words } from "./learner.mjs";

const app = `apiVersion: v1
kind: Service
metadata:
  name: my-service
spec:
  selector:
    app: my-app
  ports:
    - port: 80
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
          readinessProbe:
            httpGet:
              path: /
              port: 8080
            periodSeconds: 2
`;
const seconds = (text) => Number(text.replace("−", "-").match(/[-+]?[\d.]+/)[0]);
const region = (page, lang = "en") => page.getByRole("region", { name: words(lang)("failover-label") });
const pause = (page, lang = "en") => page.getByRole("button", { name: words(lang)("time-pause") }).first().click();

/** A playground with three Pods behind a Service that are asked for. */
async function playground(open, options = {}) {
  const lang = options.lang ?? "en";
  const t = words(lang);
  const page = await open("playground/?hooks", { lang, ...options });
  await running(page, lang);
  if ((options.width ?? 1440) < 500) await page.getByRole("tab", { name: t("tab-yaml") }).click();
  await typeYaml(page, lang, app);
  await page.getByRole("button", { name: t("apply"), exact: true }).click();
  await page.getByText(/service\/my-service created/).first().waitFor();
  await grows(page, lang, "stage-answered", 50, 40_000);
  return page;
}

/** Kills the process of a Pod, as one does with the mouse. */
async function kill(page, lang = "en") {
  await page.locator(".stage .thing.pod").first().click();
  await page.getByRole("button", { name: words(lang)("fault-kill-process") }).first().click();
}

/** The tables of the failure, by caption. */
async function tables(page, lang = "en") {
  const t = words(lang);
  await region(page, lang).locator("summary").click();
  const rows = (caption) => region(page, lang).getByRole("table", { name: t(caption) }).locator("tbody tr")
    .evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
  return { parts: await rows("failover-parts"), steps: await rows("failover-steps") };
}

browserTest("a killed process: its parts, who did what, and the settings, as picture and as tables", async ({ open }) => {
  const page = await playground(open);
  const t = words("en");
  await page.getByRole("tab", { name: t("tab-failover") }).click();
  await page.getByText(t("failover-none")).waitFor();
  await kill(page);
  const picture = region(page).getByRole("img");
  await picture.waitFor();
  await region(page).getByText(t("failover-end-back")).waitFor({ timeout: 40_000 });
  await pause(page);
  await page.keyboard.press("Escape");
  await screenshot(page, "failover");
  await axe(page, { selector: ".bench" });
  const { parts, steps } = await tables(page);
  assert.deepEqual(parts.map((row) => row[0]), ["detection", "withdrawal", "sync", "repair", "return"].map((k) => t(`failover-part-${k}`)));
  // SPEC: the kubelet relists each second, the controller gathers changes for no more than 0.5 s, a sync is at most a second away.
  const [detection, withdrawal, sync] = parts.map((row) => seconds(row[2]));
  assert.ok(detection >= 0 && detection <= 1.05, `detection ${detection}`);
  assert.ok(withdrawal > 0 && withdrawal <= 1, `withdrawal ${withdrawal}`);
  assert.ok(sync >= 0 && sync <= 1.5, `sync ${sync}`);
  assert.match(parts[0][4], /genericPlegRelistPeriod/);
  assert.match(parts[2][4], /minSyncPeriod/);
  // One part begins where the one before it ends.
  for (let i = 1; i < parts.length; i += 1) {
    assert.ok(Math.abs(seconds(parts[i][1]) - seconds(parts[i - 1][1]) - seconds(parts[i - 1][2])) < 0.0021, `${parts[i - 1]} | ${parts[i]}`);
  }
  for (const [what, who] of [["failover-step-noticed-exit", "kubelet"], ["failover-step-not-ready", "kubelet"]]) {
    assert.ok(steps.some((row) => row[1] === t(what) && row[2] === who), `${what} in ${JSON.stringify(steps)}`);
  }
  const synced = steps.filter((row) => row[2] === "kube-proxy" && /^Out of the rules/.test(row[1]));
  assert.deepEqual(synced.map((row) => row[1]).sort(), ["node-a", "node-b", "node-c"].map((node) => t("failover-step-rules-without", { subject: node })));
  // What the picture says is what the tables say.
  const drawn = await picture.locator(".failover-row .is-time").allTextContents();
  assert.deepEqual(drawn.toSorted(), steps.map((row) => row[0]).toSorted());
  assert.equal(await picture.locator("rect.part").count(), parts.length);
});

browserTest("the timeline follows the shown moment: back before it, into the midst of it, and by its steps", async ({ open }) => {
  const page = await playground(open);
  const t = words("en");
  await kill(page);
  await page.getByRole("tab", { name: t("tab-failover") }).click();
  await region(page).getByText(t("failover-end-back")).waitFor({ timeout: 40_000 });
  await pause(page);
  const { steps } = await tables(page);
  // Without a mouse: to the moment when the endpoint was taken out.
  const row = steps.find((r) => r[1].startsWith("Out of the ready endpoints"));
  const out = region(page).getByRole("table").getByRole("button", { name: row[0], exact: true });
  await tabTo(page, out);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.querySelector(".failover-page")?.textContent.includes("back in rotation"));
  await region(page).getByText(t("failover-end-none")).waitFor();
  assert.match(await region(page).getByRole("table", { name: t("failover-parts") }).locator("tbody tr").last().textContent(), /so far/);
  const line = page.getByRole("slider", { name: t("time-line") });
  await line.focus();
  await page.keyboard.press("Home");
  await page.getByText(t("failover-none")).waitFor();
  await page.keyboard.press("End");
  await region(page).getByText(t("failover-end-back")).waitFor();
});

browserTest("a rollout strikes several Pods: each is chosen in the list", async ({ open }) => {
  const page = await playground(open);
  const t = words("en");
  await typeYaml(page, "en", app.replace("my-app:1.0", "my-app:2.0"));
  await page.keyboard.press("ControlOrMeta+s");
  await page.getByRole("tab", { name: t("tab-failover") }).click();
  const pods = region(page).locator(".failover-pods button");
  await pods.nth(2).waitFor({ timeout: 60_000 });
  await pause(page);
  const name = await pods.nth(2).locator("span").first().textContent();
  await pods.nth(2).click();
  await region(page).locator(".failover-pod b").filter({ hasText: name }).waitFor();
  assert.equal(await pods.nth(2).getAttribute("aria-pressed"), "true");
  await screenshot(page, "failover-rollout");
  await axe(page, { selector: ".bench" });
});

for (const [name, options] of [["zh-dark", { lang: "zh", dark: true }], ["phone", { width: 390, height: 844 }]]) {
  browserTest(`the timeline is readable: ${name}`, async ({ open }) => {
    const lang = options.lang ?? "en";
    const t = words(lang);
    const page = await playground(open, options);
    await kill(page, lang);
    if (options.width) await page.keyboard.press("Escape");
    await page.getByRole("tab", { name: t("tab-failover") }).click();
    await region(page, lang).getByText(t("failover-end-back")).waitFor({ timeout: 40_000 });
    await pause(page, lang);
    await axe(page, { selector: ".bench" });
    await screenshot(page, `failover-${name}`);
    await region(page, lang).locator("summary").click();
    // Nothing is wider than the page.
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
}
