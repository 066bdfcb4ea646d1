"""cgroup v1 controllers for machines that run containers themselves.

libvirt's LXC driver needs the controllers memory, devices and cpuacct. Where this machine has
bound them to cgroup v1, a machine of a lab finds none of them in its cgroup v2. It is then
started in a group of its own in each v1 hierarchy; that group is all that its cgroup namespace
shows it of them, and the file `controllers` in its /run/lab tells it which it may mount (see
lab-containers in boxes/). Nothing is made outside of these groups, and they go with the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab import command
from lab.deadline import Deadline, wait_for
from lab.errors import LabError

MOUNTS = Path("/proc/self/mountinfo")
LAST = 10.0  # seconds until the kernel has let go of killed processes
_JOIN = """\
while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit; shift; done
shift; exec "$@"
"""


def hierarchies() -> dict[str, Path]:
    """This machine's cgroup v1 hierarchies: controllers as `mount -o` takes them, mount point."""
    found = {}
    for line in MOUNTS.read_text().splitlines():
        own, _, source = line.partition(" - ")
        kind, _device, options = source.split()[:3]
        point = own.split()[4]
        named = [o for o in options.split(",") if o not in ("rw", "ro", "xattr", "clone_children")]
        if kind == "cgroup" and not any("=" in option for option in named):
            found[",".join(named)] = Path(point)
    return found


def create(name: str) -> list[Path]:
    """Make a group of that name in each hierarchy."""
    groups = []
    for point in hierarchies().values():
        group = point / name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty at first: then nobody may join
            if (group / setting).exists():
                (group / setting).write_text((point / setting).read_text())
        groups.append(group)
    return groups


def within(groups: Sequence[Path]) -> list[str]:
    """What to put before a command line that is to run in these groups."""
    return ["sh", "-c", _JOIN, "sh", *map(str, groups), "--"] if groups else []


def found(pattern: str) -> list[Path]:
    """The groups that have such a name, a pattern of the shell's."""
    return [g for point in hierarchies().values() for g in sorted(point.glob(pattern))]


def remove(groups: Sequence[Path]) -> None:
    """Remove groups, with those in them. What ran there has been killed by now."""

    def left() -> list[Path]:
        command.run(["find", *map(str, groups), "-depth", "-type", "d", "-delete"], within=10,
                    check=False)  # fmt: skip
        return [group for group in groups if group.exists()]

    if groups and (still := wait_for(left, lambda seen: not seen, Deadline(LAST))):
        raise LabError(f"of these cgroups some process is alive: {', '.join(map(str, still))}")
