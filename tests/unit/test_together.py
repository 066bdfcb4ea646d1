"""The same thing on several machines at the same time, and an interrupt meanwhile."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest

from lab.deadline import Deadline, wait_for
from lab.together import AT_ONCE, on_each

LONG = 30.0  # seconds: far more than an interrupted wait may take


class Machine:
    """Its command ends when the connection is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.dropped = False

    def run(self) -> bool:
        return self.closed.wait(LONG)

    def close(self) -> None:
        self.closed.set()

    def drop(self) -> None:
        self.dropped = True


class Lab:
    def __init__(self) -> None:
        self.machines = {name: Machine() for name in ("node1", "node2")}

    def machine(self, name: str) -> Any:
        return self.machines[name]


def test_what_each_returned_is_in_the_nodes_order() -> None:
    lab: Any = Lab()
    late = threading.Event()

    def do(machine: Any) -> str:
        if machine is lab.machines["node1"]:
            assert late.wait(LONG)
            return "one"
        late.set()
        return "two"

    assert on_each(lab, ["node1", "node2"], do) == {"node1": "one", "node2": "two"}


@pytest.mark.parametrize(("count", "dropped"), [(AT_ONCE, False), (AT_ONCE + 1, True)])
def test_of_many_machines_no_connection_is_kept(count: int, dropped: bool) -> None:
    """Of a few they are: a new one takes longer than most commands."""
    lab: Any = Lab()
    lab.machines = {f"remote{number}": Machine() for number in range(count)}
    on_each(lab, list(lab.machines), lambda machine: None)
    assert {machine.dropped for machine in lab.machines.values()} == {dropped}


@pytest.mark.parametrize("what", ["a command", "a wait"])
def test_an_interrupt_ends_all_of_them(what: str) -> None:
    lab: Any = Lab()
    begun = threading.Barrier(3)
    main = threading.get_ident()

    def do(machine: Any) -> object:
        begun.wait(LONG)
        if what == "a command":
            return machine.run()
        return wait_for(lambda: False, bool, Deadline(LONG))

    def interrupt() -> None:
        begun.wait(LONG)
        # Not before it waits for them; and once more if it was just about to: a signal in that
        # moment is seen when the wait is over.
        while not lab.machines["node1"].closed.wait(0.5):
            signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        on_each(lab, ["node1", "node2"], do)
    assert time.monotonic() - started < LONG / 2
    assert all(machine.closed.is_set() for machine in lab.machines.values())
