#!/bin/sh
# Builds the image of the Dockerfile on a machine without a Docker engine and without a registry of images: with Podman,
# on bases made by debootstrap. `sh tests/image/build.sh [NAME]`, as root; NAME is formicarium unless given. A second run
# makes only what has changed.
#
#   localhost/formicarium-run-base     Debian with certificates, by debootstrap alone: what the image stands on
#   localhost/formicarium-build-base   the same with a C compiler, and this machine's Rust and Node; none of it stays
#
# This machine's own certificates and settings of cargo, npm and pip are lent to the build as volumes, so that downloads
# work, and end up in no image.
set -eu
umask 022
cd "$(dirname "$0")/../.."
name=${1:-formicarium}
suite=bookworm
started=$(date +%s)

say() { echo "image: $*"; }
fail() {
  echo "image: $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || fail "debootstrap and the build want root; run this as root"
missing=
for pair in podman:podman runc:runc debootstrap:debootstrap; do
  command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || fail "these programs are not here:$missing; install them with your system's packages"
  say "installing:$missing"
  apt-get update -qq >/dev/null
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
for program in rustc cargo node npm; do
  command -v "$program" >/dev/null || fail "$program is not here; the build base takes this machine's Rust and Node"
done
rust=$(rustc --print sysroot)
[ "$rust" != /usr ] && [ -x "$rust/bin/cargo" ] ||
  fail "the build base takes a Rust that lies in one folder, as rustup installs it, and $rust is none"

work=$(mktemp -d /var/tmp/formicarium-image.XXXXXX)
# debootstrap that is interrupted leaves mounts, which must not be removed with the rest.
clean() {
  grep -o " $work/[^ ]*" /proc/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
  rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The mirror that this machine has its own packages from, if it is a Debian of that name; else debootstrap's own.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Codename: $suite" \
  'Component: main' 2>/dev/null | head -n 1)

# bootstrap DIR PACKAGES: a Debian without what is this machine's.
bootstrap() {
  mkdir -p "$work/packages"
  # shellcheck disable=SC2086
  debootstrap --variant=minbase --cache-dir="$work/packages" --include="$2" "$suite" "$1" $mirror >"$work/log" 2>&1 ||
    fail "debootstrap failed: $(tail -n 5 "$work/log")"
  rm -rf "$1/var/cache/apt/archives"/*.deb "$1/var/lib/apt/lists"/* "$1/var/log"/*.log "$1/etc/resolv.conf" \
    "$1/etc/hostname"
}

# import DIR NAME RECIPE [VARIABLE=VALUE..]
import() {
  from=$1
  to=$2
  label="LABEL formicarium.recipe=\"$3\""
  shift 3
  for each in "$@"; do
    shift
    set -- "$@" --change "ENV $each"
  done
  tar -C "$from" --numeric-owner -c . | podman import --quiet --change "$label" "$@" - "$to" >/dev/null
  rm -rf "$from"
}

# What a base was made of. It is made anew when that has changed.
recipe() { podman image inspect --format '{{index .Labels "formicarium.recipe"}}' "$1" 2>/dev/null || true; }

run_base=localhost/formicarium-run-base
wanted="$suite $(cksum <tests/image/build.sh | cut -d' ' -f1)"
if [ "$(recipe $run_base)" != "$wanted" ]; then
  say "$run_base: Debian $suite"
  bootstrap "$work/run" ca-certificates
  import "$work/run" $run_base "$wanted"
fi

build_base=localhost/formicarium-build-base
wanted="$wanted rust $(rustc --version | cut -d' ' -f2) node $(node --version) npm $(npm --version)"
if [ "$(recipe $build_base)" != "$wanted" ]; then
  say "$build_base: $wanted"
  bootstrap "$work/build" ca-certificates,gcc,libc6-dev,make
  local=$work/build/usr/local
  mkdir -p "$local/rust" "$local/cargo" "$local/lib/node_modules"
  tar -C "$rust" --exclude=./share -c . | tar -C "$local/rust" --no-same-owner -x
  for program in "$local/rust/bin"/*; do ln -s "../rust/bin/${program##*/}" "$local/bin/"; done
  cp "$(node -p process.execPath)" "$local/bin/node"
  cp -RL "$(npm root --global)/npm" "$local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$local/bin/npx"
  # Where the settings lie that a build is lent.
  ln -s /mnt/cargo.toml "$local/cargo/config.toml"
  ln -s /mnt/npmrc "$work/build/root"/.npmrc
  ln -s /mnt/pip.conf "$work/build/etc/pip.conf"
  # With /proc, by which programs find their libraries; in a mount namespace, which takes it away again.
  # shellcheck disable=SC2016
  unshare --mount sh -ec 'mount -t proc proc "$1/proc"
    exec chroot "$1" /bin/sh -ec "for each in rustc cargo node npm; do \$each --version; done"' - "$work/build" \
    >"$work/log" 2>&1 || fail "this machine's Rust and Node do not work in a Debian $suite: $(tail -n 5 "$work/log")"
  trust=/etc/ssl/certs/ca-certificates.crt
  import "$work/build" $build_base "$wanted" CARGO_HOME=/usr/local/cargo CARGO_HTTP_CAINFO=$trust \
    NODE_EXTRA_CA_CERTS=$trust PIP_CERT=$trust
fi

lent=$work/lent
mkdir -m 0700 "$lent"
lend() { if [ -f "$1" ]; then cp "$1" "$lent/$2"; fi; }
lend "${CARGO_HOME:-$HOME/.cargo}/config.toml" cargo.toml
lend "${NPM_CONFIG_USERCONFIG:-$HOME/.npmrc}" npmrc
lend "$HOME/.config/pip/pip.conf" pip.conf

say "building $name"
podman build --isolation=chroot --network=host --volume "$lent:/mnt:ro" --volume /etc/ssl/certs:/etc/ssl/certs:ro \
  --build-arg BUILD_IMAGE=$build_base --build-arg NODE_IMAGE=$build_base --build-arg RUN_IMAGE=$run_base \
  --tag "$name" .
size=$(podman image inspect --format '{{.Size}}' "$name")
say "$name: $((size / 1000000)) MB, $(($(date +%s) - started)) s"
