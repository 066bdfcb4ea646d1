"""The observer: every change of the cluster once, in its order, and each switch of power."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import pytest

from lab import bmc, hypervisor, observer
from lab.errors import Unreachable
from lab.events import ClusterChanged, Event, MachineChanged, PowerSwitched, Progress
from lab.lab import Lab
from lab.lifecycle import Change, Lifecycle
from lab.observer import Observer
from lab.recovery import History
from lab.reporter import Reporter
from lab.status import ClusterStatus, NodeStatus, NoStatus, ResourceStatus

NODE1 = NodeStatus("node1", "member", True)
REMOTE = NodeStatus("remote1", "remote", True)
ONE = ClusterStatus(dc="node1", quorum=True, nodes={"node1": NODE1})
TWO = replace(ONE, nodes={"node1": NODE1, "remote1": REMOTE})
Kind = TypeVar("Kind", bound=Event)


class FakeLab:
    """A lab whose cluster is as the test says; its BMCs' log too."""

    def __init__(self) -> None:
        self.state: ClusterStatus | Exception = ONE
        self.looks = 0
        self.during: Callable[[], None] = lambda: None  # done while a look is under way
        self.entries: list[dict[str, Any]] = []
        self.scenario = self
        self.guests: dict[str, Any] = {}

    def status(self) -> ClusterStatus:
        self.looks += 1
        found = self.state
        self.during()
        if isinstance(found, Exception):
            raise found
        return found


class Stage:
    """An observer, and all that it says."""

    def __init__(self) -> None:
        self.lab = FakeLab()
        self.events: list[Event] = []
        report = Reporter([self.events.append])
        report.begin("5.5")
        self.observer = Observer(cast(Lab, self.lab), report)

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(bmc, "log", lambda lab: list(lab.entries))
    monkeypatch.setattr(observer, "INTERVAL", 0.01)
    return Stage()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


# -- states ---------------------------------------------------------------------------------


def test_the_whole_state_is_in_a_change(stage: Stage) -> None:
    web = ResourceStatus("web", "ocf:x:y", "Started", ("node1",), True, failed=True)
    lost = replace(REMOTE, online=False, unclean=True)
    stage.lab.state = replace(TWO, nodes={"node1": NODE1, "remote1": lost}, resources={"web": web})
    assert stage.observer.status() == stage.observer.last == stage.lab.state
    (event,) = stage.all(ClusterChanged)
    assert (event.section, event.dc, event.quorum) == ("5.5", "node1", True)
    assert event.nodes == {"node1": "online", "remote1": "offline unclean"}
    assert event.resources == {"web": {"role": "Started", "nodes": ["node1"], "failed": True}}
    assert "node remote1: absent → offline unclean" in event.changes
    event.to_json()


def test_a_change_is_told_once(stage: Stage) -> None:
    for state in (ONE, ONE, TWO, TWO, ONE):
        stage.lab.state = state
        stage.observer.status()
    assert [event.changes[-1] for event in stage.all(ClusterChanged)] == [
        "node node1: absent → online",
        "node remote1: absent → online",
        "node remote1: online → absent",
    ]


def test_an_older_look_does_not_overwrite_a_newer_one(stage: Stage) -> None:
    """A look that hangs ends after one that began later: what it saw is of the past."""

    def meanwhile() -> None:
        stage.lab.during = lambda: None
        stage.lab.state = TWO
        stage.observer.status()

    stage.lab.during = meanwhile
    stage.observer.status()  # sees ONE, and ends last
    assert stage.observer.last == TWO
    assert [list(event.nodes) for event in stage.all(ClusterChanged)] == [["node1", "remote1"]]
    stage.lab.state = ONE
    stage.observer.status()
    assert stage.observer.last == ONE


