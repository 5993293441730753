// What a reader downloads, against the budgets: sizes in kB after Brotli, gzip beside it.
// Lines that begin with "report: " are shown by ./lab test. Over budget is told; over the ceiling is a failure. A ceiling
// above its budget is a debt: it goes up only with a word on what was bought for it (docs/decisions.md, "Sizes").
import { readFileSync, readdirSync, existsSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const dist = process.argv[2] ?? join(import.meta.dirname, "../dist");
const names = readdirSync(dist);
const vendor = existsSync(join(dist, "vendor")) ? readdirSync(join(dist, "vendor")).map((name) => `vendor/${name}`) : [];
const budgets = [
  ["site wasm", 200, 358, names.filter((name) => /^site.*\.wasm$/.test(name))],
  ["engine wasm", 300, 712, names.filter((name) => name === "engine_bg.wasm")],
  ["first JS and CSS", 60, 60, names.filter((name) => /\.(js|css)$/.test(name))],
  ["editor and terminal (lazy)", 250, 250, vendor],
];

const kB = (bytes) => (bytes / 1000).toFixed(1).padStart(7);
const size = (name) => {
  const data = readFileSync(join(dist, name));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: data.length };
  return { name, raw: data.length, gzip: gzipSync(data, { level: 9 }).length, brotli: brotliCompressSync(data, { params }).length };
};
const sum = (sizes, key) => sizes.reduce((total, each) => total + each[key], 0);

console.log("report:  brotli    gzip     raw   budget (kB)");
let over = 0;
for (const [what, budget, ceiling, files] of budgets) {
  const sizes = files.map(size);
  const brotli = sum(sizes, "brotli");
  const bad = brotli > budget * 1000;
  if (brotli > ceiling * 1000) over++;
  console.log(`report: ${kB(brotli)} ${kB(sum(sizes, "gzip"))} ${kB(sum(sizes, "raw"))} ${String(budget).padStart(8)}  ${what}${bad ? "  OVER BUDGET" : ""}`);
  if (sizes.length > 1) for (const each of sizes) console.log(`  ${kB(each.brotli)} ${kB(each.gzip)} ${kB(each.raw)}           ${each.name}`);
}
if (over) process.exitCode = 1;
