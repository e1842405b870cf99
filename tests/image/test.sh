#!/bin/sh
# Runs the image as a container engine's users do: with Docker's default capabilities as root, and as another user, whose
# seats are kept apart by Landlock. Each time the escape suite and a run. `sh tests/image/test.sh [NAME]`, as root, after
# build.sh. Ends with status 0 only when all holds.
set -eu
name=${1:-formicarium}
command -v podman >/dev/null || { echo "image: podman is not here; tests/image/build.sh installs it" >&2; exit 1; }
podman image exists "$name" || { echo "image: there is no image $name; make image builds it" >&2; exit 1; }
work=$(mktemp -d /var/tmp/formicarium-image-test.XXXXXX)
trap 'rm -rf "$work"' EXIT

# Podman's own defaults are fewer, and capabilities asked for on its command line become those of another user too.
cat >"$work/containers.conf" <<END
[containers]
default_capabilities = ["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP",
  "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"]
END
export CONTAINERS_CONF="$work/containers.conf"
bounding=00000000a80425fb

# inside USER ENTRYPOINT WORDS: in a fresh container, without a network.
inside() {
  who=$1
  entry=$2
  shift 2
  podman --runtime runc run --rm --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 --network=none --user "$who" \
    --entrypoint "$entry" "$name" "$@"
}

failed=0
# check WHAT COMMAND..: runs it and says how it ended.
check() {
  what=$1
  shift
  if "$@" >"$work/said" 2>&1; then
    echo "image: $what: $(tail -n 1 "$work/said")"
  else
    echo "image: FAILED: $what" >&2
    sed 's/^/  /' "$work/said" >&2
    failed=1
  fi
}

has_the_capabilities() { inside 0:0 grep "CapBnd:.$bounding" /proc/self/status; }
has_no_capability() { inside 1000:1000 grep "CapPrm:.0000000000000000" /proc/self/status; }
# A run with shared files, isolated as this user can be, that replays and stands every check.
runs_and_verifies() {
  inside "$1" sh -ec "formicarium run workshop --headless --out runs/one >runs/said 2>&1 || { cat runs/said; exit 1; }
    grep 'isolation: $2' runs/said
    formicarium replay runs/one
    formicarium verify runs/one"
}

check "root has Docker's default capabilities" has_the_capabilities
check "another user has none" has_no_capability
check "escape suite as root" inside 0:0 formicarium doctor --attack
check "escape suite as another user" inside 1000:1000 formicarium doctor --attack
check "a run as root" runs_and_verifies 0:0 uid
check "a run as another user" runs_and_verifies 1000:1000 landlock
exit $failed
