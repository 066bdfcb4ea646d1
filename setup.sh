#!/bin/sh
# Make this checkout ready: the system packages that lab needs, and its Python in .venv.
#
# Run it as often as you like. What is there already is left alone and takes no network; what
# failed half-way is done again, since a step counts only by what it left behind when whole.
#
# Exit status: 0 ready, 3 this machine does not allow it, else what apt-get or pip ended with.
set -eu
cd "$(dirname "$0")"

# libvirt-dev, pkg-config, gcc and libc6-dev: libvirt-python is compiled against them.
packages="podman crun mmdebstrap apt-utils e2fsprogs openssh-client socat iproute2 util-linux
    mount libvirt-dev pkg-config gcc libc6-dev"
venv=.venv
stamp=$venv/.ready

say() { printf 'setup: %s\n' "$*"; }

refuse() {
    printf 'setup: %s\n' "$*" >&2
    exit 3
}

# Whether a package is installed whole, under its name or as what another package provides.
installed() {
    case $(dpkg-query -W -f '${db:Status-Status} ' "$1" 2>/dev/null) in
        *installed*) return 0 ;;
        *) return 1 ;;
    esac
}

install() {
    [ "$(id -u)" = 0 ] || refuse "installing needs root: $*"
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -q -y --no-install-recommends "$@"
}

# The first Python that is new enough; one version after the other, since what is called
# python3 may be older. A version manager's stand-in of a Python it lacks fails when run.
find_python() {
    for name in python3.11 python3.12 python3.13 python3.14 python3; do
        "$name" -c '
import sys
sys.version_info >= (3, 11) or sys.exit(1)
print(sys.executable)' 2>/dev/null && return
    done
    return 1
}

# Whether Python "$1" can do "$2": make virtual environments, have extensions compiled.
python_can() {
    case $2 in
        venv) "$1" -c 'import ensurepip, venv' 2>/dev/null ;;
        dev) "$1" -c '
import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' ;;
    esac
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    refuse "this needs a Debian-like system with apt-get; elsewhere install what these packages" \
        "have, and the project with pip: $(echo $packages)"

missing=
for package in $packages; do
    installed "$package" || missing="$missing $package"
done
python=$(find_python) || missing="$missing python3 python3-venv python3-dev"
if [ -n "$python" ]; then
    for part in venv dev; do
        python_can "$python" "$part" && continue
        # Debian splits these off its own Pythons; any other came without them.
        case $python in
            /usr/bin/*) missing="$missing $(basename "$(readlink -f "$python")")-$part" ;;
            *) refuse "$python has no $part part: install it, or put another Python first in PATH" ;;
        esac
    done
fi
# shellcheck disable=SC2086
[ -z "$missing" ] && say "system packages: all there" || install $missing
[ -n "$python" ] || python=$(find_python) || refuse "no Python 3.11 or later is to be had here"

# What the environment is made of, and where: it cannot be moved.
wanted=$({ pwd; echo "$python"; "$python" --version; cat setup.sh pyproject.toml \
    constraints/constraints.txt; } | sha256sum)
if [ "$(cat $stamp 2>/dev/null)" = "$wanted" ] && $venv/bin/python -c 'import lab' 2>/dev/null; then
    say "$venv: as it should be ($("$python" --version))"
    exit
fi
say "$venv: making it with $("$python" --version), $python"
"$python" -m venv --clear $venv
say "$venv: installing the project and what it is developed with"
# pip builds some packages in an environment of their own, which these variables reach (the
# second one from pip 25.3 on).
PIP_CONSTRAINT=$PWD/constraints/constraints.txt
PIP_BUILD_CONSTRAINT=$PIP_CONSTRAINT
export PIP_CONSTRAINT PIP_BUILD_CONSTRAINT
$venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints/constraints.txt \
    -e '.[dev]'
$venv/bin/python -c 'import libvirt, fabric, lab'
echo "$wanted" > $stamp
say "$venv: ready"
