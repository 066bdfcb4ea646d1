"""What of a lab is on this machine: after it there should be nothing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from lab import command, paths
from lab.errors import CommandFailed
from lab.labs import everything
from lab.providers import cgroups, containers, controllers

SETTLED = 20.0  # seconds until what is between two states, as machines come and go, is in one
_known: set[str] = set()  # what is no fault of the next test


def remember() -> None:
    """What belongs to no container now was left by who was here before these tests."""
    _known.update(_of_nobody())


def traces(name: str) -> list[str]:
    """Everything on this machine that shows a lab of that name, or a container that is gone."""
    found = [f"in `lab list`: {name}"] if name in everything() else []
    if (paths.labs() / name).exists():
        found.append(f"folder {paths.labs() / name}")
    mounts = {*Path("/proc/self/mountinfo").read_text().splitlines(), *_podmans_mounts()}
    found += [f"mount {line}" for line in mounts if re.search(rf"/run/lab/\w+/{name}\b", line)]
    found += _processes(name)
    found += [f"cgroup {path}" for path in controllers.found(f"lab.{name}.*")]
    for folder, folders, files in os.walk("/run/lab"):  # passes over what goes meanwhile
        for path in (Path(folder, one) for one in (*folders, *files)):
            if name in path.parts or path.name.startswith(f"{name}."):
                found.append(f"file {path}")
    return [*found, *_orphans()]


def _processes(name: str) -> Iterator[str]:
    known = rf"\blab-{name}-|/labs/{name}/|/net/{name}\b|bmc_daemon {name}\b"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            mounted = (process / "mountinfo").read_text()
        except OSError:
            continue
        if re.search(known, line) or f"/labs/{name}/vms/" in mounted:
            yield f"process {process.name}: {line}"


def _orphans() -> set[str]:
    """What containers left that are gone. Other labs' machines come and go: only what stays
    counts; and what stays is told once.
    """
    left = _of_nobody()
    end = time.monotonic() + SETTLED
    while left and time.monotonic() < end:
        time.sleep(0.5)
        left &= _of_nobody()
    _known.update(left)
    return left


def _of_nobody() -> set[str]:
    mounts = _podmans_mounts()
    there = mounted = ""
    if cgroups.entered():  # else no container runs
        there = containers.podman(["ps", "--all", "--quiet", "--no-trunc"], check=False)
        mounted = containers.podman(["mount"], check=False)
    return {
        *(f"cgroup {group}" for group in _empty_cgroups(there.split())),
        *(f"volume {volume}" for volume in _volumes()),
        *(f"mount {point}" for point in orphaned(mounts, there.split(), mounted.split())),
    } - _known


def _empty_cgroups(there: Collection[str]) -> Iterator[Path]:
    """Cgroups with no process, of containers that are gone: what a removed one would leave."""
    for top in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        for group in top.glob("libpod_parent/libpod-*"):
            try:
                empty = "populated 0" in (group / "cgroup.events").read_text()
            except OSError:  # it went just now
                continue
            if empty and group.name.removeprefix("libpod-") not in there:
                yield group


def _volumes() -> set[str]:
    """Podman's volumes that belong to no container. In a mount namespace of its own podman finds
    them also when the last lab has taken podman's own with it, and leaves no mount here.
    """
    volumes = ["podman", "volume", "ls", "--quiet", "--filter", "dangling=true"]
    look = ["unshare", "--mount", "--", *volumes]
    for _ in range(5):  # podman 4.3 fails where another test's volume goes while it lists them
        with suppress(CommandFailed):
            return set(command.run(look, within=60).stdout.split())
    return set(command.run(look, within=60).stdout.split())


def _podmans_mounts() -> list[str]:
    """Lines of mountinfo where podman runs; none where its namespace went with the last lab."""
    if not cgroups.entered():
        return []
    look = [*cgroups.prefix(), "cat", "/proc/self/mountinfo"]
    return command.run(look, within=10, check=False).stdout.splitlines()


def orphaned(mounts: Collection[str], there: Collection[str], mounted: Collection[str]) -> set[str]:
    """The mount points among these lines that podman made for containers that are not `there`, by
    their ids; `mounted` has the root file systems of those that are.
    """
    found = set()
    for point in (line.split()[4] for line in mounts):
        container = re.search(r"/overlay-containers/([0-9a-f]{64})/", point)
        if container and container[1] not in there:
            found.add(point)
        if re.search(r"/overlay/[0-9a-f]{64}/merged\b", point) and point not in mounted:
            found.add(point)
    return found
