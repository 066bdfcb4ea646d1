"""The auditor: how long it looks, what is announced, and what is known from before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lab import auditor as auditors
from lab import audits
from lab.auditor import Auditor
from lab.events import Audited
from lab.lab import Lab
from lab.model import Announcement
from lab.status import FailedAction
from lab.survey import Survey, made

DATA = Path(__file__).parent / "data" / "audits"
GRACE = 0.3
CORE = "/var/lib/pacemaker/cores/core, 6234112 bytes, 2026-11-22T23:34:40.960+00:00"
NOBODY = Announcement()


def recorded(node: str) -> Survey:
    """The settled cluster, as each of its nodes sees it."""
    texts = {
        "status": (DATA / "settled-node1-crm_mon.xml").read_text(),
        "cib": (DATA / "settled-node1-cib.xml").read_text(),
    }
    parts = {name: (text, 0) for name, text in texts.items()}
    return made(node, parts | {"cores": ("", 0), "journal": ("", 0)}, (), member=True)


SETTLED = {node: recorded(node) for node in ("node1", "node2")} | {"remote1": Survey("remote1")}
Surveys = dict[str, Survey]


class FakeSurveyor:
    """Sees what the test says, look by look; the last state stays."""

    def __init__(self, _lab: object) -> None:
        self.coming: Callable[[], Surveys] = lambda: SETTLED
        self.asked: list[list[str]] = []
        self.forgot = 0

    def look(self, machines: Iterable[str]) -> Surveys:
        self.asked.append(list(machines))
        found = self.coming()
        return {node: survey for node, survey in found.items() if node in self.asked[-1]}

    def forget(self) -> None:
        self.forgot += 1


class FakeLab:
    """Machines with power, as the provider says it."""

    name = "a-lab"
    nodes = ("node1", "node2", "remote1")
    cluster_nodes = ("node1", "node2")

    def __init__(self) -> None:
        self.on = dict.fromkeys(self.nodes, True)
        self.scenario = self

    def with_power(self) -> list[str]:
        return [node for node, on in self.on.items() if on]


class Stage:
    """An auditor of that lab, with a fake surveyor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: Surveys = SETTLED) -> None:
        self.lab = FakeLab()
        self.surveyor = FakeSurveyor(self.lab)
        self.surveyor.coming = lambda: first
        monkeypatch.setattr(auditors, "Surveyor", lambda _lab: self.surveyor)
        monkeypatch.setattr(auditors, "GRACE", GRACE)
        self.auditor = Auditor(cast(Lab, self.lab))
        self.took = 0.0

    def sees(self, *states: Surveys) -> None:
        """One after the other; the last one stays."""
        left = list(states)
        self.surveyor.coming = lambda: left.pop(0) if len(left) > 1 else left[0]

    def audit(self, announce: Announcement = NOBODY, *, cluster: bool = True) -> dict[str, Audited]:
        started = time.monotonic()
        found = self.auditor.audit("5.5", announce, expects_cluster=cluster)
        self.took = time.monotonic() - started
        assert {event.section for event in found} == {"5.5"}
        return {event.audit: event for event in found}

    def bad(self, announce: Announcement = NOBODY) -> dict[str, str]:
        found = self.audit(announce)
        return {name: event.verdict for name, event in found.items() if event.verdict != "passed"}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def with_(node: str, **facts: Any) -> Surveys:
    """The settled cluster, with these facts in one node's survey."""
    return SETTLED | {node: replace(SETTLED[node], **facts)}


def status_with(**facts: Any) -> Surveys:
    """The settled cluster, with these facts in what both nodes' clusters say."""
    changed = {}
    for node in ("node1", "node2"):
        survey = SETTLED[node]
        assert survey.status is not None
        changed[node] = replace(survey, status=replace(survey.status, **facts))
    return SETTLED | changed


def failed(*keys: str) -> Surveys:
    return status_with(failed=tuple(FailedAction(key, "node1", "error") for key in keys))


def remote_offline() -> Surveys:
    status = SETTLED["node1"].status
    assert status is not None
    lost = replace(status.nodes["remote1"], online=False)
    return status_with(nodes=status.nodes | {"remote1": lost})


CORES = with_("remote1", cores=(CORE,))
CRASHED = with_("node2", crashes=("12:00 pacemakerd: terminated with signal 11",))
SPLIT = with_("node2", cib=SETTLED["node2"].cib.replace('epoch="', 'epoch="9', 1))


# -- looking --------------------------------------------------------------------------------


def test_all_is_well_at_the_first_look(stage: Stage) -> None:
    found = stage.audit()
    assert list(found) == audits.names()
    assert {event.verdict for event in found.values()} == {"passed"}
    assert not any(event.announced for event in found.values())
    assert stage.took < GRACE
    assert len(stage.surveyor.asked) == 2  # of which one was when it was made


def test_only_machines_with_power_are_surveyed(stage: Stage) -> None:
    stage.lab.on = {"node1": True, "node2": False}
    stage.audit()
    assert stage.surveyor.asked[-1] == ["node1"]


def test_without_a_cluster_only_the_machines_are_audited(stage: Stage) -> None:
    stage.sees({node: Survey(node) for node in SETTLED})
    found = stage.audit(cluster=False)
    assert set(found) == {name for name, one in audits.TABLE.items() if not one.of_cluster}
    assert {event.verdict for event in found.values()} == {"passed"}
    assert stage.bad()["cluster_answers"] == "failed"


