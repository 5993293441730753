# Sourced by lab and tools/*.sh: where things are, and how the scripts speak.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$top/target/tools

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Takes back what an env.sh that was sourced before has set.
own_toolchain_off() {
  case ${RUSTUP_TOOLCHAIN:-} in */target/tools/toolchain|debian-wasm) unset RUSTUP_TOOLCHAIN;; esac
}

# The native toolchain is the person's own; only what is built for wasm uses the one of the set-up.
native() { (
  own_toolchain_off
  cd "$top" && "$@"
); }
web() { (
  # shellcheck source=/dev/null
  . "$TOOLS/env.sh"
  cd "$top" && "$@"
); }
