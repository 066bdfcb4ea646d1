"""A matrix of fake cells: what starts when, how cells end, what Ctrl-C leaves."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from test_matrix_cells import BARE, Virtual, cell, names, virtual

from lab import boxes, cli, images, kvm, memory, paths, platforms, providers
from lab import doctor as doctors
from lab.errors import BadInput, CannotRun, CommandTimeout
from lab.labs import everything
from lab.matrix import outcome as outcomes
from lab.matrix import run as runs
from lab.matrix import schedule, work
from lab.matrix.cells import Cell, LeftOut
from lab.matrix.outcome import Outcome
from lab.matrix.schedule import Room, starts
from lab.providers import containers, libvirtd
from lab.report import results
from lab.report.matrix import Matrix

FAKE = [sys.executable, str(Path(__file__).with_name("fake_lab.py"))]
SOON = 30.0  # seconds; more than a fake cell ever needs


# -- what starts ----------------------------------------------------------------------------

WIDE = Room(machines=12, memory=8000, cores=2.0)


def test_the_longest_start_first() -> None:
    waiting = [cell("short", 10), cell("long", 300), cell("middle", 60)]
    assert names(starts(waiting, [], WIDE)) == ["long", "middle", "short"]
    assert names(starts(waiting, [], WIDE, jobs=2)) == ["long", "middle"]
    assert starts(waiting, [cell("x"), cell("y")], WIDE, jobs=2) == []


@pytest.mark.parametrize(
    ("need", "room"),
    [
        ({"machines": 5}, replace(WIDE, machines=9)),
        ({"memory": 3000}, replace(WIDE, memory=5999)),
        ({"cores": 1.5}, replace(WIDE, cores=2.9)),
    ],
)
def test_each_kind_of_room_counts(need: dict[str, Any], room: Room) -> None:
    """Two that together need a little too much do not run at once; a small one passes by."""
    big = [cell("big", 300, **need), cell("big2", 200, **need)]
    assert names(starts(big, [], room)) == ["big"]
    assert starts(big[1:], big[:1], room) == []
    assert names(starts([*big, cell("small", 5)], [], room)) == ["big", "small"]
    kind = next(iter(need))
    enough = replace(room, **{kind: getattr(room, kind) + 1})
    assert names(starts(big, [], enough)) == ["big", "big2"]


def test_jobs_stand_for_cores_but_not_for_memory() -> None:
    heavy = [cell(f"c{n}", cores=2.0) for n in range(4)]
    assert len(starts(heavy, [], WIDE)) == 1
    assert len(starts(heavy, [], WIDE, jobs=3)) == 3
    assert len(starts(heavy, [], replace(WIDE, memory=600), jobs=3)) == 2


def test_what_never_fits_runs_alone() -> None:
    """Waiting would not help it; and it does not hold up those that fit."""
    giant = cell("giant", 900, memory=99999)
    assert names(starts([giant, cell("small", 5)], [], WIDE)) == ["giant"]
    assert names(starts([giant, cell("small", 5)], [cell("x")], WIDE)) == ["small"]
    machines = cell("machines", 900, machines=13)
    assert names(starts([machines], [], WIDE)) == ["machines"]


def test_room_that_others_take_is_waited_for() -> None:
    """Their labs go some time; a `lab up` now would only say that there is no room."""
    crowded = replace(WIDE, machines=2, others=10)
    assert starts([cell("three", machines=3)], [], crowded) == []
    assert names(
        starts([cell("three", 900, machines=3), cell("two", machines=2)], [], crowded)
    ) == ["two"]
    assert names(starts([cell("never", machines=13)], [], crowded)) == ["never"]


def test_memory_that_others_take_is_waited_for() -> None:
    """A lab of virtual machines has none in this kernel, and is refused where memory is short."""
    big = cell("big", 900, machines=0, memory=6000)
    crowded = replace(WIDE, memory=2000, taken=6000)
    assert starts([big], [], crowded) == []
    assert names(starts([big, cell("small")], [], crowded)) == ["small"]
    assert names(starts([big], [], replace(crowded, taken=0))) == ["big"]
    # One kind of room that will be there is no reason to wait for another that never is.
    assert names(starts([cell("never", memory=8001)], [], crowded)) == ["never"]
    assert names(starts([cell("never", machines=13, memory=6000)], [], crowded)) == ["never"]


@pytest.mark.parametrize("seed", range(30))
def test_everything_is_done_and_nothing_is_overdrawn(seed: int) -> None:
    """Cells of any size, that end in any order: each starts once, alone or within the room."""
    chance = random.Random(seed)
    waiting = [
        cell(
            f"s{n}",
            chance.uniform(1, 500),
            machines=chance.randrange(1, 15),
            memory=chance.randrange(200, 9000),
            cores=chance.choice([0.5, 1.0, 2.5]),
        )
        for n in range(25)
    ]
    started: list[str] = []
    running: list[Cell] = []
    while waiting or running:
        for one in starts(waiting, running, WIDE):
            waiting.remove(one)
            running.append(one)
            started.append(one.scenario)
        assert running
        if len(running) > 1:
            assert sum(one.needs.machines for one in running) <= WIDE.machines
            assert sum(one.needs.memory for one in running) <= WIDE.memory
            assert sum(one.needs.cores for one in running) <= WIDE.cores
        running.remove(chance.choice(running))
    assert len(started) == len(set(started)) == 25


def test_the_look_counts_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a running cell has not taken yet is not given away; nor what others took since."""
    monkeypatch.setattr(containers, "room", lambda ours: (12 - 3 * (not ours), 3))
    monkeypatch.setattr(libvirtd, "labs", set)
    monkeypatch.setattr(schedule, "free_memory", lambda: 4000)
    assert schedule.look([], 4000).memory == 4000
    # 1000 MiB are its own and nothing of them is used: still 4000 in all.
    assert schedule.look([cell("x", memory=1000)], 4000).memory == 4000
    monkeypatch.setattr(schedule, "free_memory", lambda: 1500)
    assert schedule.look([cell("x", memory=1000)], 4000).memory == 2500
    assert schedule.look([cell("x")], 4000).machines == 12
    assert schedule.look([], 4000).cores == len(os.sched_getaffinity(0))


