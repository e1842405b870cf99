#!/bin/sh
# Installs what the tests need from the system's packages where this user may, and names it where not.
set -eu
missing=""
for pair in chromium:chromium sqlite3:sqlite3 python3:python3 node:nodejs; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "${CHROMIUM:-}" ] && missing=$(printf '%s' "$missing" | sed 's/ chromium//')
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing:$missing"
  apt-get update -qq >/dev/null
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
  exit 0
fi
echo "The tests need programs that are not here:$missing" >&2
echo "Install them with your system's packages (Debian, Ubuntu: sudo apt-get install$missing)," >&2
echo "or name a browser with CHROMIUM=/path/to/chromium." >&2
exit 1
