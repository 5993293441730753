#!/usr/bin/env bash
# Runs the benches that there are: Cargo's natively, and tools/bench-wasm.sh for the same work as wasm.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
ran=0
if compgen -G "$top/crates/*/benches" >/dev/null; then
  native cargo bench -p engine --bench runs "$@"; ran=1
fi
if [ -e "$top/tools/bench-wasm.sh" ]; then
  "$top/tools/setup.sh"
  web bash tools/bench-wasm.sh "$@"; ran=1
fi
[ $ran = 1 ] || die "no crate has a bench yet"
