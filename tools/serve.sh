#!/usr/bin/env bash
# Serves the site and builds it again as files change; a lesson needs no compiler, so that takes seconds.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
host=127.0.0.1 port=8080 more=()
while [ $# != 0 ]; do
  case $1 in
    --host|--port) [ $# -ge 2 ] || die "$1 needs a value"
      if [ "$1" = --host ]; then host=$2; else port=$2; fi; shift 2 ;;
    --host=*) host=${1#*=}; shift ;;
    --port=*) port=${1#*=}; shift ;;
    --release) more+=(--release); shift ;;
    *) die "./lab serve [--host H] [--port P] [--release], not '$1'" ;;
  esac
done
case $port in *[!0-9]*|'') die "--port wants a number, not '$port'";; esac
address=$host   # Trunk listens on addresses, not on names
case $host in
  localhost) address=127.0.0.1 ;;
  *[!0-9a-fA-F.:]*) address=$(node -e 'require("dns").lookup(process.argv[1],(e,a)=>{if(e)process.exit(1);console.log(a)})' "$host") || die "--host $host: no such host" ;;
esac
"$top/tools/setup.sh"
say "building (the first time some minutes), then at http://$host:$port/"
# shellcheck source=/dev/null
. "$TOOLS/env.sh"
cd "$top"
mkdir -p target/serve   # dist/ stays what ./lab build made
exec trunk serve --dist target/serve --address "$address" --port "$port" ${more[@]+"${more[@]}"}
