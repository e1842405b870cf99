#!/bin/sh
# Prints the folder to build in for tests. Tests start programs as other users, who must reach what was built: where the
# project's folder is closed to them (a home of mode 0700, say) and root tests, that is a folder of root's in /var/tmp.
set -eu
cd "$(dirname "$0")/.."
if [ -n "${CARGO_TARGET_DIR:-}" ]; then
  echo "$CARGO_TARGET_DIR"
  exit
fi
closed=
if [ "$(id -u)" = 0 ]; then
  folder=$PWD
  while [ "$folder" != / ]; do
    case $(stat -c %A "$folder") in *x | *t) ;; *) closed=$folder ;; esac
    folder=$(dirname "$folder")
  done
fi
if [ -z "$closed" ]; then
  echo target
  exit
fi
open=/var/tmp/formicarium-target-$(echo "$PWD" | cksum | cut -d' ' -f1)
mkdir -p -m 0755 "$open"
if [ -L "$open" ] || [ "$(stat -c %u "$open")" != 0 ]; then
  echo "tests: $open is not root's; remove it" >&2
  exit 1
fi
echo "tests: other users may not enter $closed, so the tests are built in $open" >&2
echo "$open"
