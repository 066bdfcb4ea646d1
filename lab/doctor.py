"""What lab needs of this machine, whether it is there, and how to get it.

    require()   at the start of a command: only what can be looked up at once
    examine()   for `lab doctor`: everything, and what the kernel can do is really tried
    fix()       install the missing programs

Nothing here prints; the command line does.
"""

from __future__ import annotations

import os
import platform as machine
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab import command, doctor_vagrant, images, kvm, paths, platforms
from lab.errors import CannotRun, CommandFailed, LabError
from lab.finding import Finding, program
from lab.platform import Platform
from lab.providers import AUTO, cgroups

VAGRANT = doctor_vagrant.PROVIDER
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
    "setpriv": ("util-linux", "it ends an image build with the one who asked for it"),
    "mount": ("mount", "namespaces are kept by mounts"),
    "umount": ("mount", "namespaces are removed by unmounting them"),
}

# everything else -> why lab needs or wants it, and how to get it
REASONS = {
    "Linux": ("it makes namespaces and containers of the Linux kernel", "use a Linux machine"),
    "root": ("it makes namespaces and containers", "run it as root, or with sudo"),
    "Python 3.11": ("it is written for 3.11 and later", "install one, then run setup.sh"),
    "disk space": (
        f"an image build takes up to {images.ROOM >> 20} MiB",
        "free some room, or set LAB_CACHE to a folder on another disk",
    ),
    "LAB_STATE": (
        "labs and the results of runs are kept there",
        "set LAB_STATE to a folder that can be written",
    ),
    "LAB_CACHE": (
        "built images are kept there",
        "set LAB_CACHE to a folder that can be written",
    ),
    "/run": ("sockets, namespaces and locks are kept there", "make it writable for root"),
    "cgroups": ("podman needs pure v2", "boot with systemd.unified_cgroup_hierarchy=1"),
    "lab network": (
        "each lab has a switch in a network namespace of its own",
        "a kernel with network namespaces, bridge and veth; in a container also CAP_NET_ADMIN",
    ),
    "overlay file system": ("podman keeps machines apart with it", "use a kernel that has it"),
    "KVM": (
        "guest nodes start and answer faster with it",
        "a machine whose /dev/kvm works; a virtual one needs nested virtualisation",
    ),
    "netem": (
        "the faults delay and loss are made by it; the others do without",
        "a kernel with CONFIG_NET_SCH_NETEM",
    ),
    "package mirror": ("images are built from it, once", "set LAB_MIRROR to the address of one"),
    "images": ("nodes and guests start from them", "no need: the first lab builds them"),
}


def examine(provider: str = AUTO) -> list[Finding]:
    """Everything that lab needs or makes use of. Takes a few seconds.

    What the provider vagrant alone needs is needed where that one is named, else only noted; where
    podman is, it is left out. What podman needs is needed always: `lab list` and `lab down` look
    for labs of both.
    """
    findings = _quick()
    if sys.platform != "linux":
        return findings  # the rest asks the Linux kernel
    findings += [_run(), _cgroups(), _network(), _overlay(), _netem()] if _is_root() else _untried()
    findings += [_kvm(), _folder("LAB_STATE", paths.state), _folder("LAB_CACHE", paths.cache)]
    if not findings[-1].ok:
        return findings  # the rest looks into it
    known = [platforms.load(name) for name in platforms.built_here()]
    built = {platform.name for platform in known if images.built(platform)}
    return [
        *findings,
        _room(needed=not built),
        *(_mirror(p, needed=not built) for p in known),
        *(_images(p, built=p.name in built) for p in known),
        *_of_vagrant(provider, known),
    ]


def _of_vagrant(provider: str, known: Sequence[Platform]) -> list[Finding]:
    if provider not in (AUTO, VAGRANT):
        return []
    essential = [replace(f, needed=provider == VAGRANT) for f in doctor_vagrant.essential()]
    return [*essential, *doctor_vagrant.useful(known)]


def missing(provider: str = AUTO) -> list[Finding]:
    """What lab needs and is not there, as far as that can be looked up quickly."""
    findings = _quick()
    if provider == VAGRANT:
        findings += doctor_vagrant.essential()
    return [finding for finding in findings if not finding.ok]


def require(provider: str = AUTO) -> None:
    """Raise CannotRun, with one message for all of it, where lab cannot work with a provider."""
    _refuse(missing(provider), provider)


def require_box() -> None:
    """The same where boxes for Vagrant cannot be made."""
    made_with = doctor_vagrant.qemu_img()
    _refuse([*missing(), *([] if made_with.ok else [made_with])], VAGRANT)


def _refuse(lacking: Sequence[Finding], provider: str) -> None:
    if not lacking:
        return
    for finding in lacking:
        if not finding.packages:  # no package makes root or Linux of what it is not
            raise CannotRun(f"lab needs {finding.name}: {finding.why}", hint=finding.fix)
    lines = "".join(f"\n  {finding.name}: {finding.why}" for finding in lacking)
    option = f" --provider {provider}" if any(f.provider for f in lacking) else ""
    raise CannotRun(
        f"this machine lacks programs that lab needs:{lines}",
        hint=f"run: lab doctor --fix{option} (or install: {' '.join(_packages(lacking))})",
    )


