"""The containers that podman has of labs: run podman, list them, remove them, room for more."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab import command
from lab.deadline import Deadline, wait_for
from lab.errors import CannotRun, CommandFailed, CommandTimeout, LabError
from lab.providers import cgroups

SWEEP = 20.0  # seconds until the cgroups of what was killed are empty
_SWEEP = """for group do
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [ ! -d "$group" ] || echo "$group"
done"""
MAKING = 90.0  # seconds that podman has to make one machine
INOTIFY_KEY = "fs.inotify.max_user_instances"
INOTIFY = Path("/proc/sys", *INOTIFY_KEY.split("."))
INOTIFY_EACH = 10  # systemd 5, polkitd 2, dbus, firewalld, and one to spare


def podman(
    arguments: Sequence[str],
    *,
    within: float = 60,
    check: bool = True,
    prefix: Sequence[str] = (),
) -> str:
    """What podman prints; '' where it fails and need not have worked. Raises CommandFailed.

    `prefix`: a command that runs it.
    """
    argv = [*prefix, *cgroups.prefix(), "podman", *arguments]
    done = command.run(argv, within=within, check=check)
    return done.stdout if done.returncode == 0 else ""


def listed(lab: str = "") -> list[dict[str, Any]]:
    """Podman's own list of a lab's containers, or of every lab's."""
    label = f"lab={lab}" if lab else "lab"
    listing = _asked(["ps", "--all", "--format=json", f"--filter=label={label}"])
    entries: list[dict[str, Any]] = json.loads(listing or "[]")
    return entries


def systems() -> list[dict[str, Any]]:
    """The containers with a systemd in them; one with the label `slim` has none."""
    return [entry for entry in listed() if "slim" not in entry["Labels"]]


def await_makers(lab: str) -> None:
    """Wait for podmans that still make a machine of a lab: who started them may have been killed,
    and what they make would not be in the list of what there is to remove.
    """

    def makers() -> list[int]:
        return [pid for pid, argv in _processes() if {"podman", "run", f"lab={lab}"} <= set(argv)]

    if still := wait_for(makers, lambda found: not found, Deadline(MAKING)):
        raise LabError(f"podman has been making a machine of lab {lab} for long: process {still}")


def _processes() -> Iterator[tuple[int, list[str]]]:
    """The number and the command line of each process of this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is the kernel's own
            folder.joinpath("exe").readlink()
            # For a moment there is none, while it becomes another program.
            line = wait_for((folder / "cmdline").read_bytes, bool, Deadline(1))
            yield int(folder.name), line.decode(errors="replace").split("\0")


def remove(containers: list[dict[str, Any]]) -> None:
    """Remove containers, and the empty cgroups that one may leave: because it never started, or
    because its runtime began to remove them while its last processes were still going.
    """
    if not containers:
        return
    names = [entry["Id"] for entry in containers]
    podman(["rm", "--force", "--time=0", "--volumes", *names], within=120 + 5 * len(names))
    groups = [f"/sys/fs/cgroup/libpod_parent/libpod-{name}" for name in names]
    sweep = [*cgroups.prefix(), "sh", "-c", _SWEEP, "sh", *groups]

    def left() -> str:
        return command.run(sweep, within=10 + len(names)).stdout

    if still := wait_for(left, lambda found: not found, Deadline(SWEEP)):
        raise LabError(f"these cgroups of removed containers stay: {' '.join(still.split())}")


def volume(lab: str, name: str) -> str:
    """A volume of that name for a machine of the lab, made now unless it is there; its name.

    It has the lab's label, so that it is found when its container is gone.
    """
    if name not in volumes(lab):
        podman(["volume", "create", "--label", f"lab={lab}", name])
    return name


def volumes(lab: str) -> list[str]:
    """The volumes of a lab's machines."""
    return _asked(["volume", "ls", "--quiet", f"--filter=label=lab={lab}"]).split()


def _asked(arguments: Sequence[str]) -> str:
    """What podman lists; '' where podman cannot be called, so that nothing runs (`down` looks more
    closely).

    Another `lab down` may be at work: podman 4.3 fails where a volume goes while it lists them, and
    with the last lab goes the namespace that podman runs in.
    """
    tries = 3
    while cgroups.entered():
        try:
            return podman(arguments)
        except CommandFailed as error:
            tries -= 1
            if (isinstance(error, CommandTimeout) or not tries) and cgroups.entered():
                raise
    return ""


def remove_volumes(lab: str) -> None:
    """Remove them; no container uses them any more."""
    if names := volumes(lab):
        podman(["volume", "rm", *names])


def check_room(new: int) -> None:
    """Raise CannotRun if the kernel's limit of inotify instances has no room for new machines.

    Each systemd takes some (slim machines have none), all of one user's on this machine count
    together, and a systemd that gets none comes up half: it has to be said before, since
    afterwards it looks like anything else.
    """
    limit = int(INOTIFY.read_text())
    machines = new + len(systems())  # one without power will have it again
    needed = machines * INOTIFY_EACH
    if needed > limit:
        raise CannotRun(
            f"{machines} machines at once need {needed} inotify instances, and the kernel gives "
            f"root {limit}",
            hint=f"sysctl -w {INOTIFY_KEY}={max(1024, 2 * needed)}, or take other labs down",
        )


def room(ours: Collection[str] = ()) -> tuple[int, int]:
    """How many machines that limit allows those labs to have in all, and how many others have."""
    others = sum(entry["Labels"]["lab"] not in ours for entry in systems())
    return int(INOTIFY.read_text()) // INOTIFY_EACH - others, others