def test_a_cluster_that_was_stopped_is_not_brought_back_by_a_look_from_before(
    stage: Stage,
) -> None:
    def meanwhile() -> None:
        stage.observer.notice(ClusterStatus())

    stage.observer.status()
    stage.lab.during = meanwhile
    stage.observer.status()
    assert stage.observer.last == ClusterStatus()


def test_what_cannot_be_asked_changes_nothing(stage: Stage) -> None:
    stage.observer.status()
    stage.lab.state = NoStatus("not running")
    with pytest.raises(NoStatus):
        stage.observer.status()
    assert stage.observer.last == ONE
    assert len(stage.all(ClusterChanged)) == 1


def begun(stage: Stage) -> History:
    stage.observer.begin_history()
    assert stage.observer.history is not None
    return stage.observer.history


def test_the_history_begins_with_a_look(stage: Stage) -> None:
    stage.lab.state = TWO
    stage.observer.status()
    stage.lab.state = ONE  # what nobody has seen yet is no consequence of the fault
    before = time.time()
    history = begun(stage)
    assert before <= history.began <= time.time()
    assert (history.before, history.states) == (ONE, [])
    for state in (ONE, TWO, TWO, ONE):
        stage.lab.state = state
        stage.observer.status()
    assert [status for _, status in history.states] == [TWO, ONE]
    times = [at for at, _ in history.states]
    assert history.began <= times[0] <= times[1] <= time.time()


def test_the_history_begins_with_the_last_state_where_nobody_answers(stage: Stage) -> None:
    stage.observer.status()
    stage.lab.state = Unreachable("nobody answers")
    assert begun(stage).before == ONE


def test_a_look_that_began_before_the_history_is_no_part_of_it(stage: Stage) -> None:
    def meanwhile() -> None:
        stage.lab.during = lambda: None
        stage.lab.state = Unreachable("nobody answers")
        stage.observer.begin_history()

    stage.lab.during = meanwhile
    stage.observer.status()  # sees ONE, and ends when the fault is there
    assert stage.observer.history is not None
    assert stage.observer.history.states == []
    assert stage.observer.last == ClusterStatus()


def test_the_history_ends(stage: Stage) -> None:
    history = begun(stage)
    assert stage.observer.end_history() is history
    assert stage.observer.end_history() is None
    stage.lab.state = TWO
    stage.observer.status()
    assert history.states == []


def test_looks_are_ordered_also_when_the_clock_is_set_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.observer.status()
    monkeypatch.setattr(time, "time", lambda: 7.0)
    stage.lab.state = TWO
    stage.observer.status()
    assert stage.observer.last == TWO


# -- beside everything else -----------------------------------------------------------------


def test_it_looks_all_the_time_while_the_block_runs(stage: Stage) -> None:
    stage.observer.status()
    with stage.observer.watching():
        stage.lab.state = TWO
        until(lambda: stage.observer.last == TWO)
        stage.lab.state = Unreachable("nobody answers")
        looks = stage.lab.looks
        until(lambda: stage.lab.looks > looks + 1)  # it goes on
        stage.lab.state = ONE
        until(lambda: stage.observer.last == ONE)
    looks = stage.lab.looks
    time.sleep(0.05)
    assert stage.lab.looks == looks
    assert len(stage.all(ClusterChanged)) == 3


def test_it_asks_nobody_before_there_is_a_cluster(stage: Stage) -> None:
    with stage.observer.watching():
        time.sleep(0.05)
        assert stage.lab.looks == 0
        stage.observer.status()
        until(lambda: stage.lab.looks > 2)


