"""Commands on several nodes: at the same time, each told of, in their nodes' order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from lab.context import Context
from lab.deadline import COMMAND
from lab.errors import CommandTimeout, Unreachable
from lab.events import CommandEnded, CommandStarted, Event
from lab.lab import Lab
from lab.machine import Result
from lab.plan import PlannedCommand
from lab.reporter import Reporter
from lab.typist import Stop, Typist

NODES = ("node1", "node2", "remote1")
PASSWORD = "correct horse battery staple"
Answer = Callable[[str], Result]


@dataclass
class FakeMachine:
    """Answers what the script says, and keeps what was typed."""

    name: str
    answer: Answer
    typed: list[tuple[str, str | None]] = field(default_factory=list)

    def run(self, command: str, *, within: float, stdin: str | None = None) -> Result:
        assert within == COMMAND
        self.typed.append((command, stdin))
        return self.answer(self.name)


class Stage:
    """A typist of a lab whose machines answer by a script, and all that it says."""

    def __init__(self) -> None:
        self.answer: Answer = lambda name: Result("", 0, f"out of {name}", "", 0.0)
        self.machines = {name: FakeMachine(name, lambda node: self.answer(node)) for name in NODES}
        self.events: list[Event] = []
        self.report = Reporter([self.events.append])
        self.report.begin("5.3")
        self.typist = Typist(cast(Lab, self), self.report)
        self.context = Context(cast(Lab, self))

    @property
    def access(self) -> Stage:
        return self

    def secret(self, name: str) -> str:
        assert name == "hacluster"
        return PASSWORD

    def machine(self, node: str) -> FakeMachine:
        return self.machines[node]

    def type(self, text: str = "true", nodes: tuple[str, ...] = NODES, **more: Any) -> None:
        given = {"adapted": False, "book": (text,), "why": "", "exit": (0,), "secret": "", **more}
        self.typist.type(PlannedCommand(nodes, text, **given), self.context)

    def started(self) -> list[CommandStarted]:
        return [event for event in self.events if isinstance(event, CommandStarted)]

    def ended(self) -> dict[str, CommandEnded]:
        return {event.node: event for event in self.events if isinstance(event, CommandEnded)}


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_all_nodes_at_the_same_time(stage: Stage) -> None:
    """Each waits for the others: one after the other, none would ever go on."""
    together = threading.Barrier(len(NODES), timeout=5)

    def answer(name: str) -> Result:
        together.wait()
        return Result("", 0, f"out of {name}", "", 0.0)

    stage.answer = answer
    stage.type()
    assert set(stage.ended()) == set(NODES)


def test_results_and_events_are_each_nodes_own(stage: Stage) -> None:
    def answer(name: str) -> Result:
        time.sleep({"node1": 0.2, "node2": 0.1, "remote1": 0.0}[name])  # the last one ends first
        return Result("", 0, f"out of {name}", "", 0.0)

    stage.answer = answer
    stage.type("hostname", why="so", adapted=True, book=("uname", "id"))
    assert [event.node for event in stage.started()] == list(NODES)
    assert isinstance(stage.events[len(NODES) - 1], CommandStarted)  # all of them come first
    for event in stage.started():
        assert (event.section, event.text, event.why) == ("5.3", "hostname", "so")
        assert (event.adapted, event.book) == (True, ("uname", "id"))
    assert list(stage.ended()) == ["remote1", "node2", "node1"]
    for name, ended in stage.ended().items():
        assert (ended.section, ended.output, ended.ok) == ("5.3", f"out of {name}", True)
    assert 0.2 <= stage.ended()["node1"].seconds < 0.35
    assert stage.ended()["remote1"].seconds < 0.1
    outputs = [[result.stdout for result in done] for done in stage.context.done]
    assert outputs == [[f"out of {name}" for name in NODES]] * 2  # once a command of the book


def test_what_is_typed_at_once_costs_the_time_of_the_longest(stage: Stage) -> None:
    def answer(_name: str) -> Result:
        time.sleep(0.1)
        return Result("", 0, "", "", 0.0)

    stage.answer = answer
    stage.type()
    assert 0.1 <= stage.report.cluster_seconds < 0.2


@pytest.mark.parametrize("bad", NODES)
def test_one_node_that_fails_fails_the_section(stage: Stage, bad: str) -> None:
    stage.answer = lambda name: Result("", 4 if name == bad else 0, "", "", 0.0)
    with pytest.raises(Stop) as stopped:
        stage.type("systemctl start x", exit=(0, 3))
    assert stopped.value.verdict == "failed"
    assert stopped.value.problem == (
        f"on {bad}, `systemctl start x` ended with exit status 4, not 0 or 3"
    )
    assert {name: event.ok for name, event in stage.ended().items()} == {
        name: name != bad for name in NODES
    }
    assert stage.context.done == []


@pytest.mark.parametrize("bad", NODES)
@pytest.mark.parametrize(
    "error",
    [CommandTimeout("too late", output="half"), Unreachable("no connection")],
    ids=lambda error: error.message,
)
def test_one_node_without_an_end_fails_the_section(
    stage: Stage, bad: str, error: CommandTimeout | Unreachable
) -> None:
    def answer(name: str) -> Result:
        if name == bad:
            raise error
        return Result("", 0, "fine", "", 0.0)

    stage.answer = answer
    with pytest.raises(Stop) as stopped:
        stage.type()
    assert (stopped.value.verdict, stopped.value.problem) == ("failed", error.message)
    ended = stage.ended()
    assert set(ended) == set(NODES)  # the others were waited for, and are told of
    assert (ended[bad].exit, ended[bad].problem) == (None, error.message)
    assert ended[bad].output == error.output
    assert stage.context.done == []


def test_a_defect_in_a_thread_is_not_lost(stage: Stage) -> None:
    def answer(name: str) -> Result:
        if name == "remote1":
            raise KeyError("a defect")
        return Result("", 0, "", "", 0.0)

    stage.answer = answer
    with pytest.raises(KeyError, match="a defect"):
        stage.type()


def test_an_interrupt_does_not_wait_for_the_other_nodes(stage: Stage) -> None:
    """Their commands end when the lab's connections are closed."""
    begun, end = threading.Event(), threading.Event()

    def answer(name: str) -> Result:
        if name == "node1":
            assert begun.wait(5)
            raise KeyboardInterrupt
        begun.set()
        end.wait(30)
        return Result("", 0, "", "", 0.0)

    stage.answer = answer
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            stage.type()
        assert time.monotonic() - started < 10
    finally:
        end.set()


def test_a_secret_goes_to_every_node_and_into_no_event(stage: Stage) -> None:
    stage.type("chpasswd", secret="hacluster")
    for machine in stage.machines.values():
        assert machine.typed == [("chpasswd", f"{PASSWORD}\n")]
    assert [event.secret for event in stage.started()] == ["hacluster"] * 3
    assert PASSWORD not in json.dumps([event.to_json() for event in stage.events])


def test_other_commands_read_nothing(stage: Stage) -> None:
    stage.type("one")
    assert [machine.typed for machine in stage.machines.values()] == [[("one", None)]] * 3


def test_what_is_left_out_is_typed_nowhere_and_counts(stage: Stage) -> None:
    stage.type("", adapted=True, book=("yum",), why="there is no yum")
    assert not any(machine.typed for machine in stage.machines.values())
    assert [(event.node, event.omitted) for event in stage.started()] == [(n, True) for n in NODES]
    assert not stage.ended()
    assert [[result.output for result in done] for done in stage.context.done] == [[""] * 3]
