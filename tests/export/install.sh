#!/bin/sh
# Installs what the tests of `formicarium export` need into DIR, pinned (requirements.txt): polars and matplotlib, in a
# venv. May be run again; what is there already stays.
set -eu
[ $# = 1 ] || { echo "usage: tests/export/install.sh DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
python=
for each in ${PYTHON:-python3 /usr/bin/python3}; do
  if [ -z "$python" ] && "$each" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$each
  fi
done
[ -n "$python" ] || { echo "Python 3.11 or newer with venv is needed (or name one in PYTHON)" >&2; exit 1; }
want="$(cksum <"$here/requirements.txt") $("$python" -c 'import sys; print(sys.version.split()[0], sys.prefix)')"
mkdir -p "$1"
cd "$1"
[ "$(cat installed 2>/dev/null || true)" = "$want" ] && exit 0
rm -f installed
"$python" -m venv --clear venv
venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt"
venv/bin/python -m pip check --disable-pip-version-check >/dev/null
echo "$want" >installed
