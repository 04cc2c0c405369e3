#!/bin/sh
# Installs the dependencies of the tests: etcd, haproxy, nginx, faketime, curl and iproute2 with apt, node packages
# (including node 22) with npm, and one Python environment for each generation of the `mcp` package. Everything except system
# packages is in target/test-tools (or TOOLGATE_TEST_TOOLS). Returns quickly if everything is installed.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
tools="${TOOLGATE_TEST_TOOLS:-$root/target/test-tools}"
clients="$root/tests/clients"
mkdir -p "$tools"

say() {
    printf 'test-setup: %s\n' "$*" >&2
}

# Runs a command as root, with sudo if needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        say "needs root or sudo: $*"
        exit 1
    fi
}

has() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]
}

# Program and package, one pair per line.
needed='etcd etcd-server
etcdctl etcd-client
haproxy haproxy
nginx nginx-light
faketime faketime
tinyproxy tinyproxy-bin
curl curl
ip iproute2
npm npm
python3 python3'
missing=$(printf '%s\n' "$needed" | while read -r program package; do
    has "$program" || printf '%s ' "$package"
done)
# Python needs its venv module to create an environment.
if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
    missing="${missing}python3-venv "
fi
if [ -n "$missing" ]; then
    say "installing $missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # RUNLEVEL=1 keeps apt from starting the services: the tests start them.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >&2
fi

# done_for STAMP FILE...: succeeds if STAMP was written for exactly these files.
done_for() {
    stamp="$tools/$1.stamp"
    shift
    cat "$@" | cksum | cmp -s - "$stamp" 2>/dev/null
}

leave_stamp() {
    stamp="$tools/$1.stamp"
    shift
    cat "$@" | cksum >"$stamp"
}

if ! done_for npm "$clients/package.json" "$clients/package-lock.json"; then
    say "installing node packages"
    mkdir -p "$tools/clients"
    cp "$clients/package.json" "$clients/package-lock.json" "$tools/clients/"
    # The tests use node 22 from the packages; the installed node only runs npm.
    (cd "$tools/clients" && npm ci --no-audit --no-fund --loglevel=error >&2)
    leave_stamp npm "$clients/package.json" "$clients/package-lock.json"
fi

for generation in 1 2; do
    requirements="$clients/requirements-$generation.txt"
    if ! done_for "python$generation" "$requirements"; then
        say "making the Python environment for mcp generation $generation"
        rm -rf "$tools/venv-mcp$generation"
        python3 -m venv "$tools/venv-mcp$generation"
        "$tools/venv-mcp$generation/bin/python" -m pip install --quiet --disable-pip-version-check \
            -r "$requirements" >&2
        leave_stamp "python$generation" "$requirements"
    fi
done
say "ready: $tools"
