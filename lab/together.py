"""The same thing on several machines at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from lab.deadline import heed

if TYPE_CHECKING:
    from lab.lab import Lab
    from lab.machine import Machine

T = TypeVar("T")
AT_ONCE = 8  # machines; more would only wait for this one's processors


def on_each(lab: Lab, nodes: Iterable[str], do: Callable[[Machine], T]) -> dict[str, T]:
    """What `do` returned of each node's machine, in the nodes' order.

    What it raises for one of them is raised when all have ended. An interrupt ends all of them now.
    """

    off = threading.Event()

    def one(machine: Machine) -> T:
        heed(off)
        try:
            return do(machine)
        finally:
            if len(machines) > AT_ONCE:  # a connection to each of hundreds would be a load on all
                machine.drop()

    machines = {node: lab.machine(node) for node in nodes}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return dict(zip(machines, pool.map(one, machines.values()), strict=True))
        except KeyboardInterrupt:
            off.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for machine in machines.values():
                machine.close()  # what waits for an answer gets none
            raise
