"""Growth: what is measured, what is kept of it, and how it is shown."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import growth
from lab.checks.fleet import all_remote
from lab.context import Context
from lab.errors import CannotRun, CommandFailed
from lab.events import Grew, RunEnded, RunStarted
from lab.growth import Point
from lab.lab import Lab
from lab.machine import Result
from lab.observer import Observer
from lab.recovery import History
from lab.report import html
from lab.report.growth import MEASURES, picture
from lab.status import ClusterStatus, NodeStatus, ResourceStatus

FEW = Point(4, 7.2, 14.5, 40774, 0.233, 3.5, 1.0, "debian-12", 1.0)
SOME = Point(16, 12.0, 15.1, 90000, 0.3, 3.4, 2.0, "debian-12", 2.0)
MANY = Point(200, 130.0, 41.0, 900000, 2.25, 3.1, 3.0, "debian-12", 3.0)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    return tmp_path


# -- what is kept ---------------------------------------------------------------------------


def test_the_last_of_each_number_is_kept(state: Path) -> None:
    growth.add(MANY)
    growth.add(FEW)
    again = replace(FEW, integrate=8.0)
    assert growth.add(again) == [again, MANY]
    assert growth.load() == [again, MANY]
    assert not list(state.glob("*.new"))


def test_platforms_are_kept_apart() -> None:
    growth.add(FEW)
    other = replace(FEW, platform="debian-13")
    assert growth.add(other) == [other]
    assert set(growth.load()) == {FEW, other}


def test_another_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "not" / "there"
    growth.add(FEW, elsewhere)
    assert (growth.load(), growth.load(elsewhere)) == ([], [FEW])


@pytest.mark.parametrize("text", ["", "{", '[{"nodes": 4}]', "[1]"])
def test_a_damaged_file_is_told(state: Path, text: str) -> None:
    (state / "growth.json").write_text(text)
    with pytest.raises(CannotRun, match="is damaged"):
        growth.add(FEW)


# -- what is measured -----------------------------------------------------------------------


class Node:
    """A machine that answers as one of a cluster does."""

    def __init__(
        self,
        cluster: str = "40774\n300000000\n200000000\n250000000\n",
        memory: str = "2041\n1031\n",
    ) -> None:
        self.cluster, self.memory = cluster, memory

    def run(self, command: str, **_: object) -> Result:
        return Result(command, 0, self.cluster if "crm_simulate" in command else self.memory, "", 0)

    def drop(self) -> None:
        """There is no connection."""


def lab(folder: Path, **machines: Node) -> Lab:
    made = SimpleNamespace(
        folder=folder, machine=machines.__getitem__, platform=SimpleNamespace(name="debian-12")
    )
    return cast(Lab, made)


def test_a_point(tmp_path: Path) -> None:
    there = lab(tmp_path, node1=Node(), r1=Node(), r2=Node(memory="1024\n0\n"))
    growth.note(there, "integrate", 7.25)
    growth.note(there, "failover", 9.0)
    growth.note(there, "failover", 14.5)  # the section was done again
    point = growth.measured(there, ["r1", "r2"], "node1")
    assert (point.nodes, point.integrate, point.failover) == (2, 7.25, 14.5)
    assert (point.cib, point.scheduler, point.memory) == (40774, 0.2, 2.0)
    assert (point.platform, point.at > 0) == ("debian-12", True)


def test_nothing_is_made_up(tmp_path: Path) -> None:
    there = lab(tmp_path, node1=Node(), r1=Node(), r2=Node(memory=""))
    with pytest.raises(CannotRun, match="integrate and failover was not timed"):
        growth.measured(there, ["r1"], "node1")
    growth.note(there, "integrate", 7.25)
    with pytest.raises(CannotRun, match="failover was not timed"):
        growth.measured(there, ["r1"], "node1")
    growth.note(there, "failover", 9.0)
    with pytest.raises(CommandFailed, match="pacemaker-remoted does not run on r2"):
        growth.measured(there, ["r1", "r2"], "node1")


@pytest.mark.parametrize(
    ("online", "before", "kept"), [(True, 0.0, True), (False, 0.0, False), (True, None, False)]
)
def test_a_time_is_kept_when_what_it_is_of_has_come_true(
    tmp_path: Path, *, online: bool, before: float | None, kept: bool
) -> None:
    status = ClusterStatus(
        nodes={"r1": NodeStatus("r1", "remote", online)},
        resources={"r1": ResourceStatus("r1", "ocf:pacemaker:remote", "Started", ("n",), True)},
    )
    there = SimpleNamespace(folder=tmp_path, status=lambda: status, scenario=None)
    context = Context(cast(Lab, there))
    all_remote(context, ["r1"], ["n"], timed="integrate", before=before)
    assert (tmp_path / "times.json").exists() is kept


def test_after_a_fault_time_counts_from_it(tmp_path: Path) -> None:
    """What was looked at before it is no part of the fail-over."""
    status = ClusterStatus(
        nodes={"r1": NodeStatus("r1", "remote", True)},
        resources={"r1": ResourceStatus("r1", "ocf:pacemaker:remote", "Started", ("n",), True)},
    )
    there = SimpleNamespace(folder=tmp_path, scenario=None)
    observer = SimpleNamespace(history=History(time.time() - 10, status), status=lambda: status)
    context = Context(cast(Lab, there), cast(Observer, observer))
    all_remote(context, ["r1"], ["n"], timed="failover", before=time.time() - 500)
    assert 9 < json.loads((tmp_path / "times.json").read_text())["failover"] < 20


# -- how it is shown ------------------------------------------------------------------------


def run(*points: Point, own: int) -> ET.Element:
    told = tuple(asdict(one) for one in points)
    started = RunStarted(
        at=1.0,
        lab="l",
        scenario="scale",
        title="T",
        platform="p",
        provider="podman",
        sections=("1.5",),
    )
    events = [
        started,
        Grew(at=2.0, section="1.5", nodes=own, points=told),
        RunEnded(at=3.0, verdict="passed", seconds=2.0),
    ]
    plain = [json.loads(json.dumps(event.to_json())) for event in events]
    return ET.fromstring(html.render(plain).partition("\n")[2])


def by_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [one for one in root.iter() if name in one.get("class", "").split()]


def test_each_thing_measured_has_a_picture_and_a_column() -> None:
    (block,) = [one for one in run(FEW, SOME, MANY, own=16).iter() if one.get("id") == "growth"]
    pictures = list(block.iter("svg"))
    assert len(pictures) == len(MEASURES)
    for drawn in pictures:
        assert len(list(drawn.iter("circle"))) == 3
        assert len(by_class(drawn, "own")) == 1
    rows = [[cell.text for cell in row] for row in block.iter("tr")]
    assert rows[0][:2] == ["remote nodes", "until all are online, s"]
    assert rows[2] == ["16 (this run)", "12.0", "15.1", "88", "0.300", "3.4", "2.0"]
    assert [row[0] for row in rows[1:]] == ["4", "16 (this run)", "200"]


def test_a_run_that_measured_nothing_has_none() -> None:
    started = RunStarted(
        at=1.0, lab="l", scenario="s", title="T", platform="p", provider="podman", sections=()
    )
    assert 'id="growth"' not in html.render([started.to_json()])


def test_what_a_later_version_measures_too_is_left_out() -> None:
    assert growth.from_plain({**asdict(FEW), "smell": "good"}) == FEW


@pytest.mark.parametrize("points", [[FEW], [FEW, SOME], [FEW, SOME, MANY], [replace(FEW, nodes=1)]])
@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.title)
def test_everything_is_inside_the_picture(measure: Any, points: list[Point]) -> None:
    drawn = ET.fromstring(picture(measure, points, points[-1].nodes))
    for dot in drawn.iter("circle"):
        assert 40 <= float(dot.get("cx", "")) <= 352
        assert 20 <= float(dot.get("cy", "")) <= 160
    for text in drawn.iter("text"):
        assert 0 <= float(text.get("x", "")) <= 352
    # What stands beside a line of the grid is its value.
    shown = [float(text.text or "") for text in by_class(drawn, "upward")]
    assert shown == pytest.approx([shown[1] * number for number in range(len(shown))])
    assert shown[-2] < max(measure.value(one) for one in points) <= shown[-1]
    # A larger value is higher up.
    places = [float(dot.get("cy", "")) for dot in drawn.iter("circle")]
    values = [measure.value(one) for one in points]
    assert sorted(range(len(points)), key=lambda i: -places[i]) == sorted(
        range(len(points)), key=values.__getitem__
    )


def test_a_single_point_needs_no_line() -> None:
    assert "line" not in str(picture(MEASURES[0], [FEW], 4)).replace("online", "")
