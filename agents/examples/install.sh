#!/bin/sh
# Installs what agents made of packages need, pinned, into a folder: `sh agents/examples/install.sh [DIR]`; DIR is
# target/agents of this checkout unless given. A second run finds nothing to do.
#
#   DIR/bin/claude         Claude Code, the program itself
#   DIR/bin/claude-acp     its adapter for ACP
#   DIR/node_modules       these two and the Agent SDK for TypeScript (package-lock.json beside this file)
#   DIR/venv               Python with the Agent SDK (claude-agent-sdk-python/requirements.txt and constraints.txt)
#
# No install script of a package is run. The SDKs bring copies of Claude Code of their own; equal ones become one file,
# which saves disk and, where several agents run, memory.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../../target/agents}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

say() { echo "agents: $*"; }
fail() {
  echo "agents: $*" >&2
  exit 1
}

command -v npm >/dev/null || fail "npm is needed (Node 20 or newer)"
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || fail "Node 20 or newer is needed"
# The system's Python comes first: agents may run as other users, who cannot reach one in somebody's home.
python=
for each in ${PYTHON:-/usr/bin/python3 python3}; do
  if [ -z "$python" ] && "$each" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$each
  fi
done
[ -n "$python" ] || fail "Python 3.11 or newer with venv is needed (or name one in PYTHON)"

# What was installed: a digest of the pins, this script, and the programs that run it.
wanted=$(cat "$here/package.json" "$here/package-lock.json" "$here/claude-agent-sdk-python/requirements.txt" \
  "$here/claude-agent-sdk-python/constraints.txt" "$here/install.sh" | cksum)
wanted="$wanted $(node --version) $("$python" -c 'import sys; print(sys.version.split()[0], sys.prefix)') $dir"
if [ -f "$dir/installed" ] && [ "$(cat "$dir/installed")" = "$wanted" ]; then
  say "nothing to do, all is in $dir"
  exit 0
fi
rm -f "$dir/installed"

say "npm packages into $dir/node_modules"
cp "$here/package.json" "$here/package-lock.json" "$dir/"
npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund --loglevel=error

say "Python packages into $dir/venv"
"$python" -m venv --clear "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
  -r "$here/claude-agent-sdk-python/requirements.txt" -c "$here/claude-agent-sdk-python/constraints.txt"

# The package for this machine is the one whose program runs here (other C library, other processor: it does not).
claude=
for each in "$dir"/node_modules/@anthropic-ai/claude-code-*/claude; do
  if [ -x "$each" ] && "$each" --version >/dev/null 2>&1; then claude=$each; fi
done
[ -n "$claude" ] || fail "none of $dir/node_modules/@anthropic-ai/claude-code-* runs on this machine"

find "$dir/node_modules" "$dir/venv" -type f -name claude -size +1000k ! -samefile "$claude" | while read -r copy; do
  if cmp -s "$claude" "$copy"; then
    ln -f "$claude" "$copy"
  fi
done

mkdir -p "$dir/bin"
ln -sf "$claude" "$dir/bin/claude"
cat >"$dir/bin/claude-acp" <<END
#!/bin/sh
# The ACP adapter of Claude Code. Written by agents/examples/install.sh.
exec "$(command -v node)" "$dir/node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js" "\$@"
END
chmod +x "$dir/bin/claude-acp"

version=$("$claude" --version | cut -d' ' -f1)
say "Claude Code $version, its SDK for TypeScript and Python, its ACP adapter: $(du -sh "$dir" | cut -f1) in $dir"
echo "$wanted" >"$dir/installed"