def fix(say: Callable[[str], None], provider: str = AUTO) -> None:
    """Install the packages of what is missing; CannotRun where that is not possible."""
    packages = _packages(missing(provider))
    names = " ".join(packages)
    if not packages:
        say("no package is missing")
        return
    if not shutil.which("apt-get"):
        raise CannotRun(
            "there is no apt-get here to install packages with",
            hint=f"install what these Debian packages have: {names}",
        )
    if not _is_root():
        raise CannotRun(f"installing packages needs root: {names}", hint="run it as root")
    say(f"installing {names}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    try:
        command.run(["apt-get", "update"], within=INSTALL_DEADLINE, env=quiet)
        command.run(install, within=INSTALL_DEADLINE, env=quiet)
    except CommandFailed as error:
        raise CannotRun(
            f"{names} could not be installed: {error}", hint="is the package mirror reachable?"
        ) from error
    if still := ", ".join(finding.name for finding in missing(provider) if finding.packages):
        raise CannotRun(f"installed, but still not found: {still}", hint="is /usr/sbin in PATH?")


def _packages(findings: Sequence[Finding]) -> list[str]:
    return sorted({package for finding in findings for package in finding.packages})


def _finding(name: str, ok: bool, seen: str, *, needed: bool = True, of: str = "") -> Finding:
    """A finding with its reason; `of` is what of several things of that name it is about."""
    why, fix = REASONS[name]
    return Finding(f"{name} {of}".strip(), ok, needed, seen, why, fix)


def _quick() -> list[Finding]:
    root = _is_root()
    return [
        _finding("Linux", sys.platform == "linux", sys.platform),
        _finding("root", root, "it is" if root else f"user id {os.geteuid()}"),
        _finding("Python 3.11", sys.version_info >= (3, 11), machine.python_version()),
        *(program(name, package, why) for name, (package, why) in PROGRAMS.items()),
    ]


def _is_root() -> bool:
    return os.geteuid() == 0


def _untried() -> list[Finding]:
    """What is found out only by doing it."""
    names = ("/run", "cgroups", "lab network", "overlay file system", "netem")
    found = [_finding(name, False, "not tried: only root can", needed=False) for name in names]
    return [replace(one, fix="run lab doctor as root: it tells") for one in found]


def _folder(setting: str, where: Callable[[], Path]) -> Finding:
    """Whether what lab keeps can be written there, or what is not there yet can be made."""
    try:
        folder = where()
    except CannotRun as error:
        return _finding(setting, False, error.message)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    ok = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    problem = "not writable" if there.is_dir() else "no folder"
    return _finding(setting, ok, f"{folder} can be written" if ok else f"{there} is {problem}")


def _room(needed: bool) -> Finding:
    folder = paths.cache()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    seen = f"{free >> 20} MiB free for {paths.cache()}"
    return _finding("disk space", free >= images.ROOM, seen, needed=needed)


def _run() -> Finding:
    ok = os.access(paths.RUN if paths.RUN.exists() else paths.RUN.parent, os.W_OK)
    return _finding("/run", ok, f"{paths.RUN} is {'' if ok else 'not '}writable")


def _cgroups() -> Finding:
    if not cgroups.mixed():
        return _finding("cgroups", True, "v2: podman runs as it is")
    # What cgroups.enter() does, but gone at once.
    script = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
    problem = _try(["unshare", "--mount", "sh", "-c", script])
    seen = "v1 and v2: a private mount namespace with pure cgroup v2 will be used"
    return _finding("cgroups", not problem, problem or seen)


def _network() -> Finding:
    batch = (
        "link add lab0 type bridge\n"
        "link add port1 type veth peer name eth0\n"
        "link set port1 master lab0 up\n"
    )
    problem = _try(["unshare", "--net", "ip", "-batch", "-"], batch)
    seen = "a namespace with a bridge and a cable could be made"
    return _finding("lab network", not problem, problem or seen)


def _overlay() -> Finding:
    # /proc/filesystems would not do: mounting one loads the module, where it is one.
    script = """
        mount -t tmpfs none "$1" && cd "$1" && mkdir lower upper work all &&
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none all
    """
    with tempfile.TemporaryDirectory(prefix="lab-doctor-") as folder:
        problem = _try(["unshare", "--mount", "sh", "-c", script, "sh", folder])
    return _finding("overlay file system", not problem, problem or "one could be mounted")


def _netem() -> Finding:
    batch = "qdisc add dev lo root netem delay 1ms\n"
    problem = _try(["unshare", "--net", "tc", "-batch", "-"], batch)
    seen = f"no faults delay and loss: {problem}" if problem else "packets could be delayed"
    return _finding("netem", not problem, seen, needed=False)


def _kvm() -> Finding:
    reason = kvm.missing()
    slow = f"guests are emulated (TCG): {reason}, about ten times slower"
    return _finding("KVM", not reason, slow if reason else "guests run with KVM", needed=False)


def _mirror(platform: Platform, needed: bool) -> Finding:
    try:
        seen, ok = f"{len(images.sources(platform))} package sources", True
    except LabError as error:
        seen, ok = error.message, False
    return _finding("package mirror", ok, seen, needed=needed, of=f"for {platform.name}")


def _images(platform: Platform, built: bool) -> Finding:
    seen = "built" if built else "not built yet"
    return _finding("images", built, seen, needed=False, of=f"of {platform.name}")


def _try(argv: Sequence[str], stdin: str = "") -> str:
    """Run what lab itself will do; '' if it went well, else why not."""
    try:
        done = command.run(argv, within=10, stdin=stdin, check=False)
    except LabError as error:
        return error.message
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if not done.returncode else (said or [f"exit status {done.returncode}"])[0]
