"""What starts next: a decision from values alone, and the looks that the values come from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab import memory, paths, providers
from lab.matrix.cells import Cell
from lab.providers import containers, libvirtd

RESERVE = 512  # MiB that this machine keeps for itself


@dataclass(frozen=True)
class Room:
    """What all cells together may take, those that run already included.

    `machines`: as the kernel's limit of inotify instances allows beside `others`, those of labs
    that are none of ours; `memory`: MiB; `cores`. `taken`: MiB that there may be besides once those
    labs are gone, at most.
    """

    machines: int
    memory: int
    cores: float
    others: int = 0
    taken: int = 0


def starts(
    waiting: Sequence[Cell], running: Sequence[Cell], room: Room, jobs: int = 0
) -> list[Cell]:
    """The waiting cells that are to start now, the longest first.

    A shorter one that fits passes by a longer one that does not. `jobs`: at most so many at once,
    whatever the cores; 0 for as many as have a core. Where nothing runs, the longest starts even
    if it does not fit, since waiting would not help it: it may run after all, or `lab up` says
    what is missing. Only for room that other labs take, of machines or of memory, it waits.
    """
    chosen: list[Cell] = []
    for cell in sorted(waiting, key=lambda cell: (-cell.seconds, cell.lab)):
        together = [*running, *chosen, cell]
        if _fit(together, room, jobs) or (len(together) == 1 and not _passing(cell, room)):
            chosen.append(cell)
    return chosen


def _passing(cell: Cell, room: Room) -> bool:
    """Whether it has no room only as long as other labs are there."""
    need = cell.needs
    fits = need.machines <= room.machines and need.memory <= room.memory
    may_fit = (
        need.machines <= room.machines + room.others and need.memory <= room.memory + room.taken
    )
    return may_fit and not fits


def _fit(cells: Sequence[Cell], room: Room, jobs: int) -> bool:
    needs = [cell.needs for cell in cells]
    return (
        sum(need.machines for need in needs) <= room.machines
        and sum(need.memory for need in needs) <= room.memory
        and (len(cells) <= jobs if jobs else sum(need.cores for need in needs) <= room.cores)
    )


def look(running: Iterable[Cell], most: int) -> Room:
    """The room that there is now. `most`: MiB that there were before the first cell began."""
    ours = list(running)
    labs = {cell.lab for cell in ours}
    machines, others = containers.room(labs)
    # What runs has not taken all that it needs yet, so free memory alone says too much.
    free = min(most, free_memory() + sum(cell.needs.memory for cell in ours))
    # How much others take nobody can say: an emulated machine takes more as it goes on.
    crowded = others or any(libvirtd.processes(lab) for lab in libvirtd.labs() - labs)
    return Room(
        machines=machines,
        others=others,
        memory=free,
        taken=max(0, memory.total() - RESERVE - free) if crowded else 0,
        cores=float(len(os.sched_getaffinity(0))),
    )


def free_memory() -> int:
    """MiB that new programs can have, less what this machine keeps for itself."""
    return memory.available() - RESERVE


def with_known_durations(cells: Iterable[Cell]) -> list[Cell]:
    """The cells with how long they took when they last passed here, where that is known; else as
    much longer than on containers as their provider says.
    """
    known: dict[tuple[str, str, str, int], tuple[float, float]] = {}
    for file in paths.results().glob("*/*/results.jsonl"):
        if file.parent.is_symlink():
            continue
        with suppress(OSError, ValueError, KeyError, TypeError):  # one that is no good says nothing
            began, ended = _ends(file)
            if (ended["event"], ended["verdict"]) == ("RunEnded", "passed"):
                made_of = began["platform"], began["provider"]
                key = began["scenario"], *made_of, len(began["sections"])
                known[key] = max(known.get(key, (0.0, 0.0)), (ended["at"], ended["seconds"]))
    found = []
    for cell in cells:
        key = cell.scenario, cell.platform, cell.provider, cell.sections
        estimated = 0.0, cell.seconds * providers.load(cell.provider).pace()
        found.append(replace(cell, seconds=known.get(key, estimated)[1]))
    return found


def _ends(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first and the last event of a results file, which can be long, as there can be many."""
    with file.open("rb") as lines:
        first = lines.readline()
        lines.seek(max(0, file.stat().st_size - 4096))
        last = lines.read().splitlines()[-1:] or [b""]
    return json.loads(first), json.loads(last[0])
