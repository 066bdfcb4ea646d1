"""The podman provider: who has to wait for whom when a lab is removed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import lock
from lab.errors import Busy, LabError
from lab.providers import MACHINERY, cgroups, containers, controllers, network, podman

LONGEST = 900  # seconds that machines may take to be made, under the lock


class Machine:
    """This machine with no lab, and what is done to it."""

    def __init__(self, lock: Path) -> None:
        self.lock = lock
        self.entered = True
        self.done: list[str] = []

    def enter(self) -> None:
        self.done.append("enter")
        self.entered = True


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path / "machines.lock")
    monkeypatch.setattr(podman, "LOCK", made.lock)
    monkeypatch.setattr(podman, "FOLDER", tmp_path / "labs")
    monkeypatch.setattr(podman, "listed", lambda lab="": [])
    monkeypatch.setattr(podman, "volumes", lambda _lab: [])
    monkeypatch.setattr(podman, "remove_volumes", lambda lab: made.done.append(f"volumes {lab}"))
    monkeypatch.setattr(controllers, "found", lambda pattern: [])
    monkeypatch.setattr(network, "found", lambda lab: [])
    monkeypatch.setattr(network, "labs", set)
    monkeypatch.setattr(network, "remove", lambda lab: made.done.append(f"remove {lab}"))
    monkeypatch.setattr(network, "remove_folder", lambda: made.done.append("tidy"))
    monkeypatch.setattr(cgroups, "entered", lambda: made.entered)
    monkeypatch.setattr(cgroups, "enter", made.enter)
    monkeypatch.setattr(cgroups, "leave", lambda: made.done.append("leave"))
    return made


def test_the_last_lab_takes_all_with_it(machine: Machine) -> None:
    podman.Podman().down("a")
    assert machine.done == ["volumes a", "remove a", "leave", "tidy"]


def test_two_labs_are_removed_at_once(machine: Machine) -> None:
    """Another `lab down` is neither waited for nor disturbed: it tidies up itself."""
    with lock.hold(machine.lock, MACHINERY, shared=True):
        podman.Podman().down("a")
    assert machine.done == ["volumes a", "remove a"]


def test_after_a_reboot_the_namespace_is_made_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """… while nobody else is at work with podman, and a lab that is being made is waited for."""
    machine.entered = False
    podman.Podman().down("a")
    assert machine.done == ["enter", "volumes a", "remove a", "leave", "tidy"]
    machine.entered = False
    machine.done.clear()
    monkeypatch.setattr(podman, "WAIT", 0.1)
    with (
        lock.hold(machine.lock, MACHINERY, shared=True),
        pytest.raises(Busy, match="machines of all labs is in use by process"),
    ):
        podman.Podman().down("a")
    assert machine.done == []


def test_waiting_outlasts_the_longest_holder(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.entered = False
    waits: list[float] = []

    @contextmanager
    def hold(path: Path, what: str, *, within: float = 0.0, shared: bool = False) -> Iterator[None]:
        waits.append(within)
        yield

    monkeypatch.setattr(lock, "hold", hold)
    podman.Podman().down("a")
    first, second, tidying = waits
    assert min(first, second) > LONGEST
    assert tidying < 5


def test_a_tree_of_cgroups_is_swept_from_its_leaves(tmp_path: Path) -> None:
    """A runtime that was interrupted leaves some of the groups that a machine's systemd made."""
    whole, busy = tmp_path / "whole", tmp_path / "busy"
    for top in (whole, busy):
        (top / "system.slice" / "pcsd.service").mkdir(parents=True)
        (top / "init.scope").mkdir()
    (busy / "system.slice" / "process").touch()  # what cannot go, as a group with a process
    argv = ["sh", "-c", containers._SWEEP, "sh", str(whole), str(busy), str(tmp_path / "gone")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == f"{busy}\n"
    assert not whole.exists()
    assert not (busy / "init.scope").exists()


def test_podman_that_still_makes_a_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does whose harness was killed: what it makes is in no list yet."""
    monkeypatch.setattr(containers, "MAKING", 0.5)
    argv = ["podman", "-c", "read -r line", "run", "--label", "lab=a", "image"]
    with subprocess.Popen(argv, executable="/bin/sh", stdin=subprocess.PIPE) as maker:
        containers.await_makers("b")
        with pytest.raises(LabError, match=f"lab a for long: process .*{maker.pid}"):
            containers.await_makers("a")
        maker.communicate(b"\n", timeout=10)
    containers.await_makers("a")