def test_it_does_not_look_as_long_as_somebody_else_does(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But of power it hears all the while."""
    monkeypatch.setattr(observer, "INTERVAL", 0.2)
    stage.observer.status()
    own = 1
    with stage.observer.watching():
        stage.lab.entries = [entry("off")]
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            stage.observer.status()
            own += 1
            time.sleep(0.02)
        assert stage.lab.looks == own
        assert stage.all(PowerSwitched)
        until(lambda: stage.lab.looks > own)  # nobody else does now


def test_a_look_that_failed_is_none(stage: Stage) -> None:
    """Who asks a node that does not answer learns nothing: it is looked on."""
    stage.observer.status()
    stage.lab.state = Unreachable("nobody answers")
    with stage.observer.watching():
        asked = stage.lab.looks
        mine = 0
        while stage.lab.looks - asked - mine < 3:
            with pytest.raises(Unreachable):
                stage.observer.status()
            mine += 1
            time.sleep(0.002)


@pytest.mark.parametrize("error", [None, ValueError("odd"), KeyboardInterrupt()])
def test_no_thread_of_it_is_left(stage: Stage, error: BaseException | None) -> None:
    before = set(threading.enumerate())
    watching: list[threading.Thread] = []

    def block() -> None:
        with stage.observer.watching():
            watching.extend(set(threading.enumerate()) - before)
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            block()
    else:
        block()
    (thread,) = watching
    assert not thread.is_alive()
    assert set(threading.enumerate()) <= before


def test_a_defect_of_the_observer_is_told(stage: Stage) -> None:
    stage.observer.status()
    stage.lab.state = ValueError("odd")

    def block() -> None:
        with stage.observer.watching():
            looks = stage.lab.looks
            until(lambda: stage.lab.looks > looks)

    with pytest.raises(ValueError, match="odd"):
        block()


def test_a_defect_of_the_observer_does_not_hide_what_ended_the_block(stage: Stage) -> None:
    stage.observer.status()
    stage.lab.state = ValueError("odd")

    def block() -> None:
        with stage.observer.watching():
            until(lambda: stage.lab.looks > 1)
            raise KeyError("web")

    with pytest.raises(KeyError, match="web"):
        block()


# -- power ----------------------------------------------------------------------------------


def entry(action: str, at: float = 7.0, problem: str = "", **more: str) -> dict[str, Any]:
    if action in ("on", "off", "reset"):
        usual = "off" if action == "on" else "on"
        more = {"was": "" if problem else usual, **more}
    return {
        "at": at, "node": "remote1", "action": action, "from": "1.1.1.1", "problem": problem, **more
    }  # fmt: skip


def test_each_switch_of_power_is_told_once(stage: Stage) -> None:
    stage.observer.status()
    stage.lab.entries = [entry("on", 1.0)]  # of before
    with stage.observer.watching():
        stage.lab.entries += [entry("off", 2.0), entry("status", 2.5, state="off")]
        until(lambda: stage.all(PowerSwitched))
        looks = stage.lab.looks
        until(lambda: stage.lab.looks > looks + 2)
        stage.lab.entries += [entry("on", 3.0), entry("refused login", 4.0, "wrong password")]
        stage.lab.entries += [entry("reset", 5.0, "the machine hangs"), entry("soft", 6.0, "no")]
    told = [(e.at, e.section, e.node, e.action, e.problem) for e in stage.all(PowerSwitched)]
    assert told == [
        (2.0, "5.5", "remote1", "off", ""),
        (3.0, "5.5", "remote1", "on", ""),
        (5.0, "5.5", "remote1", "reset", "the machine hangs"),
    ]
    with stage.observer.watching():
        pass
    assert len(stage.all(PowerSwitched)) == 3


def test_a_switch_between_two_parts_is_told_once(stage: Stage) -> None:
    with stage.observer.watching():
        pass
    stage.lab.entries = [entry("off")]
    for _ in range(2):
        with stage.observer.watching():
            pass
    assert [event.action for event in stage.all(PowerSwitched)] == ["off"]


def test_a_switch_is_told_also_without_a_cluster(stage: Stage) -> None:
    with stage.observer.watching():
        stage.lab.entries = [entry("off")]
    assert [event.action for event in stage.all(PowerSwitched)] == ["off"]


def test_a_hypervisor_that_does_not_answer_for_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it told is not told again, and what it did meanwhile is told afterwards."""
    ours = [entry("on") | {"node": "vm1"}]
    answers: list[Any] = [ours, Unreachable("it is gone"), [*ours, ours[0] | {"action": "off"}]]

    def log(_lab: Lab) -> list[dict[str, Any]]:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return list(answers[0])

    monkeypatch.setattr(hypervisor, "log", log)
    with stage.observer.watching():
        answers.pop(0)
        looks = stage.lab.looks
        stage.observer.status()
        until(lambda: stage.lab.looks > looks + 2)
        answers.pop(0)
    assert [(e.node, e.action) for e in stage.all(PowerSwitched)] == [("vm1", "off")]


@pytest.mark.parametrize(
    ("said", "off"),
    [
        (entry("off"), True),
        (entry("off", was="off"), True),
        (entry("reset"), True),
        (entry("on", was="on"), False),
        (entry("on", was="off"), True),  # it had no power already
        (entry("on", problem="it hangs"), False),
        (entry("off", problem="it hangs"), False),
        (entry("status", state="off"), False),  # somebody looked, and did nothing
        (entry("status", state="on"), False),
        (entry("refused login", problem="wrong password"), False),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_the_history_knows_when_power_was_gone(
    stage: Stage, said: dict[str, Any], off: bool
) -> None:
    with stage.observer.watching():
        history = begun(stage)
        at = history.began + 0.5
        stage.lab.entries = [{**said, "at": at}]
    assert history.powered_off == ([at] if off else [])


def test_power_that_was_gone_before_the_history_is_none_of_it(stage: Stage) -> None:
    with stage.observer.watching():
        history = begun(stage)
        stage.lab.entries = [entry("off", history.began - 0.5)]
    assert history.powered_off == []
    assert len(stage.all(PowerSwitched)) == 1


class FakeEar:
    """Stands in for who listens to libvirtd."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.deaf = ""
        self.listened = 0

    def listen(self) -> str:
        self.listened += 1
        return self.deaf

    def heard(self) -> list[Change]:
        found, self.changes = self.changes, []
        return found


@pytest.fixture
def ear(stage: Stage) -> FakeEar:
    made = FakeEar()
    stage.observer.lifecycle = cast(Lifecycle, made)
    return made


def test_what_libvirtd_saw_is_told_with_its_time(stage: Stage, ear: FakeEar) -> None:
    with stage.observer.watching():
        ear.changes = [Change(3.0, "node1", "off", "destroyed")]
    ear.changes = [Change(4.0, "node1", "on", "booted")]  # between two parts
    with stage.observer.watching():
        pass
    told = [(one.at, one.section, one.node, one.state, one.reason) for one in stage.events]  # type: ignore[attr-defined]
    assert told == [
        (3.0, "5.5", "node1", "off", "destroyed"),
        (4.0, "5.5", "node1", "on", "booted"),
    ]
    assert stage.observer.ended == []
    assert ear.listened == 2  # one that lost libvirtd finds it again


def test_who_ends_by_itself_is_kept_for_the_verdict(stage: Stage, ear: FakeEar) -> None:
    ear.changes = [
        Change(1.0, "a", "off", "failed"),
        Change(2.0, "b", "off", "shutdown"),
        Change(3.0, "c", "paused", "ioerror"),
        Change(4.0, "d", "paused", "paused"),
    ]
    stage.observer.hear()
    assert [one.node for one in stage.all(MachineChanged) if one.by_itself] == ["a", "c"]
    assert stage.observer.ended == [
        "a is off by itself (failed)",
        "c is paused by itself (ioerror)",
    ]


def test_a_libvirtd_that_is_not_heard_is_said_once_and_ends_nothing(
    stage: Stage, ear: FakeEar
) -> None:
    for deaf in ("no socket", "no socket", "", "no socket"):
        ear.deaf = deaf
        with stage.observer.watching():
            pass
    assert [one.text for one in stage.all(Progress)] == ["no socket", "no socket"]
