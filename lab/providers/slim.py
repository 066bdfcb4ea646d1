"""Slim machines: containers with pacemaker-remoted as their first process, and nothing else.

No systemd, no firewall, no sshd that waits. Who logs in brings an sshd along: it is started in
the namespaces of the machine's first process, whose number podman writes into

    /run/lab/labs/L/N/pid

A number alone could be another process's by then. So it counts only while that process is in
the network namespace of this very machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from lab import command
from lab.errors import CommandFailed
from lab.images import Images

INIT = "/usr/sbin/pacemaker-remoted"
LABEL = "slim=true"
_BUILD = "lab-slim-build"  # one at a time, under podman's lock: what an interrupted one left goes
_ENTER = (
    'pid=$(cat "$0") && [ "/proc/$pid/ns/net" -ef "$1" ] && net=$1 && shift && '
    'exec nsenter --target "$pid" --mount --uts --ipc --pid --net="$net" -- "$@"'
)
Podman = Callable[..., str]


def inside(pid: Path, namespace: Path, argv: Sequence[str]) -> list[str]:
    """A command line that runs `argv` on the machine with that pid file and network namespace."""
    return ["sh", "-c", _ENTER, str(pid), str(namespace), *argv]


def login(pid: Path, namespace: Path) -> str:
    """The ProxyCommand that logs in."""
    return shlex.join(inside(pid, namespace, ["/usr/sbin/sshd", "-i"]))


def seed(pid: Path, namespace: Path) -> None:
    """Put what makes it itself in its place; others do that at their first boot."""
    tar = ["tar", "-C", "/", "--no-same-owner", "--overwrite", "-xf", "/run/lab/seed.tar"]
    command.run(inside(pid, namespace, tar), within=30)


def image(base: str, images: Images, podman: Podman, options: Sequence[str]) -> str:
    """The image of slim machines, made once from that of the others; its name.

    The caller holds podman's lock, and nobody else builds.
    """
    name = base.replace(f"/{images.platform}:", f"/{images.platform}-slim:")
    with suppress(CommandFailed):
        podman(["image", "inspect", "--format={{.Id}}", name])
        return name
    packages = f"--volume={images.packages}:/srv/packages:ro"
    build = ["run", "--name", _BUILD, "--network=none", "--no-hosts", "--privileged", *options]
    try:
        podman(["rm", "--force", "--ignore", "--time=0", _BUILD])
        podman([*build, packages, base, "/usr/local/sbin/lab-prepare-slim"], within=110)
        podman(["commit", "--quiet", _BUILD, name], within=110)
    finally:
        podman(["rm", "--force", "--ignore", "--time=0", _BUILD])
    return name
