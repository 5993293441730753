// Bundles style/main.css (and what it imports) into target/web/site.css, which index.html links.
import { createRequire } from "node:module";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const top = new URL("../", import.meta.url);
const esbuild = createRequire(new URL("editor/package.json", top))("esbuild");
const from = new URL("style/main.css", top);
const to = new URL("target/web/site.css", top);

const text = existsSync(from)
  ? (await esbuild.build({
      absWorkingDir: new URL("style", top).pathname, entryPoints: ["./main.css"], bundle: true, minify: true,
      target: ["chrome120", "firefox120", "safari17"], external: ["*.woff2", "*.svg"], write: false, logLevel: "warning",
    })).outputFiles[0].text
  : "";
if (!existsSync(to) || readFileSync(to, "utf8") !== text) {
  mkdirSync(new URL("./", to), { recursive: true });
  writeFileSync(to, text);
}
