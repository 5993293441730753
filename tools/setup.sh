#!/usr/bin/env bash
# Sets up what the wasm site needs, told step by step; where all is there, it only looks (about a second).
#
#   tools/setup.sh        what `serve` and `build` need: compiler and std for wasm, Trunk, wasm-bindgen, wasm-opt, esbuild
#   tools/setup.sh e2e    also what the browser tests need: Playwright, axe, a browser, Chinese fonts
#
#   WASM_STD=auto    (default) the wasm std that is there; else `rustup target add`; else Debian's packages
#   WASM_STD=rustup  only rustup
#   WASM_STD=debian  only Debian's packages: rustup is never asked to download
#   CHROME=path      the browser for the tests
#
# All goes into target/tools; `. target/tools/env.sh` puts it on PATH for cargo and trunk by hand.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

WASM_STD=${WASM_STD:-auto}
TARGET=wasm32-unknown-unknown
TRUNK_V=0.21.14
BINARYEN_V=132.0.0
BINDGEN_V=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p}' "$top/Cargo.lock")   # the two must be equal
DEB_RUST=(rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web lld-22)
want_e2e=false; [ "${1:-}" != e2e ] || want_e2e=true

mkdir -p "$TOOLS/bin" "$TOOLS/log" "$top/target/web" "$top/public/vendor"
if command -v flock >/dev/null; then   # two runs at once would trip over each other
  exec 9>"$TOOLS/.lock"
  flock -n 9 || { say "waiting for another set-up"; flock 9; }
fi
# An environment that was sourced before must not shape what is looked for.
own_toolchain_off
PATH=${PATH//"$TOOLS/toolchain/bin:"/}; PATH=${PATH//"$TOOLS/bin:"/}
# A fallback that was taken once is kept (delete target/tools/toolchain to ask rustup again).
[ "$WASM_STD" != auto ] || [ ! -e "$TOOLS/toolchain/.stamp" ] || WASM_STD=debian
case $WASM_STD in auto|rustup|debian) ;; *) die "WASM_STD=$WASM_STD: auto, rustup or debian?";; esac

