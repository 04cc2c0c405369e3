#!/bin/sh
# Installs what the tests need and a fresh machine lacks: etcd, haproxy, nginx and curl by apt, node packages (node 22
# among them) by npm, and one Python environment for each generation of the `mcp` package. Everything that is not a
# system package lies in target/test-tools (or TOOLGATE_TEST_TOOLS). Quick when there is nothing to do.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
tools="${TOOLGATE_TEST_TOOLS:-$root/target/test-tools}"
clients="$root/tests/clients"
mkdir -p "$tools"

say() {
    printf 'test-setup: %s\n' "$*" >&2
}

# Runs a command as root, where that is needed and possible.
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

# name of the program, name of the package
needed='etcd etcd-server
haproxy haproxy
nginx nginx-light
curl curl
npm npm
python3 python3'
missing=$(printf '%s\n' "$needed" | while read -r program package; do
    has "$program" || printf '%s ' "$package"
done)
# A Python without its venv module cannot make an environment.
if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
    missing="${missing}python3-venv "
fi
if [ -n "$missing" ]; then
    say "installing $missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # Started by the tests, not by the system.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >&2
fi

# done_for STAMP FILE...: whether STAMP was left by a run with these very files.
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
    # The node of the packages (22) runs the tests; the machine's own only installs them.
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
