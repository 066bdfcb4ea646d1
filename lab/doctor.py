"""What lab needs of this machine, whether it is there, and how to get it.

    require()   at the start of a command: only what can be looked up at once
    examine()   for `lab doctor`: everything, and what the kernel can do is really tried
    fix()       install the missing programs

Nothing here prints; the command line does.
"""

from __future__ import annotations

import os
import platform as python_platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import command, images, kvm, paths, platforms
from lab.errors import CannotRun, CommandFailed, LabError
from lab.model import Platform
from lab.providers import cgroups

INSTALL_DEADLINE = 1200.0  # seconds

# program -> the Debian package it is in, and what for
PROGRAMS = {
    "podman": ("podman", "machines are containers of podman"),
    "crun": ("crun", "podman starts containers with it"),
    "mmdebstrap": ("mmdebstrap", "images are built with it"),
    "apt-ftparchive": ("apt-utils", "it indexes the packages that nodes install"),
    "mke2fs": ("e2fsprogs", "it makes the disks of guests"),
    "ssh": ("openssh-client", "every machine is reached through OpenSSH"),
    "ssh-keygen": ("openssh-client", "it makes the keys of a lab"),
    "socat": ("socat", "ssh reaches a container's socket through it"),
    "ip": ("iproute2", "it makes a lab's network"),
    "nsenter": ("util-linux", "commands enter a lab's network with it"),
    "unshare": ("util-linux", "it makes a lab's namespaces"),
    "mount": ("mount", "namespaces are kept by mounts"),
    "umount": ("mount", "namespaces are removed by unmounting them"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. Where `needed` is false, lab does without it."""

    name: str
    ok: bool
    needed: bool
    seen: str
    why: str
    fix: str
    packages: tuple[str, ...] = ()


def examine() -> list[Finding]:
    """Everything that lab needs or makes use of. Takes a second or two."""
    findings = _quick()
    if sys.platform != "linux":
        return findings  # the rest asks the Linux kernel
    known = [platforms.load(name) for name in platforms.names()]
    unbuilt = [platform for platform in known if not images.built(platform)]
    nothing_built = len(unbuilt) == len(known)
    return [
        *findings,
        _room(needed=nothing_built),
        _run(),
        _cgroups(),
        _network(),
        _overlay(),
        _kvm(),
        *(_mirror(p, needed=nothing_built) for p in known if p.family == "debian"),
        *(_images(p, built=p not in unbuilt) for p in known),
    ]


def missing(needed: bool = True) -> list[Finding]:
    """What is not there, as far as it can be looked up at once; only what lab needs."""
    return [finding for finding in _quick() if not finding.ok and (finding.needed or not needed)]


def require() -> None:
    """Raise CannotRun, with one message for all of it, where lab cannot work."""
    lacking = missing()
    if not lacking:
        return
    for finding in lacking:
        if not finding.packages:  # no package makes root or Linux of what it is not
            raise CannotRun(f"lab needs {finding.name}: {finding.why}", hint=finding.fix)
    lines = "".join(f"\n  {finding.name}: {finding.why}" for finding in lacking)
    names = " ".join(_packages(lacking))
    raise CannotRun(
        f"this machine lacks programs that lab needs:{lines}",
        hint=f"run: lab doctor --fix (or install: {names})",
    )


def fix(say: Callable[[str], None]) -> None:
    """Install the packages of what is missing; CannotRun where that is not possible."""
    lacking = missing(needed=False)
    packages = _packages(lacking)
    if not packages:
        say("no package is missing")
        return
    names = " ".join(packages)
    if not shutil.which("apt-get"):
        raise CannotRun(
            "there is no apt-get here to install packages with",
            hint=f"install what these Debian packages have: {names}",
        )
    if os.geteuid() != 0:
        raise CannotRun(f"installing packages needs root: {names}", hint="run it as root")
    say(f"installing {names}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    try:
        command.run(["apt-get", "update"], within=INSTALL_DEADLINE, env=quiet)
        command.run(install, within=INSTALL_DEADLINE, env=quiet)
    except CommandFailed as error:
        raise CannotRun(
            f"{names} could not be installed: {error.message}",
            hint="is the package mirror reachable?",
        ) from error
    if still := [finding.name for finding in missing(needed=False) if finding.packages]:
        raise CannotRun(
            f"installed, but still not found: {', '.join(still)}",
            hint="is /usr/sbin in PATH?",
        )


def _packages(findings: Sequence[Finding]) -> list[str]:
    return sorted({package for finding in findings for package in finding.packages})


def _quick() -> list[Finding]:
    root = os.geteuid() == 0
    return [
        Finding(
            "Linux",
            sys.platform == "linux",
            True,
            sys.platform,
            "it makes namespaces and containers of the Linux kernel",
            "use a Linux machine",
        ),
        Finding(
            "root",
            root,
            True,
            "root" if root else f"user id {os.geteuid()}",
            "it makes namespaces and containers",
            "run it as root, or with sudo",
        ),
        Finding(
            "Python 3.11",
            sys.version_info >= (3, 11),
            True,
            python_platform.python_version(),
            "it is written for 3.11 and later",
            "install a newer Python, then run setup.sh",
        ),
        *(_program(name, package, why) for name, (package, why) in PROGRAMS.items()),
    ]


def _program(name: str, package: str, why: str) -> Finding:
    path = shutil.which(name)
    return Finding(
        name,
        path is not None,
        True,
        path or "not installed",
        why,
        f"lab doctor --fix, or install {package}",
        (package,),
    )


def _room(needed: bool) -> Finding:
    folder = paths.cache()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding(
        "disk space",
        free >= images.ROOM,
        needed,
        f"{free >> 20} MiB free for {paths.cache()}",
        f"an image build takes up to {images.ROOM >> 20} MiB",
        "free some room, or set LAB_CACHE to a folder on another disk",
    )


def _run() -> Finding:
    folder = paths.RUN if paths.RUN.exists() else paths.RUN.parent
    ok = os.access(folder, os.W_OK)
    return Finding(
        str(paths.RUN),
        ok,
        True,
        "writable" if ok else "not writable",
        "sockets, namespaces and locks are kept there",
        f"make {folder} writable for root",
    )


def _cgroups() -> Finding:
    why = "podman needs cgroup v2 with nothing of v1 beside it"
    if not cgroups.mixed():
        return Finding("cgroups", True, True, "v2: podman runs as it is", why, "")
    problem = _try(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup",
        ],
    )  # what cgroups.enter() does, but gone at once
    seen = "v1 and v2: a private mount namespace with pure cgroup v2 will be used"
    return Finding(
        "cgroups",
        not problem,
        True,
        problem or seen,
        why,
        "boot with systemd.unified_cgroup_hierarchy=1",
    )


def _network() -> Finding:
    problem = _try(
        ["unshare", "--net", "ip", "-batch", "-"],
        "link add lab0 type bridge\n"
        "link add port1 type veth peer name eth0\n"
        "link set port1 master lab0 up\n",
    )
    return Finding(
        "lab network",
        not problem,
        True,
        problem or "a namespace with a bridge and a cable was made",
        "each lab has a switch in a network namespace of its own",
        "the kernel must have net namespaces, bridge and veth, and a container CAP_NET_ADMIN",
    )


def _overlay() -> Finding:
    # Tried by mounting one, since that also loads a module which /proc/filesystems lacks yet.
    with tempfile.TemporaryDirectory(prefix="lab-doctor-") as folder:
        problem = _try(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                'mount -t tmpfs none "$1" && cd "$1" && mkdir lower upper work all && '
                "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none all",
                "sh",
                folder,
            ],
        )
    return Finding(
        "overlay file system",
        not problem,
        True,
        problem or "one was mounted",
        "podman keeps machines apart with it",
        "modprobe overlay, or a kernel that has it",
    )


def _kvm() -> Finding:
    reason = kvm.missing()
    slow = f"guests are emulated (TCG): {reason}, about ten times slower"
    return Finding(
        "KVM",
        not reason,
        False,
        slow if reason else "guests run with KVM",
        "guest nodes start and answer faster with it",
        "a machine, or a virtual one with nested virtualisation, whose /dev/kvm works",
    )


def _mirror(platform: Platform, needed: bool) -> Finding:
    fix = "set LAB_MIRROR to the address of one"
    try:
        found = images.sources(platform.suite)
        ok, seen = True, f"{len(found)} package sources"
    except LabError as error:
        ok, seen, fix = False, error.message, error.hint or fix
    return Finding(
        f"package mirror for {platform.name}",
        ok,
        needed,
        seen,
        "images are built from its packages; once built, none is asked",
        fix,
    )


def _images(platform: Platform, built: bool) -> Finding:
    return Finding(
        f"images of {platform.name}",
        built,
        False,
        "built" if built else "not built yet",
        "a lab's nodes and guests start from them",
        "none needed: the first lab builds them, in about two minutes",
    )


def _try(argv: Sequence[str], stdin: str = "") -> str:
    """Run what lab itself will do; '' if it went well, else why not."""
    if os.geteuid() != 0:
        return "not tried: only root can"
    try:
        done = command.run(argv, within=10, stdin=stdin, check=False)
    except LabError as error:
        return error.message
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if not done.returncode else (said or [f"exit status {done.returncode}"])[0]
