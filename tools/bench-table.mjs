// One table of what the benches say: natively (lines of JSON on standard input), and the same work as wasm under Node.
//   bench --all | node tools/bench-table.mjs WASM_JS
import { spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const RUNS = 5;
const module = process.argv[2];

async function one(index) {
  const { createRequire } = await import("node:module");
  const bench = createRequire(import.meta.url)(module);
  bench.prepare(index);
  const times = [];
  let checksum = "";
  for (let i = 0; i < RUNS; i += 1) {
    const begin = performance.now();
    bench.run();
    times.push(performance.now() - begin);
    checksum = bench.rest();
  }
  times.sort((a, b) => a - b);
  console.log(JSON.stringify({ median: times[RUNS >> 1], spread: times[RUNS - 1] - times[0], checksum, memory: bench.memory_size() }));
}

const ms = (n) => (n >= 100 ? n.toFixed(0) : n.toFixed(1)).padStart(8);
const each = (median, count) => {
  if (count < 2) return "".padStart(10);
  const us = (median / count) * 1000;
  return (us >= 1000 ? `${(us / 1000).toFixed(2)} ms` : us >= 10 ? `${us.toFixed(0)} µs` : `${us.toFixed(2)} µs`).padStart(10);
};
const MB = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`.padStart(8);

async function table() {
  let wrong = 0;
  console.log(`${"work".padEnd(42)}${"size".padEnd(36)}${"where".padEnd(8)}${"median ms".padStart(10)}${"spread".padStart(9)}${"each".padStart(10)}${"memory".padStart(9)}  ${"mark ms".padEnd(14)}checksum`);
  for await (const line of createInterface({ input: process.stdin })) {
    if (!line.startsWith("{")) continue;
    const work = JSON.parse(line);
    const rows = [["native", work, work.budget[0]]];
    if (module) {
      const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), module, "--one", String(work.index)], { encoding: "utf8" });
      if (child.status === 0) rows.push(["wasm", JSON.parse(child.stdout), work.budget[1]]);
      else { wrong += 1; console.error(child.stderr); }
    }
    for (const [where, seen, mark] of rows) {
      const met = mark ? `${mark} ${seen.median <= mark ? "met" : "MISSED"}` : "";
      console.log(`${work.name.padEnd(42)}${work.size.padEnd(36)}${where.padEnd(8)}${ms(seen.median).padStart(10)}${ms(seen.spread).padStart(9)}${each(seen.median, work.count)}${MB(seen.memory).padStart(9)}  ${met.padEnd(14)}${seen.checksum}`);
    }
    if (rows[1] && rows[1][1].checksum !== work.checksum) { wrong += 1; console.log("  the checksums differ"); }
  }
  if (wrong) process.exitCode = 1;
}

if (process.argv[3] === "--one") await one(Number(process.argv[4]));
else await table();
