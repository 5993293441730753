// Everything on the screen can be asked "why?": a request, a Pod, a rule; and the line of YAML behind it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { axe, browserTest, screenshot } from "./harness.mjs";
import { grows, running, tabTo, typeYaml, words } from "./learner.mjs";

const top = join(import.meta.dirname, "..");
const app = (selector = "my-app") => `apiVersion: v1
kind: Service
metadata:
  name: my-service
spec:
  selector:
    app: ${selector}
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
`;

/** A playground with a text applied, in which requests end in some way. */
async function playground(open, text, outcome, options = {}) {
  const page = await open("playground/?hooks", { lang: "en", ...options });
  const lang = options.lang ?? "en";
  await running(page, lang);
  if ((options.width ?? 1440) < 500) await page.getByRole("tab", { name: words(lang)("tab-yaml") }).click();
  await typeYaml(page, lang, text);
  await page.getByRole("button", { name: words(lang)("apply"), exact: true }).click();
  await page.getByText(/service\/my-service created/).first().waitFor();
  // Until all three Pods are ready.
  if (outcome) await grows(page, lang, outcome, outcome === "stage-answered" ? 50 : 5, 40_000);
  return page;
}
const story = (page, lang = "en") => page.getByRole("region", { name: words(lang)("why-story") });
const pause = (page, lang = "en") => page.getByRole("button", { name: words(lang)("time-pause") }).first().click();
/** The editor's caret, as line of the text. */
const caret = (page) => page.evaluate(() => {
  const focused = document.activeElement?.shadowRoot;
  const at = focused?.getSelection?.()?.anchorNode;
  return (at?.nodeType === 1 ? at : at?.parentElement)?.closest(".cm-line")?.textContent ?? "";
});

browserTest("a deleted rule makes requests fail, and Why names it", async ({ open }) => {
  const page = await playground(open, app(), "stage-answered");
  const t = words("en");
  await page.getByRole("tab", { name: t("tab-why") }).click();
  await page.evaluate(() => window.servicelab.removeRule("node-a", "default", "my-service"));
  await grows(page, "en", "stage-timed-out", 3, 40_000);
  await page.getByRole("checkbox", { name: t("why-failed-only") }).check();
  await pause(page);
  await page.getByRole("listitem").getByRole("button", { name: /timed out/ }).first().click();
  await story(page).getByText(t("why-rule-deleted", { node: "node-a" })).waitFor();
  await story(page).getByText(/Timed out, after/).waitFor();
  await story(page).getByText(/belongs to Service my-service/).waitFor();
  await screenshot(page, "why-deleted-rule");
  await axe(page, { selector: "#pane-why" });
});

browserTest("a wrong selector makes requests fail, Why names it, and leads to its line", async ({ open }) => {
  const page = await playground(open, app("my-ap"), "stage-refused");
  const t = words("en");
  await pause(page);
  // By keyboard alone.
  await tabTo(page, page.getByRole("tab", { selected: true }));
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await tabTo(page, page.getByRole("listitem").getByRole("button", { name: /refused/ }).first());
  await page.keyboard.press("Enter");
  await story(page).getByText(/Connection refused, after/).waitFor();
  const field = t("why-field", { field: "spec.selector", kind: "Service", name: "my-service" });
  await story(page).getByRole("button", { name: field }).first().waitFor();
  await screenshot(page, "why-selector");
  await tabTo(page, story(page).getByRole("button", { name: field }).first());
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#tab-yaml")?.getAttribute("aria-selected") === "true");
  await page.waitForTimeout(200);
  assert.match(await caret(page), /selector:/);
  // The text changes: it says so.
  await typeYaml(page, "en", app("other"));
  await page.getByRole("tab", { name: t("tab-why") }).click();
  await story(page).getByRole("button", { name: field }).first().click();
  await page.getByText(t("why-field-changed")).waitFor();
  // And the Pods say which label it is.
  await page.getByRole("tab", { name: t("tab-why") }).click();
  await page.getByRole("button", { name: t("why-pods"), exact: true }).click();
  await story(page).getByText(t("why-pod-label", { wanted: "app=my-ap", has: "app=my-app" })).waitFor();
  await page.getByRole("combobox", { name: t("node-word") }).selectOption("node-b");
  await story(page).getByText(/serves no connections to my-service from node-b/).waitFor();
  await screenshot(page, "why-pod");
  await axe(page, { selector: "#pane-why" });
});

