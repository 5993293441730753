#!/usr/bin/env bash
# Runs the checks: ./lab test [engine|site|lessons|e2e]..., all of them when none is named. The time of each
# step and what it counted are printed; a check that counts nothing itself (a build, a lint) counts as one.
# Full output of each step: target/test/*.log
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$top"
logs=$top/target/test
rm -rf "$logs"; mkdir -p "$logs"

parts=" $* "
for part in "$@"; do
  case $part in engine|site|lessons|e2e) ;; *) die "./lab test [engine|site|lessons|e2e], not '$part'";; esac
done
want() { [ "$parts" = "  " ] || [[ $parts == *" $1 "* ]]; }

passed=0 failed=0 skipped=0 table='' reasons='' broken=''

# How many tests passed, failed and were skipped by the words of cargo test, node's runner or servicelab.
count() { # count LOG -> "P F S", or nothing
  awk '
    /^test result:/ { p += $4; f += $6; s += $8; seen = 1 }                                   # cargo test
    /^(ℹ|#) (pass|fail|skipped|todo) [0-9]+$/ { n[$2] = $3; node = 1 }                         # node --test
    /^([A-Za-z_-]+: )?[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ {                      # servicelab
      line = $0; sub(/^[A-Za-z_-]+: /, "", line); split(line, w, /[ ,]+/); p += w[1]; f += w[3]; s += w[5]; seen = 1 }
    END { if (node) { p += n["pass"]; f += n["fail"]; s += n["skipped"] + n["todo"]; seen = 1 }
          if (seen) print p + 0, f + 0, s + 0 }' "$1"
}
# Each skipped test with its reason.
why_skipped() {
  sed -nE -e 's/^test (.*) \.\.\. ignored(, (.*))?$/\1: \3/p' \
    -e 's/^ *(﹣|ok [0-9]+ -) (.*) \([0-9.]+ms\) # (SKIP|TODO)?(.*)$/\2:\4/p' \
    -e 's/^SKIP:? (.*)$/\1/p' "$1"
}

step() { # step NAME COMMAND...
  local name=$1 log counts p=0 f=0 s=0 begin=$SECONDS status=0 took; shift
  log=$logs/${name//[^a-z0-9]/-}.log
  printf -- '--- %s\n' "$name"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  took=$((SECONDS - begin))
  counts=$(count "$log")
  if [ -n "$counts" ]; then
    read -r p f s <<<"$counts"
    [ $status = 0 ] || [ "$f" != 0 ] || f=1       # it broke before or after its tests
  elif [ $status = 0 ]; then p=1; else f=1; fi
  if [ "$f" != 0 ] && [ $status = 0 ]; then status=1; fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  [ "$s" = 0 ] || reasons+=$(why_skipped "$log" | sed "s/^/  $name: /")$'\n'
  if [ $status = 0 ]; then
    grep -E '^(report|warning: unused)' "$log" | sed 's/^report: /    /' || true
    printf 'ok   %s: %d passed, %d s\n' "$name" "$p" "$took"
  else
    tail -n 80 "$log" | sed 's/^/  | /'
    printf 'FAIL %s: %d failed, %d s, all of it in %s\n' "$name" "$f" "$took" "${log#"$top"/}"
    broken+="  $name"$'\n'
  fi
  table+=$(printf '%6d s  %5d %5d %5d  %s' "$took" "$p" "$f" "$s" "$name")$'\n'
}
skip() { # skip NAME REASON: a step that was asked for and can't run
  skipped=$((skipped + 1)); reasons+="  $1: $2"$'\n'
  printf 'skip %s: %s\n' "$1" "$2"
}

if want site || want e2e; then
  begin=$SECONDS
  kind=''; if want e2e; then kind=e2e; fi
  "$top/tools/setup.sh" $kind
  table+=$(printf '%6d s  %17s  set-up' $((SECONDS - begin)) '')$'\n'
fi

# ---- engine: natively
cargo_ok() { command -v cargo >/dev/null || die "cargo is needed: https://rustup.rs"; }
if want engine; then
  cargo_ok
  step "format" native cargo fmt --all --check
  step "clippy" native cargo clippy --locked --workspace --exclude servicelab --all-targets -- -D warnings
  step "schema as Kubernetes has it" native tools/schema.sh --check
  step "native tests" native cargo test --locked --workspace --exclude servicelab --no-fail-fast
  # Another minute's inputs each day of the year; the same day, the same inputs.
  step "fuzz" native cargo run --locked -q -p lab-fuzz -- --seconds 60 --seed "$(date +%j)"
fi

# ---- lessons
if want lessons && compgen -G "$top/lessons/*" >/dev/null; then
  step "lesson check" native tools/cli.sh lesson check lessons
fi

# ---- site: for wasm
wasm_tests() {
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner
  export CHROMEDRIVER=${CHROMEDRIVER:-$(command -v chromedriver || true)}
  cargo test --locked -p servicelab --target wasm32-unknown-unknown --no-fail-fast
}
trunk_build() { trunk build --release; }
if want site; then
  step "clippy for wasm" web cargo clippy --locked -p servicelab --target wasm32-unknown-unknown --all-targets -- -D warnings
  # What needs no browser: frame store, clock, layout, dots, charts, words.
  step "tests of the site" native cargo test --locked -p servicelab --bin site
  if grep -rqs wasm_bindgen_test src tests; then step "wasm tests" web wasm_tests; fi
fi
if { want site || want engine; } && [ -e tools/wasm-hash.sh ]; then
  [ -e "$TOOLS/env.sh" ] && step "native and wasm at one hash" web bash tools/wasm-hash.sh ||
    skip "native and wasm at one hash" "the web set-up isn't there; ./lab test site makes it"
fi

# ---- the built site
build_is_stale() {
  [ -e dist/index.html ] && [ "$(cat target/web/dist-is 2>/dev/null)" = release ] || return 0
  local sources=() each
  for each in Cargo.toml Cargo.lock Trunk.toml index.html crates src public lessons style tools editor/src editor/package-lock.json; do
    [ ! -e "$each" ] || sources+=("$each")
  done
  [ -n "$(find "${sources[@]}" -path public/vendor -prune -o -type f -newer dist/index.html -print -quit)" ]
}
built=true
if want site || { want e2e && build_is_stale; }; then
  before=$failed
  step "release build" web trunk_build
  [ "$failed" = "$before" ] || built=false
fi
if want site && $built; then step "sizes" node tools/sizes.mjs; fi

# ---- e2e: in a browser
browser_tests() { cd e2e && node --test --test-reporter=spec --test-concurrency=1 ./*.test.mjs; }
if want e2e; then
  if $built; then step "browser tests" web browser_tests; else skip "browser tests" "the site could not be built"; fi
fi

printf '\n%s\n%6d s  in all\n' "    time     ok  fail  skip  step"$'\n'"${table%$'\n'}" "$SECONDS"
[ -z "$reasons" ] || printf '\nskipped:\n%s' "$reasons"
[ -z "$broken" ] || printf '\nfailed:\n%s' "$broken"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