def test_the_look_sees_whether_others_take_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labs of virtual machines that run, and none of ours; one without a process takes nothing."""
    x = virtual(cell("x", memory=1000))
    beside, at_work = 0, {x.lab: [7], "own": [], "b": [8]}
    monkeypatch.setattr(containers, "room", lambda ours: (12, beside))
    monkeypatch.setattr(libvirtd, "labs", lambda: set(at_work))
    monkeypatch.setattr(libvirtd, "processes", lambda lab: at_work[lab])
    monkeypatch.setattr(schedule, "free_memory", lambda: 1500)
    monkeypatch.setattr(memory, "total", lambda: 8000 + schedule.RESERVE)
    assert schedule.look([], 4000).taken == 6500
    assert schedule.look([x], 4000).taken == 5500
    at_work["b"] = []
    assert schedule.look([x], 4000).taken == 0
    assert schedule.look([], 4000).taken == 6500  # x is none of ours
    at_work[x.lab] = []
    assert schedule.look([], 4000).taken == 0
    beside = 1
    assert schedule.look([], 4000).taken == 6500


def test_room_for_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Our own labs' containers are no one else's; one without power counts."""
    limit = tmp_path / "limit"
    limit.write_text("128\n")
    monkeypatch.setattr(containers, "INOTIFY", limit)
    there = [{"lab": "a"}, {"lab": "a"}, {"lab": "b"}, {"lab": "c", "slim": "yes"}]
    states = ["running", "exited", "running", "running"]
    found = [{"Labels": labels, "State": s} for labels, s in zip(there, states, strict=True)]
    monkeypatch.setattr(containers, "listed", lambda: found)
    assert containers.room({"a"}) == (11, 1)
    assert containers.room() == (9, 3)
    containers.check_room(9)
    with pytest.raises(CannotRun, match="13 machines at once need 130"):
        containers.check_room(10)


# -- cells that run -------------------------------------------------------------------------


class NoMachines:
    """A provider of nothing."""

    def labs(self) -> set[str]:
        return set()

    def pace(self) -> float:
        return 1.0


class Told:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.most = 0
        self.shown = threading.Event()

    def say(self, text: str) -> None:
        self.said.append(text)

    def started(self, cell: Cell) -> None:
        self.said.append(f"start {cell.scenario}")

    def ended(self, outcome: Outcome) -> None:
        self.said.append(f"{outcome.verdict} {outcome.cell.scenario}")

    def show(self, running: Sequence[work.Work], waiting: int) -> None:
        assert waiting >= 0
        self.most = max(self.most, len(running))
        self.shown.set()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of this test's own, room, images, and what the fake `lab` is told."""
    folder = tmp_path / "fake"
    for name in ("do", "down", "go"):
        (folder / name).mkdir(parents=True)
    monkeypatch.setenv("FAKE_LAB", str(folder))
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(providers, "load", lambda name: NoMachines())
    monkeypatch.setattr(images, "ensure", lambda platform, say: None)
    monkeypatch.setattr(schedule, "look", lambda running, most: WIDE)
    monkeypatch.setattr(schedule, "free_memory", lambda: 8000)
    return folder


