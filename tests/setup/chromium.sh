#!/bin/sh
# Makes sure that the browser tests find Chromium. Where it cannot be installed it
# says so loudly; the tests that need it are then skipped, and in CI that fails.
set -eu

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "tidings: installing Chromium for the browser tests (once, about a minute)"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if { apt-get update -q && apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core; } \
        </dev/null >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -n 15 "$log" >&2
    rm -f "$log"
fi

cat >&2 <<'EOF'
==============================================================================
 No Chromium on this machine, and it could not be installed from here.
 The browser tests WILL BE SKIPPED. To run them, install it first:
   Debian, Ubuntu:  sudo apt-get install chromium
   macOS:           any Chromium or Chrome on the PATH as "chromium"
==============================================================================
EOF
[ "${CI:-}" != true ]