browserTest("an answered request is told hook by hook, and in each mode", async ({ open }) => {
  const page = await playground(open, app(), "stage-answered", { dark: true });
  const t = words("en");
  await pause(page);
  await page.getByRole("tab", { name: t("tab-why") }).click();
  await page.getByRole("listitem").getByRole("button", { name: /my-service.*answered/ }).first().click();
  await story(page).getByText(/The answer is there after/).waitFor();
  await story(page).getByText(/33.3 % of connections like this one/).waitFor();
  await story(page).locator("summary").first().click();
  await story(page).getByText("PREROUTING · nat · KUBE-SERVICES").waitFor();
  await story(page).getByText(t("why-decided"), { exact: true }).first().waitFor();
  await screenshot(page, "why-answered-dark");
  await page.getByRole("button", { name: t("why-modes"), exact: true }).click();
  for (const mode of ["iptables", "nftables", "ipvs"]) {
    const column = story(page).locator("section", { has: page.getByRole("heading", { name: mode }) });
    await column.getByText("1/3").nth(2).waitFor();
  }
  await screenshot(page, "why-modes-dark");
  await axe(page, { selector: "#pane-why" });
});

browserTest("a dot on the stage and a Pod's card can be asked", async ({ open }) => {
  const page = await playground(open, app(), "stage-answered");
  const t = words("en");
  await pause(page);
  // Where there is colour on the canvas there is a request.
  const dot = await page.evaluate(() => {
    const canvas = document.querySelector("canvas.stage-dots");
    const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    for (let i = 3; i < data.length; i += 4) {
      if (data[i] < 200) continue;
      const x = box.x + (((i - 3) / 4) % width) / scale, y = box.y + Math.floor((i - 3) / 4 / width) / scale;
      if (!document.elementFromPoint(x, y + 3)?.closest(".thing")) return { x, y: y + 3 };
    }
    return null;
  });
  assert.ok(dot, "a dot on its way");
  await page.mouse.click(dot.x, dot.y);
  await story(page).getByText(/sends a request to/).waitFor();
  await page.locator(".thing.pod").first().click();
  await page.getByRole("button", { name: new RegExp(t("why-pod-ask").replace("?", "\\?")) }).click();
  await story(page).getByText(/gets connections to my-service from/).waitFor();
});

browserTest("Why on a phone, in Chinese", async ({ open }) => {
  const page = await playground(open, app("my-ap"), null, { lang: "zh", width: 390, height: 844 });
  const t = words("zh");
  await page.getByRole("tab", { name: t("tab-why") }).click();
  await page.getByRole("listitem").getByRole("button").filter({ hasText: t("stage-refused") }).first().click();
  await story(page, "zh").getByText(/连接被拒绝/).waitFor();
  await screenshot(page, "why-zh-phone");
  await axe(page, { selector: "#pane-why" });
  await page.getByRole("tab", { name: t("tab-rules") }).click();
  await page.getByText(/has no endpoints/).first().waitFor();
  await screenshot(page, "rules-zh-phone");
});

