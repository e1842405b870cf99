#!/bin/sh
# Installs what the tests of the MCP seats need into DIR, pinned: the official Python SDK, the conformance suite, and a
# Node that is new enough for it. May be run again; what is there already stays.
set -eu
[ $# = 1 ] || { echo "usage: tests/mcp/install.sh DIR" >&2; exit 2; }
SDK=2.3.0
SUITE=0.1.16
NODE=22.23.3
want="mcp $SDK, conformance $SUITE, node $NODE"
mkdir -p "$1"
cd "$1"
[ "$(cat installed 2>/dev/null || true)" = "$want" ] && exit 0
for program in python3 npm; do
  command -v "$program" >/dev/null 2>&1 || { echo "$program is not here; install it with your system's packages" >&2; exit 1; }
done
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check "mcp==$SDK"
[ -f package.json ] || echo '{"private": true}' >package.json
npm install --silent --no-fund --no-audit "@modelcontextprotocol/conformance@$SUITE" "node@$NODE" >/dev/null
echo "$want" >installed
