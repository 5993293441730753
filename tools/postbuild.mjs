// Trunk's post_build hook: makes a site that can be put anywhere from what Trunk has written.
//
//   1. inline scripts become files, since the Content-Security-Policy forbids them
//   2. the policy goes into the page, and the addresses of worker and editor with the hash of what they load
//   3. in a release the scripts are minified
//   4. `servicelab site render` writes a page for each language and lesson, with index.html as the template
//   5. index.html becomes the door: it leads to the reader's language
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { policyTag } from "./policy.mjs";

const top = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = process.env.TRUNK_STAGING_DIR ?? process.argv[2] ?? join(top, "dist");
const release = process.env.TRUNK_PROFILE === "release";
const file = (name) => join(dist, name);
const read = (name) => readFileSync(file(name), "utf8");
const hash = (...parts) => {
  const sum = createHash("sha256");
  for (const part of parts) sum.update(part);
  return sum.digest("hex").slice(0, 12);
};

let page = read("index.html");
const serving = page.includes("{{__TRUNK_ADDRESS__}}"); // `trunk serve` puts its reload script in

// ---- 1. scripts
page = page.replace(/<script([^>]*)>([^]*?)<\/script>/g, (whole, attributes, text) => {
  if (/\ssrc=/.test(attributes) || !text.trim()) return whole;
  if (text.includes("{{__TRUNK_ADDRESS__}}"))
    // Trunk fills these in only where they stand in HTML. The page may lie in a folder; the socket doesn't.
    text = text
      .replaceAll(/['`"]\{\{__TRUNK_ADDRESS__\}\}['`"]/g, "location.host")
      .replaceAll("{{__TRUNK_WS_BASE__}}", "/");
  // A module's own imports are relative to its file, which lies at the top as they expect; the address of
  // the wasm file is a plain string, relative to the page's base: make it relative to the script too.
  else text = text.replace(/module_or_path: '([^']+)'/, (_, url) => `module_or_path: new URL('${url}', import.meta.url)`);
  const name = `start-${hash(text)}.js`;
  writeFileSync(file(name), text);
  return `<script${attributes} src="${name}"></script>`;
});

// ---- 2. policy and addresses
const versioned = (name, ...loaded) => `${name}?v=${hash(...[name, ...loaded].map((each) => readFileSync(file(each))))}`;
const meta = (name, content) => `<meta name="${name}" content="${content}">`;

// ---- 3. smaller scripts (before their hashes are taken)
if (release) {
  const { transformSync } = createRequire(join(top, "editor/package.json"))("esbuild");
  for (const name of readdirSync(dist).filter((each) => each.endsWith(".js")))
    writeFileSync(file(name), transformSync(read(name), { minify: true, format: "esm", target: "es2022", legalComments: "none" }).code);
}

page = page.replace(/<meta charset="utf-8">/, (charset) => [
  charset,
  policyTag({ serving }),
  meta("engine-worker", versioned("engine-worker.js", "engine.js", "engine_bg.wasm")),
  meta("editor", versioned("vendor/editor.js")),
].join("\n"));
writeFileSync(file("index.html"), page);

// ---- 4. pages
const servicelab = (...args) => execFileSync("bash", [join(top, "tools/cli.sh"), ...args], { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
process.stdout.write(servicelab("site", "render", dist));

// ---- 5. the door
for (const language of ["en", "zh"])
  if (!existsSync(file(`${language}/index.html`))) throw new Error(`site render wrote no ${language}/index.html`);
writeFileSync(file("index.html"), readFileSync(join(top, "tools/door.html"), "utf8").replace("<!-- policy -->", policyTag()));

// What lies in dist/ is told to ./lab test, which tests a release only.
if (process.env.TRUNK_DIST_DIR === join(top, "dist")) {
  mkdirSync(join(top, "target/web"), { recursive: true });
  writeFileSync(join(top, "target/web/dist-is"), release && !serving ? "release" : "for trying");
}