def test_violated_and_well_again_within_grace_is_passed(stage: Stage) -> None:
    stage.sees(remote_offline(), remote_offline(), SETTLED)
    assert stage.bad() == {}
    assert 0.1 < stage.took < GRACE + 0.2
    assert len(stage.surveyor.asked) == 1 + 3


def test_violated_for_longer_is_failed(stage: Stage) -> None:
    stage.sees(remote_offline())
    found = stage.audit()
    assert found["node_states"].verdict == "failed"
    assert found["node_states"].seen == "remote1 is offline, expected online"
    assert {name for name, event in found.items() if event.verdict != "passed"} == {"node_states"}
    assert GRACE <= stage.took < GRACE + 0.4


def test_what_cannot_be_looked_at_is_looked_at_again(stage: Stage) -> None:
    gone = with_("node1", problem="no connection", status=None)
    stage.sees(gone, SETTLED)
    assert stage.bad() == {}
    stage.sees(gone)
    assert stage.bad()["surveyed"] == "failed"


def test_it_is_one_look_that_is_judged(stage: Stage) -> None:
    """What was well at one look and another thing at the next: both are of the last one."""
    stage.sees(remote_offline(), failed("web1_monitor_10000"))
    assert stage.bad() == {"failed_actions": "failed"}


# -- what is announced ----------------------------------------------------------------------


def test_a_state_that_was_announced(stage: Stage) -> None:
    stage.sees(remote_offline())
    assert stage.bad(Announcement(nodes={"remote1": "offline"})) == {}
    assert stage.took < GRACE
    stage.sees(SETTLED)
    assert stage.bad(Announcement(nodes={"remote1": "offline"})) == {"node_states": "failed"}


def test_a_failed_action_that_was_announced(stage: Stage) -> None:
    stage.sees(failed("web1_monitor_10000"))
    assert stage.bad(Announcement(failed=["web1 monitor"])) == {}


def test_a_violation_that_was_announced_may_last_that_long(stage: Stage) -> None:
    stage.sees(*[remote_offline()] * 6, SETTLED)  # some 0.5 s
    found = stage.audit(Announcement(violated={"node_states": 3.0}))
    assert stage.took > GRACE
    assert (found["node_states"].verdict, found["node_states"].announced) == ("passed", True)
    assert [name for name, event in found.items() if event.announced] == ["node_states"]


def test_a_violation_that_was_announced_for_a_time_is_failed_after_that(stage: Stage) -> None:
    stage.sees(remote_offline())
    announced = Announcement(violated={"node_states": GRACE * 2})
    found = stage.audit(announced)
    assert (found["node_states"].verdict, found["node_states"].announced) == ("failed", True)
    assert GRACE * 2 <= stage.took < GRACE * 2 + 0.4


def test_another_violation_has_no_more_than_grace(stage: Stage) -> None:
    """It is not looked at for as long as something else was announced to last."""
    stage.sees(remote_offline())
    assert stage.bad(Announcement(violated={"single_dc": 60.0})) == {"node_states": "failed"}
    assert GRACE <= stage.took < GRACE + 0.4


def test_a_crash_that_was_announced(stage: Stage) -> None:
    stage.sees(CRASHED)
    assert stage.bad(Announcement(crashes=["pacemakerd.*signal 11$"])) == {}
    assert stage.took < GRACE
    assert stage.bad(Announcement(crashes=["signal 6"])) == {"crashes": "failed"}


def test_an_audit_that_is_an_error_is_no_pass_whatever_was_announced(stage: Stage) -> None:
    stage.sees(with_("node1", cib=""))
    assert stage.bad(Announcement(violated={"equal_cib": 0.001}))["equal_cib"] == "error"


@pytest.mark.parametrize(("audit", "seen"), [("cores", CORES), ("crashes", CRASHED)])
def test_what_happened_unannounced_is_failed(stage: Stage, audit: str, seen: Surveys) -> None:
    stage.sees(seen)
    assert stage.bad(Announcement(violated={"single_dc": 0.001})) == {audit: "failed"}


# -- what is known --------------------------------------------------------------------------


@pytest.mark.parametrize("state", [failed("web1_monitor_10000"), CORES], ids=["failed", "core"])
def test_what_was_there_when_the_run_began_is_known(
    monkeypatch: pytest.MonkeyPatch, state: Surveys
) -> None:
    assert Stage(monkeypatch, state).bad() == {}


@pytest.mark.parametrize(
    ("state", "audit", "more"),
    [
        (
            failed("web1_monitor_10000"),
            "failed_actions",
            failed("web1_monitor_10000", "web2_start_0"),
        ),
        (CORES, "cores", with_("remote1", cores=(CORE, CORE.replace("core,", "core.2,")))),
    ],
    ids=["failed", "core"],
)
def test_what_an_earlier_section_failed_by_is_known_in_the_next(
    stage: Stage, state: Surveys, audit: str, more: Surveys
) -> None:
    stage.sees(state)
    assert stage.bad() == {audit: "failed"}
    assert stage.bad() == {}
    stage.sees(more)
    assert stage.bad() == {audit: "failed"}


def test_a_failure_that_is_cleared_and_comes_again_is_new(stage: Stage) -> None:
    for state, bad in (
        (failed("web1_monitor_10000"), {"failed_actions": "failed"}),
        (SETTLED, {}),
        (failed("web1_monitor_10000"), {"failed_actions": "failed"}),
    ):
        stage.sees(state)
        assert stage.bad() == bad


def test_crashes_are_forgotten_after_each_section(stage: Stage) -> None:
    assert stage.surveyor.forgot == 1
    stage.sees(CRASHED)
    stage.audit()
    assert stage.surveyor.forgot == 2