const fixed = `apiVersion: v1
kind: Service
metadata: {name: my-service}
spec:
  clusterIP: 10.96.0.50
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: my-service-1, labels: {kubernetes.io/service-name: my-service}}
addressType: IPv4
endpoints:
  - {addresses: [10.244.1.7], conditions: {ready: true}}
  - {addresses: [10.244.2.7], conditions: {ready: true}}
ports: [{name: "", port: 8080, protocol: TCP}]
`;
/** What the playground's cluster has before anything is applied. */
const base = ["a", "b", "c"].map((name, i) => `apiVersion: v1
kind: Node
metadata: {name: node-${name}, labels: {topology.kubernetes.io/zone: ${i < 2 ? "a" : "b"}}}
status: {addresses: [{type: InternalIP, address: 192.168.10.${11 + i}}]}
---
`).join("") + `apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [192.168.10.10], conditions: {ready: true}}]
ports: [{name: https, port: 6443, protocol: TCP}]
---
`;

browserTest("the Rules tab, copied, is what `servicelab rules` prints, in each mode", async ({ open }) => {
  const page = await playground(open, fixed, null);
  const t = words("en");
  const file = join(mkdtempSync(join(tmpdir(), "servicelab-")), "all.yaml");
  writeFileSync(file, base + fixed);
  const printed = (mode) => execFileSync("bash",
    [join(top, "tools/cli.sh"), "rules", "--mode", mode, "--node", "node-a", "--release", "1.36", "-f", file], { encoding: "utf8" });
  await page.evaluate(() => document.addEventListener("copy", () => { window.copied = document.activeElement.value; }));
  await page.getByRole("tab", { name: t("tab-rules") }).click();
  const text = page.getByLabel(t("rules-text"));
  for (const [mode, mark] of [["iptables", "default/my-service cluster IP"], ["nftables", "add table ip kube-proxy"], ["ipvs", "TCP 10.96.0.50:80"]]) {
    await page.getByRole("combobox", { name: t("rules-mode") }).selectOption(mode);
    await text.getByText(mark).first().waitFor({ timeout: 30_000 });
    await text.getByText("10.244.2.7").first().waitFor({ timeout: 30_000 });
    await page.getByRole("button", { name: t("copy"), exact: true }).click();
    await page.waitForFunction(() => window.copied);
    assert.equal(await page.evaluate(() => window.copied), printed(mode), mode);
    // Marked with the mouse it is the same.
    const marked = await text.evaluate((pre) => {
      getSelection().selectAllChildren(pre);
      const all = getSelection().toString();
      getSelection().removeAllRanges();
      return all;
    });
    const lines = (all) => all.split("\n").map((l) => l.trimEnd()).filter(Boolean);
    assert.deepEqual(lines(marked).slice(0, lines(printed(mode)).length), lines(printed(mode)), `${mode}, marked`);
    await page.evaluate(() => { window.copied = undefined; });
  }
}, { timeout: 180_000 });

browserTest("rules count packets, show what changed, and lead to the text and back", async ({ open }) => {
  const page = await playground(open, app(), "stage-answered");
  const t = words("en");
  // From the editor to the Service's rules.
  await page.getByRole("button", { name: t("rules-of-service", { name: "my-service" }) }).click();
  const text = page.getByLabel(t("rules-text"));
  await text.getByText(/default\/my-service cluster IP/).first().waitFor();
  await pause(page);
  assert.equal(await text.getByText("KUBE-MARK-MASQ -j").count(), 0, "only those of the Service");
  await screenshot(page, "rules-of-service");
  await axe(page, { selector: "#pane-rules" });
  const counts = await text.locator(".r-gutter").allTextContents();
  assert.ok(counts.some((n) => Number.parseInt(n, 10) > 2), `packets: ${counts}`);
  await page.getByRole("searchbox", { name: t("rules-search") }).fill("statistic");
  await text.getByText(/--probability 0.3333333333/).first().waitFor();
  assert.equal(await text.getByText(/cluster IP/).count(), 0, "found lines only");
  await text.getByRole("button").first().click();
  await page.waitForFunction(() => document.querySelector("#tab-yaml")?.getAttribute("aria-selected") === "true");
  await page.waitForTimeout(200);
  assert.match(await caret(page), /targetPort: 8080|port: 80|selector/);
});
