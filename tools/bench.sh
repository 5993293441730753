#!/usr/bin/env bash
# Times the works of crates/bench natively and as wasm under Node, and prints one table. A word picks those that hold it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
"$top/tools/setup.sh"
native cargo build --profile native -q -p lab-bench --bin bench --target-dir "$top/target/cli"
out=$top/target/bench; mkdir -p "$out"
web cargo build --release -q -p lab-bench --lib --target wasm32-unknown-unknown
web wasm-bindgen --target nodejs --out-dir "$out" --out-name lab_bench "$top/target/wasm32-unknown-unknown/release/lab_bench.wasm"
mv "$out/lab_bench.js" "$out/lab_bench.cjs"
web wasm-opt -O3 --enable-bulk-memory --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals \
  --enable-reference-types --enable-multivalue -o "$out/lab_bench_bg.wasm" "$out/lab_bench_bg.wasm"
"$top/target/cli/native/bench" "$@" | node "$top/tools/bench-table.mjs" "$out/lab_bench.cjs"
