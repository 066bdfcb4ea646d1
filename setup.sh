#!/bin/sh
# Make this checkout ready: the system packages that lab needs, and its Python in .venv.
#
# With the word `vagrant` it also installs what virtual machines need: Vagrant, libvirt, QEMU.
# Run it as often as you like. What is there already is left alone and takes no network; what
# failed half-way is done again, since a step counts only by what it left behind when whole.
#
# Exit status: 0 ready, 2 another word than that, 3 this machine does not allow it.
set -eu
cd "$(dirname "$0")"

# libvirt-dev, pkg-config, gcc and libc6-dev: libvirt-python is compiled against them.
packages="podman crun mmdebstrap apt-utils e2fsprogs openssh-client socat iproute2 util-linux
    mount libvirt-dev pkg-config gcc libc6-dev"
case ${1:-} in
    '') ;;
    vagrant) packages="$packages vagrant vagrant-libvirt libvirt-daemon-system dnsmasq-base
        qemu-system-x86 qemu-utils" ;;
    *)
        printf 'setup: %s: unknown; valid: nothing, or vagrant\n' "$1" >&2
        exit 2
        ;;
esac
venv=.venv
stamp=$venv/.ready

say() { printf 'setup: %s\n' "$*"; }

refuse() {
    printf 'setup: %s\n' "$*" >&2
    exit 3
}

# Whether a package is installed whole: half-installed and not-installed are states as well.
installed() {
    # shellcheck disable=SC2016
    case " $(dpkg-query -W -f '${db:Status-Status} ' "$1" 2>/dev/null)" in
        *" installed "*) return 0 ;;
        *) return 1 ;;
    esac
}

install() {
    [ "$(id -u)" = 0 ] || refuse "installing needs root: $*"
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@"; } >/dev/null ||
        refuse "apt-get could not install: $*"
}

# The first Python that is new enough; one version after the other, since what is called
# python3 may be older. Run, since the stand-in of a version manager may have no Python behind it;
# its real path, since the first in PATH may be in the very environment that is made anew.
find_python() {
    for name in python3.11 python3.12 python3.13 python3.14 python3; do
        "$name" -c '
import os, sys
sys.version_info >= (3, 11) or sys.exit(1)
print(os.path.realpath(sys.executable))' 2>/dev/null && return
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

for tool in dpkg-query apt-get; do
    command -v "$tool" >/dev/null ||
        refuse "this needs a Debian-like system, with $tool; elsewhere install what these" \
            "packages have, and the project with pip:" "$packages"
done

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
            /usr/bin/*) missing="$missing $(basename "$python")-$part" ;;
            *) refuse "$python has no $part part: install it, or put another Python first in PATH" ;;
        esac
    done
fi
# shellcheck disable=SC2086 # a list of words
if [ -n "$missing" ]; then install $missing; else say "system packages: all there"; fi
[ -n "$python" ] || python=$(find_python) || refuse "no Python 3.11 or later is to be had here"

# What the environment is made of, and where: it cannot be moved.
wanted=$({ pwd; echo "$python"; "$python" --version; cat setup.sh pyproject.toml \
    constraints/constraints.txt; } | sha256sum)
if [ "$(cat $stamp 2>/dev/null)" = "$wanted" ] && [ -x $venv/bin/lab ]; then
    say "$venv: as it should be ($("$python" --version))"
    exit
fi
say "$venv: making it with $("$python" --version), $python"
rm -f $stamp
"$python" -m venv --clear $venv
say "$venv: installing the project and what it is developed with"
# What pip compiles it builds in an environment of its own. Only these variables reach that one
# (the second from pip 25.3 on).
PIP_CONSTRAINT=$PWD/constraints/constraints.txt
PIP_BUILD_CONSTRAINT=$PIP_CONSTRAINT
export PIP_CONSTRAINT PIP_BUILD_CONSTRAINT
$venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
    -c constraints/constraints.txt -e '.[dev]' || refuse "pip could not install the project"
$venv/bin/python -c 'import libvirt' || refuse "libvirt-python was installed but does not load"
echo "$wanted" > $stamp
say "$venv: ready"
