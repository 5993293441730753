#!/usr/bin/env bash
# Writes what Kubernetes' own schema says (tools/schema); with --check says whether what is committed is that.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
CARGO_TARGET_DIR=$top/target/schema cargo run --quiet --locked --manifest-path "$top/tools/schema/Cargo.toml" -- "$@"