# ---- work that runs beside other work -----------------------------------------------------------
jobs_names=(); jobs_pids=()
beside() { # beside NAME COMMAND...: in the background, output to log/NAME.log
  local name=$1; shift
  "$@" >"$TOOLS/log/$name.log" 2>&1 9>&- &
  jobs_names+=("$name"); jobs_pids+=($!)
}
finish() { # waits for all of it, and says how far it is
  local i waited
  [ ${#jobs_pids[@]} != 0 ] || return 0
  for i in "${!jobs_pids[@]}"; do
    waited=0
    while kill -0 "${jobs_pids[$i]}" 2>/dev/null; do
      sleep 1; waited=$((waited + 1))
      [ $((waited % 30)) != 0 ] || say "  ${jobs_names[$i]}: $(grep -c Compiling "$TOOLS/log/${jobs_names[$i]}.log" || true) crates compiled"
    done
    if wait "${jobs_pids[$i]}"; then say "${jobs_names[$i]} is ready"
    else tail -15 "$TOOLS/log/${jobs_names[$i]}.log" >&2; die "${jobs_names[$i]} failed, all it said is in target/tools/log/${jobs_names[$i]}.log"; fi
  done
  jobs_names=(); jobs_pids=()
}
trap 'for p in ${jobs_pids[@]+"${jobs_pids[@]}"}; do kill "$p" 2>/dev/null || true; done' EXIT

# ---- Debian packages ----------------------------------------------------------------------------
apt_install() { # only those that are missing
  local missing=() package sudo=
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} != 0 ] || return 0
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "apt-get install ${missing[*]}"
  local install=($sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${missing[@]}")
  "${install[@]}" >"$TOOLS/log/apt.log" 2>&1 ||
    { $sudo apt-get update -qq >>"$TOOLS/log/apt.log" 2>&1 && "${install[@]}" >>"$TOOLS/log/apt.log" 2>&1; } ||
    { tail -5 "$TOOLS/log/apt.log" >&2; return 1; }
}

# ---- 1. Trunk and wasm-bindgen: begun first, they take the longest --------------------------------
cargo_tool() { # cargo_tool CRATE VERSION BIN OPT_LEVEL [FLAGS...]
  local crate=$1 version=$2 bin=$3 opt=$4 have; shift 4
  have=$("$TOOLS/bin/$bin" --version 2>/dev/null | awk '{print $2}') || true
  [ "$have" != "$version" ] || return 0
  if have=$(command -v "$bin") && [ "$("$have" --version | awk '{print $2}')" = "$version" ]; then
    ln -sf "$have" "$TOOLS/bin/$bin"
    if [ "$bin" = wasm-bindgen ] && have=$(command -v wasm-bindgen-test-runner); then ln -sf "$have" "$TOOLS/bin/"; fi
    return 0
  fi
  if cargo binstall -V >/dev/null 2>&1; then
    say "$crate $version: a released binary, by cargo binstall"
    ! cargo binstall --no-confirm --disable-telemetry --version "$version" --root "$TOOLS" "$crate" >"$TOOLS/log/$crate.log" 2>&1 || return 0
  fi
  say "$crate $version: cargo install, some minutes"
  # Built quickly rather than well: each is run for a second at a time.
  beside "$crate" env CARGO_PROFILE_RELEASE_OPT_LEVEL="$opt" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=false \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install "$crate" --version "=$version" --locked --root "$TOOLS" --no-track --force "$@"
}
cargo_tools() {
  cargo_tool wasm-bindgen-cli "$BINDGEN_V" wasm-bindgen 1 --no-default-features
  cargo_tool trunk "$TRUNK_V" trunk 0 --no-default-features
}
has_cargo=false; if command -v cargo >/dev/null; then has_cargo=true; cargo_tools; fi

# ---- 2. npm packages ------------------------------------------------------------------------------
command -v npm >/dev/null || die "Node.js 20 or newer is needed, with npm: https://nodejs.org"
node_major=$(node -p 'process.versions.node.split(".")[0]')
[ "$node_major" -ge 20 ] || die "Node.js 20 or newer is needed, this is $(node --version)"
npm_packages() { # npm_packages FOLDER, by its lockfile
  cmp -s "$top/$1/package-lock.json" "$top/$1/node_modules/.lock-installed" && return 0
  say "npm packages of $1"
  (cd "$top/$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$TOOLS/log/npm-$1.log" 2>&1 ||
    { tail -5 "$TOOLS/log/npm-$1.log" >&2; die "npm ci failed in $1"; }
  cp "$top/$1/package-lock.json" "$top/$1/node_modules/.lock-installed"
}
npm_packages editor
if $want_e2e; then npm_packages e2e; fi
if ! grep -qs "\"version\": \"$BINARYEN_V\"" "$TOOLS/npm/node_modules/binaryen/package.json"; then
  say "wasm-opt: binaryen $BINARYEN_V"
  npm install --prefix "$TOOLS/npm" --no-audit --no-fund --ignore-scripts --loglevel=error "binaryen@$BINARYEN_V" >"$TOOLS/log/binaryen.log" 2>&1 ||
    { tail -5 "$TOOLS/log/binaryen.log" >&2; die "npm install binaryen failed"; }
fi
printf '#!/bin/sh\nexec node "%s" "$@"\n' "$TOOLS/npm/node_modules/binaryen/bin/wasm-opt" >"$TOOLS/bin/wasm-opt"
chmod +x "$TOOLS/bin/wasm-opt"

# ---- 3. compiler and standard library for wasm ------------------------------------------------------
has_std() { # has_std RUSTC: does this rustc have it?
  local folder; folder=$("$1" --print target-libdir --target $TARGET 2>/dev/null) || return 1
  compgen -G "$folder/libstd-*.rlib" >/dev/null
}

debian_toolchain() {
  command -v apt-get >/dev/null || die "no standard library for $TARGET, and no rustup or apt-get to get it: rustup target add $TARGET"
  apt_install "${DEB_RUST[@]}" || die "apt-get failed, all it said is in target/tools/log/apt.log"
  local root=$TOOLS/toolchain stamp host b w=$TOOLS/stdbuild
  stamp="v5 $(/usr/bin/rustc -vV | tr '\n' ' ')"          # a new compiler needs a new std
  host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
  if [ "$(cat "$root/.stamp" 2>/dev/null || true)" != "$stamp" ]; then
    say "the standard library for $TARGET, built by Debian's $(/usr/bin/rustc -V)"
    rm -rf "$w" "$root"; mkdir -p "$w/src"
    : >"$w/src/lib.rs"
    printf '%s\n' '[package]' 'name="stdprobe"' 'version="0.0.0"' 'edition="2021"' '[workspace]' \
      '[profile.release]' 'opt-level="s"' 'debug=false' 'codegen-units=16' 'strip=false' >"$w/Cargo.toml"
    # embed-bitcode=yes: object code and bitcode in each rlib, so that builds with and without LTO work on it.
    # For size, since learners download it: every sort of a type of ours is a copy of std's, 5 kB at its fastest.
    ( cd "$w"; env -u RUSTUP_TOOLCHAIN -u CARGO_BUILD_TARGET -u CARGO_ENCODED_RUSTFLAGS RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-Cembed-bitcode=yes" CARGO_TARGET_DIR="$w/target" \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=/usr/bin/wasm-ld-22 \
        /usr/bin/cargo build --release --target "$TARGET" -Zbuild-std=std,panic_abort,proc_macro,test \
        -Zbuild-std-features=optimize_for_size ) >"$TOOLS/log/std.log" 2>&1 ||
      { tail -20 "$TOOLS/log/std.log" >&2; die "the standard library could not be built"; }
    # a sysroot beside the system's: the host's libraries by link, the wasm ones ours; nothing under /usr changes
    mkdir -p "$root/bin" "$root/lib/rustlib/$TARGET/lib" "$root/lib/rustlib/$host/bin"
    find "$w/target/$TARGET/release/deps" -name 'lib*.rlib' ! -name 'libstdprobe*' -exec cp -t "$root/lib/rustlib/$TARGET/lib" {} +
    ln -s "/usr/lib/rustlib/$host/lib" "$root/lib/rustlib/$host/lib"
    ln -s /usr/lib/rustlib/src "$root/lib/rustlib/src"
    ln -s /usr/lib/llvm-22/bin/lld "$root/lib/rustlib/$host/bin/rust-lld"
    for b in rustc rustdoc; do
      printf '#!/bin/sh\nexec /usr/bin/%s --sysroot "%s" "$@"\n' "$b" "$root" >"$root/bin/$b"
    done
    for b in cargo-clippy clippy-driver; do   # cargo-clippy starts the clippy-driver beside its real path: the variable must be set here
      printf '#!/bin/sh\nSYSROOT="%s" exec /usr/bin/%s "$@"\n' "$root" "$b" >"$root/bin/$b"
    done
    chmod +x "$root"/bin/*
    for b in cargo cargo-fmt rustfmt; do ln -s "/usr/bin/$b" "$root/bin/$b"; done
    rm -rf "$w" "$top/target/$TARGET"   # what was built on another std doesn't go with this one, and Cargo wouldn't notice
    echo "$stamp" >"$root/.stamp"
  fi
  # rustup takes a folder for a toolchain, and then leaves rust-toolchain files alone
  if command -v rustup >/dev/null; then toolchain_lines="export RUSTUP_TOOLCHAIN=\"$root\""
  else toolchain_lines="export PATH=\"$root/bin:\$PATH\""; fi
}

toolchain_lines=''
rustup_adds() {
  command -v rustup >/dev/null || return 1
  say "rustup target add $TARGET"
  local limit=(); ! command -v timeout >/dev/null || limit=(timeout 120)
  ${limit[@]+"${limit[@]}"} rustup target add $TARGET >"$TOOLS/log/rustup.log" 2>&1 && has_std rustc
}
if [ "$WASM_STD" != debian ] && command -v rustc >/dev/null && has_std rustc; then :
elif [ "$WASM_STD" != debian ] && rustup_adds; then :
elif [ "$WASM_STD" = rustup ]; then
  tail -5 "$TOOLS/log/rustup.log" >&2 2>/dev/null || true; die "rustup target add $TARGET failed"
else
  debian_toolchain
fi
if ! $has_cargo; then
  command -v cargo >/dev/null || die "cargo is needed: https://rustup.rs"
  cargo_tools
fi

# ---- 4. a browser -----------------------------------------------------------------------------------
find_browser() {
  local name
  if [ -n "${CHROME:-}" ]; then command -v "$CHROME"; return; fi
  for name in chromium chromium-browser google-chrome google-chrome-stable microsoft-edge \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
    command -v "$name" && return
  done
  return 1
}
browser=''
if $want_e2e; then
  if command -v apt-get >/dev/null; then
    [ -z "${CHROME:-}" ] && ! find_browser >/dev/null && packages=(chromium fonts-noto-cjk) || packages=(fonts-noto-cjk)
    # wasm tests in a browser are driven by chromedriver
    if grep -rqs run_in_browser "$top/src" "$top/tests" "$top/crates"; then packages+=(chromium-driver); fi
    apt_install "${packages[@]}" || say "apt-get failed (target/tools/log/apt.log), going on with what is there"
  fi
  browser=$(find_browser) || die "the browser tests need Chrome or Chromium: install one, or set CHROME to its path"
elif browser=$(find_browser 2>/dev/null); then :; else browser=''; fi

finish

# ---- 5. what to source, and proof that it works -------------------------------------------------------
{
  echo "export PATH=\"$TOOLS/bin:\$PATH\""
  echo "export TRUNK_SKIP_VERSION_CHECK=true"
  [ -z "$browser" ] || printf 'export CHROME=%q\n' "$browser"
  echo "$toolchain_lines"
} >"$TOOLS/env.sh"
( . "$TOOLS/env.sh"
  has_std rustc || die "there is no standard library for $TARGET after the set-up"
  say "set up: $(rustc -V | cut -d' ' -f1,2), $(trunk --version), $(wasm-bindgen --version), wasm-opt $BINARYEN_V${browser:+, $(basename "$browser")}" )