def do(fake: Path, name: str, **what: Any) -> None:
    """Tell the fake `lab up` of a scenario what it is to do."""
    (fake / "do" / name).write_text(json.dumps(what))


def calls(fake: Path) -> list[list[str]]:
    file = fake / "calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def run(
    fake: Path, *cells: Cell, screen: runs.Screen | None = None, **options: Any
) -> tuple[dict[str, Outcome], int]:
    found, status = runs.run(cells, fake / "out", screen or Told(), lab=FAKE, **options)
    assert [one.cell.lab for one in found] == [one.lab for one in cells]
    return {one.cell.scenario: one for one in found}, status


def test_all_pass(fake: Path) -> None:
    screen = Told()
    found, status = run(fake, cell("a"), cell("b", 30), screen=screen)
    assert status == 0
    assert {one.verdict for one in found.values()} == {"passed"}
    assert [found["a"].passed, found["a"].section, found["a"].problem] == [1, "", ""]
    up = ["up", "a", "--platform", "debian-12", "--provider", "podman", "--name", "m-a-debian-12"]
    assert up in calls(fake)
    assert ["down", "m-a-debian-12"] in calls(fake)
    assert everything() == []
    assert screen.said[:2] == ["start a", "start b"]
    assert screen.most == 2
    out = fake / "out"
    for folder, suffix in (("junit", "xml"), ("reports", "html"), ("logs", "log")):
        there = {path.name for path in (out / folder).iterdir()}
        assert there == {f"m-a-debian-12.{suffix}", f"m-b-debian-12.{suffix}"}
    assert ET.parse(out / "junit" / "m-a-debian-12.xml").getroot().find(".//failure") is None


def test_a_failure(fake: Path) -> None:
    """Its section, problem and evidence are told; the lab goes all the same; others pass."""
    do(fake, "a", sections={"A.1": "passed", "A.2": "failed", "A.3": "skipped"}, exit=1)
    found, status = run(fake, cell("a"), cell("b"))
    assert status == 1
    a = found["a"]
    assert (a.verdict, a.passed, a.section, a.problem) == ("failed", 1, "A.2", "A.2 went wrong")
    assert Path(a.evidence).is_dir()
    assert (fake / "out/evidence/m-a-debian-12/evidence-A.2/journal").read_text() == "evidence"
    assert found["b"].verdict == "passed"
    assert everything() == []
    junit = ET.parse(fake / "out/junit/m-a-debian-12.xml").getroot()
    assert len(junit.findall(".//failure")) == 1


def test_keep(fake: Path) -> None:
    """Labs that did not pass stay, and are said to; those that passed go."""
    do(fake, "a", sections={"A.1": "failed"}, exit=1)
    found, status = run(fake, cell("a"), cell("b"), keep=True)
    assert status == 1
    assert (found["a"].left, found["b"].left) == (True, False)
    assert everything() == ["m-a-debian-12"]
    assert ["down", "m-a-debian-12"] not in calls(fake)
    # The next run begins with a lab of its own, not with what is left of that one.
    do(fake, "a")
    (fake / "calls").unlink()
    found, status = run(fake, cell("a"))
    assert status == 0
    assert [call[0] for call in calls(fake)] == ["down", "up", "down"]


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ({"nothing": True, "exit": 3, "say": "the disk is full"}, "the disk is full"),
        ({"nothing": True, "exit": 2}, "nothing was said"),
        ({"kill": True}, "lab up was killed by SIGKILL"),
    ],
)
def test_errors(fake: Path, what: dict[str, Any], problem: str) -> None:
    """A run that never was, or was killed: no pass, and JUnit has an error for it."""
    do(fake, "a", **what)
    found, status = run(fake, cell("a"), cell("b"))
    assert status == 1
    assert found["a"].verdict == "error"
    assert problem in found["a"].problem
    assert found["b"].verdict == "passed"
    (file,) = (fake / "out/junit").glob("m-a-debian-12*.xml")
    (error,) = ET.parse(file).getroot().findall(".//error")
    assert problem in str(error.get("message"))
    assert everything() == []


def test_sections_that_were_not_reached_are_no_success(fake: Path) -> None:
    """Where `lab up` began and broke off, its JUnit file alone would have nothing red in it."""
    do(fake, "a", sections={"A.1": "skipped"}, exit=3, say="no room")
    found, _ = run(fake, cell("a"))
    assert (found["a"].verdict, found["a"].problem) == ("error", "no room")
    files = sorted((fake / "out/junit").iterdir())
    assert [file.name for file in files] == ["m-a-debian-12.lab.xml", "m-a-debian-12.xml"]
    (error,) = ET.parse(files[0]).getroot().findall(".//error")
    assert error.get("message") == "no room"


