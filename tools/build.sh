#!/usr/bin/env bash
# A static site in dist/: what Trunk and its hooks make of it stands in tools/README.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# = 0 ] || die "./lab build takes no arguments"
"$top/tools/setup.sh"
say "building (the first time some minutes)"
web trunk build --release
web node tools/sizes.mjs
say "dist/ is ready: put it anywhere, under any path"
