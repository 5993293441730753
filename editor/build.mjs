// Bundles the editor into public/vendor/editor.js, an ES module that the page loads on demand.
import { build } from "esbuild";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../public/vendor/editor.js");
const result = await build({
  absWorkingDir: here,
  entryPoints: ["./src/editor.js"],
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  write: false,
});
const text = result.outputFiles[0].text;
// Written only when it changed, so that `trunk serve` doesn't build in a circle.
if (!existsSync(out) || readFileSync(out, "utf8") !== text) {
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, text);
}
