"""The labs that there are on this machine: which, what is left of one, and the end of one.

A process that changes a lab holds /run/lab/locks/NAME.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab import bmc, lock, owner, paths, providers
from lab.lab import Lab


def everything() -> list[str]:
    """Every lab of which anything is there: on disk, at a provider, its BMCs, or whose it is."""
    there = bmc.names() | owner.names()
    if paths.labs().exists():
        there |= {path.name for path in paths.labs().iterdir()}
    for provider in providers.every():
        there |= provider.labs()
    return sorted(there)


def remains(name: str) -> str:
    """What there is of a lab that is not on disk, or not all of it; in words."""
    if place := owner.elsewhere(name):
        return f"belongs to LAB_STATE={place}"
    folder = paths.labs() / name
    if not os.path.lexists(folder):
        found = "machines without their folder"
    elif not folder.is_dir():
        found = f"{folder} is no folder"
    elif not any(folder.iterdir()):
        found = f"{folder} is empty"
    else:
        found = f"{folder} has no lab.json"
    return f"{found}; lab down {name} removes what is there"


def ours() -> list[str]:
    """The same without those that belong to another state folder."""
    return [name for name in everything() if not owner.elsewhere(name)]


def down(name: str) -> bool:
    """Remove all there is of a lab, also if its folder is damaged or gone; whether there was any.

    Raises LabError if something could not be removed, and says what; BadInput for a lab that
    belongs to another state folder.
    """
    owner.require_own(name)
    if name not in everything():  # `..` or `name/` is a path, but no lab
        return False
    bmc.stop(name)
    for provider in providers.every():
        provider.down(name)  # also one that sees nothing now, as after a reboot of this machine
    folder = paths.labs() / name
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    else:  # it is gone, or was never one
        folder.unlink(missing_ok=True)
    owner.release(name)
    return True


@contextmanager
def held(name: str, *, within: float = 0.0) -> Iterator[None]:
    """Hold a lab against other lab processes while the block runs.

    The lock's file goes with the lab, and so does whose it is: if the lab is gone after the block.
    """
    file = paths.RUN / "locks" / name
    with lock.hold(file, f"lab {name}", within=within):
        try:
            yield
        finally:
            if not (paths.labs() / name).exists():
                file.unlink(missing_ok=True)
                if not owner.elsewhere(name):
                    owner.release(name)


def summary(lab: Lab) -> dict[str, Any]:
    """A lab in plain data, for `lab list --json`."""
    running = lab.provider.running(lab.name)
    return {
        **vars(lab.record),
        "machines": {node: running.get(node, False) for node in lab.scenario.nodes},
        "sections": [step.section for step in lab.scenario.steps],
    }