def test_results_of_an_earlier_run_are_not_taken_for_this_one(fake: Path) -> None:
    assert run(fake, cell("a"))[1] == 0
    do(fake, "a", nothing=True, exit=3, say="no room")
    found, status = run(fake, cell("a"))
    assert status == 1
    assert (found["a"].passed, found["a"].results) == (0, "")


def test_a_folder_that_is_used_again(fake: Path) -> None:
    """Nothing of an earlier matrix is taken for this one's; what is somebody's own stays."""
    do(fake, "a", sections={"A.1": "failed"}, exit=1)
    run(fake, cell("a"), cell("b"))
    out = fake / "out"
    outcomes.write_summary(out, {})
    own = [out / "notes", out / "logs" / "syslog", out / "own" / "m-a-debian-12.log"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert run(fake, cell("b"))[1] == 0
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    name = "m-b-debian-12"
    ours = {f"logs/{name}.log", f"junit/{name}.xml", f"reports/{name}.html"}
    assert there == ours | {str(path.relative_to(out)) for path in own}
    assert not list((out / "evidence").iterdir())


def test_a_lab_that_cannot_be_removed(fake: Path) -> None:
    """Its sections passed, but the cell did not: something is left behind, and that is said."""
    (fake / "down" / "m-a-debian-12").write_text("1")
    found, status = run(fake, cell("a"))
    assert status == 1
    assert found["a"].verdict == "error"
    assert found["a"].left
    assert found["a"].problem == "lab down m-a-debian-12 ended with 1"
    # … and the next run does not begin on it.
    found, status = run(fake, cell("a"))
    assert "that was there could not be removed" in found["a"].problem
    assert [call[0] for call in calls(fake)] == ["up", "down", "down"]


def test_images_that_cannot_be_built(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells of that platform fail, those of the others run; each is built once."""
    asked: list[str] = []

    def ensure(platform: Any, say: Callable[[str], None]) -> None:
        asked.append(platform)
        say(f"building {platform}")
        if platform == "beos-5":
            raise CannotRun("no mirror")

    monkeypatch.setattr(images, "ensure", ensure)
    monkeypatch.setattr(platforms, "load", lambda name: name)
    beos = [replace(cell(name), platform="beos-5", lab=f"m-{name}-beos") for name in "xy"]
    found, status = run(fake, *beos, cell("b"))
    assert asked == ["beos-5", "debian-12"]
    assert status == 1
    assert [found[name].verdict for name in "xyb"] == ["error", "error", "passed"]
    assert found["x"].problem == "no mirror"
    assert "no mirror" in (fake / "out/junit/m-x-beos.xml").read_text()
    assert [call[1] for call in calls(fake) if call[0] == "up"] == ["b"]


def test_virtual_machines(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their box is made before any cell begins; what is collected says what they were made of."""
    made: list[str] = []
    monkeypatch.setattr(images, "ensure", lambda platform, say: platform.name)
    monkeypatch.setattr(boxes, "ensure", lambda found: made.append(f"{found} {calls(fake)}"))
    do(fake, "b", sections={"A.1": "skipped"}, exit=3, say="no room")
    found, status = run(fake, virtual(cell("a")), virtual(cell("b")))
    assert made == ["debian-12 []"]
    assert status == 1
    name = "m-a-debian-12-vagrant"
    up = ["up", "a", "--platform", "debian-12", "--provider", "vagrant", "--name", name]
    assert up in calls(fake)
    assert ["down", name] in calls(fake)
    assert found["a"].to_json()["provider"] == "vagrant"
    for file in (f"{name}.xml", "m-b-debian-12-vagrant.lab.xml"):
        (suite,) = ET.parse(fake / "out/junit" / file).getroot()
        assert str(suite.get("name")).endswith(" on debian-12 (vagrant)")
        told = {one.get("name"): one.get("value") for one in suite.iter("property")}
        assert told["provider"] == "vagrant"


def test_one_provider_leaves_the_labs_of_the_other_alone(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes, "ensure", lambda found: None)
    do(fake, "a", sections={"A.1": "failed"}, exit=1)
    run(fake, cell("a"), keep=True)
    do(fake, "a")
    (fake / "calls").unlink()
    assert run(fake, virtual(cell("a")))[1] == 0
    assert ["down", "m-a-debian-12"] not in calls(fake)
    assert everything() == ["m-a-debian-12"]


def test_a_box_that_cannot_be_made(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the end of what starts from it, before it begins, and of nothing else."""

    def ensure(found: Any) -> None:
        raise CannotRun("no qemu-img")

    monkeypatch.setattr(boxes, "ensure", ensure)
    found, status = run(fake, virtual(cell("a")), cell("b"))
    assert status == 1
    assert (found["a"].verdict, found["a"].problem) == ("error", "no qemu-img")
    assert found["b"].verdict == "passed"
    assert [call[1] for call in calls(fake) if call[0] == "up"] == ["b"]


def test_a_freed_place_is_taken(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one, they run one after the other; the longest first."""
    monkeypatch.setattr(schedule, "look", lambda running, most: replace(WIDE, machines=1))
    screen = Told()
    _, status = run(fake, cell("a", 1), cell("b", 9), cell("c", 5), screen=screen)
    assert status == 0
    assert screen.most == 1
    order = [call[1] for call in calls(fake) if call[0] == "up"]
    assert order == ["b", "c", "a"]


def test_other_labs_are_waited_for(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "LOOK", 0.1)
    crowded = iter([replace(WIDE, machines=0, others=12)] * 3)
    monkeypatch.setattr(schedule, "look", lambda running, most: next(crowded, WIDE))
    screen = Told()
    _, status = run(fake, cell("a"), screen=screen)
    assert status == 0
    assert screen.said == [
        "waiting: other labs leave no room",
        "start a",
        "passed a",
    ]


def test_memory_of_other_labs_is_waited_for(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they took when the matrix began is room for it once they are gone."""
    monkeypatch.setattr(runs, "LOOK", 0.1)
    monkeypatch.setattr(boxes, "ensure", lambda found: None)
    free = iter([2000, 2000, 2000])
    monkeypatch.setattr(schedule, "free_memory", lambda: next(free, 7000))
    mosts: list[int] = []

    def look(running: Sequence[Cell], most: int) -> Room:
        mosts.append(most)
        return replace(WIDE, machines=12, memory=most, taken=6000)

    monkeypatch.setattr(schedule, "look", look)
    screen = Told()
    _, status = run(fake, virtual(cell("a", machines=0, memory=6000)), screen=screen)
    assert status == 0
    assert screen.said == ["waiting: other labs leave no room", "start a", "passed a"]
    assert mosts == [2000, 2000, 7000]


def test_other_labs_are_not_waited_for_for_ever(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LOOK", 0.1)
    monkeypatch.setattr(runs, "OTHERS", 0.3)
    for crowded in (
        replace(WIDE, machines=0, others=12),
        replace(WIDE, memory=0, taken=8000),
    ):
        monkeypatch.setattr(schedule, "look", lambda running, most, room=crowded: room)
        do(fake, "a", nothing=True, exit=3, say="no room")
        screen = Told()
        found, status = run(fake, cell("a"), screen=screen)
        assert (status, found["a"].problem) == (1, "no room")
        assert screen.said[0] == "waiting: other labs leave no room"


def test_a_look_that_fails_is_tried_again(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One `podman ps` that takes too long, before a cell and beside one, is not the end of all."""
    monkeypatch.setattr(runs, "LOOK", 0.1)
    looks = iter([None, None, replace(WIDE, machines=1), None, None])

    def look(running: Sequence[Cell], most: int) -> Room:
        if (room := next(looks, WIDE)) is None:
            raise CommandTimeout("podman ps did not end")
        return room

    monkeypatch.setattr(schedule, "look", look)
    screen = Told()
    found, status = run(fake, cell("a"), cell("b", 1), screen=screen)
    assert status == 0
    assert next(looks, "all") == "all"
    assert {one.verdict for one in found.values()} == {"passed"}
    # Said once for each time that it happens, however many looks fail in a row.
    said = "waiting: podman ps did not end"
    assert screen.said[:3] == [said, "start a", *screen.said[2:3]]
    assert screen.said.count(said) == 2


def test_looks_that_always_fail(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not tried for ever: then one starts at a time, and `lab up` says what is wrong."""

    def look(running: Sequence[Cell], most: int) -> Room:
        raise CannotRun("no podman")

    monkeypatch.setattr(runs, "LOOK", 0.1)
    monkeypatch.setattr(runs, "OTHERS", 0.3)
    monkeypatch.setattr(schedule, "look", look)
    do(fake, "a", nothing=True, exit=3, say="no podman")
    screen = Told()
    found, status = run(fake, cell("a"), screen=screen)
    assert (status, found["a"].verdict, found["a"].problem) == (1, "error", "no podman")
    assert screen.said == ["waiting: no podman", "start a", "error a"]


def test_results_that_cannot_be_collected(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is that cell's error: it did not pass, and the others go on."""
    real = shutil.copyfile

    def copyfile(source: Path, target: Path, **options: Any) -> Any:
        if "m-a-" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    found, status = run(fake, cell("a"), cell("b", 30))
    assert status == 1
    assert [found[name].verdict for name in "ab"] == ["error", "passed"]
    assert "could not be collected: [Errno 28] No space left" in found["a"].problem


def test_a_damaged_results_file(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read says nothing, and ends nothing."""

    def read(path: Path) -> list[dict[str, Any]]:
        raise BadInput(f"{path}, line 1: not an event in JSON")

    monkeypatch.setattr(results, "read", read)
    do(fake, "a", exit=1)
    seen: list[tuple[int, str]] = []

    class Looks(Told):
        def show(self, running: Sequence[work.Work], waiting: int) -> None:
            super().show(running, waiting)
            seen.extend(one.progress() for one in running if one.results)

    found, status = run(fake, cell("a"), screen=Looks())
    assert (status, found["a"].verdict, found["a"].passed) == (1, "failed", 0)
    assert set(seen) <= {(0, ""), (0, "lab down")}


# -- interrupted ----------------------------------------------------------------------------


class Interrupts(Told):
    """Sends Ctrl-C once so many cells are at work; their `lab up` has begun by then."""

    def __init__(self, fake: Path, times: int = 1) -> None:
        super().__init__()
        self.fake = fake
        self.times = times

    def show(self, running: Sequence[work.Work], waiting: int) -> None:
        super().show(running, waiting)
        begun = [one for one in running if one.results]
        if self.times and len(begun) == 2:
            self.times -= 1
            os.kill(os.getpid(), signal.SIGINT)


def test_interrupted(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is ended and removed, what waits never starts, and all of it is told."""
    monkeypatch.setattr(schedule, "look", lambda running, most: replace(WIDE, machines=2))
    do(fake, "a", hang=True)
    do(fake, "b", hang=True)
    began = time.monotonic()
    found, status = run(fake, cell("a"), cell("b"), cell("c", 1), screen=Interrupts(fake))
    assert time.monotonic() - began < SOON
    assert status == 130
    assert [found[name].verdict for name in "abc"] == ["interrupted", "interrupted", "not run"]
    assert everything() == []
    assert [call[0] for call in calls(fake)].count("down") == 2
    assert "interrupted" in Path(found["a"].log).read_text()
    assert {path.name for path in (fake / "out/junit").iterdir()} == {
        f"m-{name}-debian-12.xml" for name in "abc"
    }
    assert found["a"].problem == ""
    assert signal.getsignal(signal.SIGINT) is not None


def test_interrupted_with_keep(fake: Path) -> None:
    do(fake, "a", hang=True)
    do(fake, "b", hang=True)
    found, status = run(fake, cell("a"), cell("b"), screen=Interrupts(fake), keep=True)
    assert status == 130
    assert found["a"].left
    assert everything() == ["m-a-debian-12", "m-b-debian-12"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_images_are_made(
    fake: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    """Hours may pass there. Nothing began, and summary.json says so of every cell."""
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(doctors, "require", lambda *_: None)
    monkeypatch.setattr(runs.run, "__kwdefaults__", {"jobs": 0, "keep": False, "lab": FAKE})
    monkeypatch.setattr(images, "ensure", lambda platform, say: os.kill(os.getpid(), number))
    files = [str(tmp_path / f"{name}.yaml") for name in ("one", "two")]
    for file in files:
        Path(file).write_text(BARE)
    out = tmp_path / "out"
    where = ["--platform", "debian-12", "--output", str(out)]
    try:
        assert cli.main(["matrix", *files, *where]) == 130
    finally:
        for one, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(one, handler)
    data = json.loads((out / "summary.json").read_text())
    assert not data["passed"]
    assert [one["verdict"] for one in data["cells"]] == ["not run", "not run"]
    assert "interrupted: no cell began" in capsys.readouterr().out
    for name in ("one", "two"):
        junit = ET.parse(out / "junit" / f"m-{name}-debian-12.xml").getroot()
        (error,) = junit.findall(".//error")
        assert error.get("message") == "not run"
    assert calls(fake) == []


DRIVER = """
import os, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from lab import images, paths, providers
from lab.matrix import run as runs, schedule
import test_matrix as t
paths.RUN = Path({run!r})
providers.load = lambda name: t.NoMachines()
images.ensure = lambda platform, say: None
schedule.look = lambda running, most: t.WIDE
runs.run([t.cell("a")], Path({out!r}), t.Told(), lab=t.FAKE)
"""


def test_killed(fake: Path, tmp_path: Path) -> None:
    """`kill -9` of the matrix ends its cells; their labs are there, to be seen and removed."""
    do(fake, "a", hang=True)
    code = DRIVER.format(
        tests=str(Path(__file__).parent), run=str(tmp_path / "run"), out=str(fake / "out")
    )
    driver = subprocess.Popen([sys.executable, "-c", code])
    try:
        _eventually(lambda: bool(list(paths.results().glob("m-a-debian-12/latest/results.jsonl"))))
        cells = _children(driver.pid)
        assert len(cells) == 1
        driver.kill()
        driver.wait(SOON)
        _eventually(lambda: not any(_alive(pid) for pid in cells))
    finally:
        driver.kill()
    assert everything() == ["m-a-debian-12"]


def _eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == pid:
            found.append(int(stat.parent.name))
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- what is shown --------------------------------------------------------------------------


def screen_of(outcomes_: Sequence[Outcome], *left_out: LeftOut) -> str:
    """A log's view of them."""
    out = io.StringIO()
    with Matrix(Console(file=out, width=80)) as screen:
        for one in outcomes_:
            screen.started(one.cell)
            screen.ended(one)
        screen.print(outcomes_, left_out, 400.0, "/out")
    return out.getvalue()


def test_the_table() -> None:
    other = replace(cell("remote"), platform="debian-13", lab="m-remote-debian-13", sections=12)
    text = screen_of(
        [
            Outcome(replace(cell("guest"), sections=17), "passed", 240.0, 17),
            Outcome(
                other, "failed", 99.0, 5, "5.4", "expected\x1b[31m this", "/e/evidence-5.4",
                "/r", "/out/logs/m-remote-debian-13.log", True,
            ),
            Outcome(cell("third"), "not run"),
        ]
    )  # fmt: skip
    lines = text.splitlines()
    assert "start  guest on debian-12, lab m-guest-debian-12, 17 sections, about 60.0 s" in lines
    assert "PASS   guest on debian-12, 17 of 17 sections, 4 min 0 s" in lines
    assert "FAIL   remote on debian-13, 5 of 12 sections, 99.0 s: expected this" in lines
    head = next(line for line in lines if line.startswith("scenario"))
    assert head.split() == ["scenario", "debian-12", "debian-13"]
    row = next(line for line in lines if line.startswith("guest "))
    assert row.split() == ["guest", "PASS", "4", "min", "0", "s", "17/17"]
    failure = lines[lines.index("FAIL  remote on debian-13, section 5.4") :]
    assert failure[1:5] == [
        "  problem:  expected this",
        "  evidence: /e/evidence-5.4",
        "  log:      /out/logs/m-remote-debian-13.log",
        "  lab:      m-remote-debian-13 is there still: lab down m-remote-debian-13 removes it",
    ]
    total = "1 passed, 1 failed, 1 not run, in 6 min 40 s; one after the other about 5 min 39 s"
    assert total in lines
    assert "\x1b" not in text


def test_what_was_left_out_is_shown() -> None:
    text = screen_of(
        [Outcome(virtual(cell("guest")), "passed", 9.0, 1)],
        LeftOut("scale", "vagrant", "slim machines are containers, here remote1"),
    )
    lines = text.splitlines()
    assert "PASS   guest on debian-12 (vagrant), 1 of 1 sections, 9.0 s" in lines
    assert "left out  scale (vagrant): slim machines are containers, here remote1" in lines
    assert "left out" not in screen_of([Outcome(cell("guest"), "passed", 9.0, 1)])


SLIM = """
title: Slim
about: One container.
chapter: A
nodes:
  remote1: {address: 192.168.122.101, role: remote, slim: true}
steps:
  - {section: A.1, title: Nothing, expect: [{no_file: {node: remote1, path: /nothing}}]}
"""


def test_virtual_machines_on_the_command_line(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without KVM nothing starts unless that is wished; summary.json says what was left out."""
    asked: list[str] = []
    monkeypatch.setattr(doctors, "require", asked.append)
    monkeypatch.setattr(boxes, "ensure", lambda found: None)
    monkeypatch.setattr(providers, "load", lambda name: Virtual("beside", 4.0))
    monkeypatch.setattr(runs.run, "__kwdefaults__", {"jobs": 0, "keep": False, "lab": FAKE})
    (tmp_path / "bare.yaml").write_text(BARE)
    (tmp_path / "small.yaml").write_text(SLIM)
    out = tmp_path / "out"
    files = [str(tmp_path / "bare.yaml"), str(tmp_path / "small.yaml")]
    where = ["--platform", "debian-12", "--output", str(out), "--provider", "vagrant"]
    monkeypatch.setattr(kvm, "missing", lambda: "the processor offers no vmx or svm")
    assert cli.main(["matrix", *files, *where]) == 3
    told = capsys.readouterr().err
    assert "no KVM here: the processor offers no vmx or svm" in told
    assert "lab doctor --provider vagrant" in told
    assert not out.exists()
    assert calls(fake) == []
    assert cli.main(["matrix", *files, *where, "--emulated"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("virtual machines are emulated: the processor offers no vmx or svm\n")
    assert "left out  small (vagrant): slim machines are containers, here remote1" in said
    monkeypatch.setattr(kvm, "missing", lambda: "")
    assert cli.main(["matrix", *files, *where]) == 0
    assert "emulated" not in capsys.readouterr().out
    data = json.loads((out / "summary.json").read_text())
    assert [(one["scenario"], one["provider"]) for one in data["cells"]] == [("bare", "vagrant")]
    why = "slim machines are containers, here remote1"
    assert data["left_out"] == [{"scenario": "small", "provider": "vagrant", "why": why}]
    assert asked == ["vagrant"] * 3


def test_a_machine_without_vagrant(
    fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `lab doctor --provider vagrant` misses is said at once, and nothing begins."""
    monkeypatch.setattr(doctors, "_quick", list)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(providers, "load", lambda name: Virtual("inside"))
    where = ["--provider", "vagrant", "--output", str(fake / "out")]
    assert cli.main(["matrix", "guest-walkthrough", *where]) == 3
    told = capsys.readouterr().err
    assert "vagrant: it makes the virtual machines" in told
    assert "lab doctor --fix --provider vagrant" in told
    assert not (fake / "out").exists()
    assert calls(fake) == []


def test_a_box_that_no_node_can_be_made_of(
    fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not fetched first; where the node is there, nothing is missing."""
    monkeypatch.setattr(doctors, "require", lambda *_: None)
    monkeypatch.setattr(kvm, "missing", lambda: "")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(providers, "load", lambda name: Virtual("inside"))
    monkeypatch.setattr(boxes, "ensure", lambda found: None)
    monkeypatch.setattr(runs.run, "__kwdefaults__", {"jobs": 0, "keep": False, "lab": FAKE})
    given = ["matrix", "guest-walkthrough", "--provider", "vagrant", "--output", str(fake / "out")]
    assert cli.main([*given, "--platform", "almalinux-9"]) == 3
    assert "this machine lacks virt-customize" in capsys.readouterr().err
    assert not (fake / "out").exists()
    assert cli.main([*given, "--platform", "debian-12"]) == 0
    monkeypatch.setattr(images, "built", lambda platform: platform)
    assert cli.main([*given, "--platform", "almalinux-9"]) == 0


def test_on_the_command_line(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scenario files, a shard, JSON alone on standard output, and summary.json."""
    monkeypatch.setattr(doctors, "require", lambda *_: None)
    monkeypatch.setattr(work.Work.__init__, "__kwdefaults__", {"keep": False, "lab": FAKE})
    monkeypatch.setattr(runs.run, "__kwdefaults__", {"jobs": 0, "keep": False, "lab": FAKE})
    files = []
    for name in ("one", "two", "three"):
        files.append(str(tmp_path / f"{name}.yaml"))
        Path(files[-1]).write_text(BARE)
    do(fake, "two", sections={"A.1": "failed"}, exit=1)
    seen: list[str] = []
    for number in (1, 2):
        out = tmp_path / f"out{number}"
        shard = ["--shard", f"{number}/2", "--platform", "debian-12", "--output", str(out)]
        status = cli.main(["matrix", *files, *shard, "--json"])
        said = capsys.readouterr()
        data = json.loads(said.out)
        assert data == json.loads((out / "summary.json").read_text())
        verdicts = {one["scenario"]: one["verdict"] for one in data["cells"]}
        assert status == (1 if "two" in verdicts else 0)
        assert data["passed"] == (status == 0)
        assert verdicts.get("two", "failed") == "failed"
        assert "scenario" in said.err
        seen += verdicts
    assert sorted(seen) == ["one", "three", "two"]


def test_a_shard_of_nothing(
    fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """More runners than cells: the last have nothing to do, and that is no failure."""
    monkeypatch.setattr(doctors, "require", lambda *_: None)
    walk = ["guest-walkthrough", "--platform", "debian-12"]
    assert cli.main(["matrix", *walk, "--shard", "2/2", "--output", str(fake / "o")]) == 0
    assert "no cell" in capsys.readouterr().out
    assert outcomes.FOLDERS
