#!/usr/bin/env bash
# The golden run as wasm under Node: it must come to the same state as natively (crates/engine/tests/same_everywhere.rs).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner
exec cargo test -p engine --target wasm32-unknown-unknown --test same_everywhere "$@"
