#!/usr/bin/env bash
# Starts `servicelab`, built first only if a source is newer. Needs cargo and nothing of the web set-up.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$top/target/cli/native/servicelab
stamp=$top/target/cli/.built   # as old as the sources that went into the binary

stale() {
  [ -x "$bin" ] && [ -e "$stamp" ] || return 0
  [ -n "$(find "$top/Cargo.toml" "$top/Cargo.lock" "$top/crates" -newer "$stamp" -print -quit)" ]
}

if stale; then
  command -v cargo >/dev/null || { echo "servicelab: cargo is needed, see https://rustup.rs" >&2; exit 2; }
  mkdir -p "$top/target/cli"
  touch "$stamp.next"
  # One toolchain, whether called by hand or from Trunk, so that nothing is built twice.
  case ${RUSTUP_TOOLCHAIN:-} in */target/tools/toolchain|debian-wasm) unset RUSTUP_TOOLCHAIN;; esac
  log=$top/target/cli/build.log
  echo "servicelab: building the engine (the first time about a minute)" >&2
  cargo build --profile native --package servicelab-cli --manifest-path "$top/Cargo.toml" --target-dir "$top/target/cli" >"$log" 2>&1 ||
    { grep -A 12 '^error' "$log" >&2 || cat "$log" >&2; exit 2; }
  mv "$stamp.next" "$stamp"
fi
exec "$bin" "$@"
