"""The benchmarks' command line: no failure costs the others' numbers, and bad input is said first.

No benchmark is run here: the modules are stand-ins.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench import __main__ as program
from bench import labs, nodes, notice, providers, vms, walkthrough
from bench.rounds import in_turn, told
from bench.rows import Options, Row
from bench.walkthrough import Walk
from lab import command, doctor_vagrant, paths
from lab.errors import EXIT_INTERRUPTED, CannotRun, LabError
from lab.lab import Lab

Run = Callable[[Options, Any], list[Row]]


class Bench:
    """Stand-ins for all benchmarks: each measures one row, unless it is told otherwise."""

    def __init__(self) -> None:
        self.does: dict[str, Run] = {}
        self.ran: list[str] = []
        self.asked: Options | None = None
        self.state = ""

    def module(self, path: str) -> SimpleNamespace:
        package, name = path.split(".")
        assert package == "bench"

        def run(options: Options, say: Any) -> list[Row]:
            self.ran.append(name)
            self.asked, self.state = options, os.environ["LAB_STATE"]
            if name in self.does:
                return self.does[name](options, say)
            return [Row(name, f"{name} was measured", 1.0)]

        return SimpleNamespace(run=run)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(program, "import_module", made.module)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return made


def fails(error: BaseException) -> Run:
    def run(_options: Options, _say: Any) -> list[Row]:
        raise error

    return run


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# -- which are run --------------------------------------------------------------------------


def test_by_default_what_is_cheap_and_tells_of_every_lab(bench: Bench) -> None:
    assert program.main([]) == 0
    assert bench.ran == ["help", "nodes", "notice", "boot", "walkthrough"]
    assert bench.asked == Options(state=paths.state())


def test_others_by_name(bench: Bench) -> None:
    assert program.main(["matrix", "scale", "4", "64", "--quick", "--rounds", "3"]) == 0
    assert bench.ran == ["matrix", "scale"]
    assert bench.asked
    assert (bench.asked.counts, bench.asked.quick, bench.asked.rounds) == ((4, 64), True, 3)


def test_every_benchmark_is_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    there = {path.stem for path in (paths.ROOT / "bench").glob("*.py")}
    parts = {"__init__", "__main__", "labs", "plain", "rounds", "rows", "waits"}
    assert set(program.BENCHMARKS) == there - parts
    with pytest.raises(SystemExit):
        program.main(["--help"])
    usual, _, others = capsys.readouterr().out.partition("by name")
    for name in program.BENCHMARKS:
        assert f"\n  {name} " in (usual if name in program.USUAL else others)


def test_make_bench_needs_no_more_than_setup() -> None:
    recipe = (paths.ROOT / "Makefile").read_text().partition("\nbench:")[2].split("\n\n")[0]
    assert recipe.startswith(" setup ")
    assert "-m bench $(BENCH)" in recipe


def test_a_state_folder_of_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_STATE", "/mine")
    program.main(["help"])
    assert bench.state not in ("", "/mine")
    assert not Path(bench.state).exists()
    assert os.environ["LAB_STATE"] == "/mine"


# -- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["hlep"], "no benchmark hlep; there are: help, nodes,"),
        (["help", "4"], "is for the benchmark scale"),
        (["--rounds", "0"], "--rounds 0: at least one"),
        (["--rounds", "two"], "invalid int value: 'two'"),
        (["--until", "9.9"], "guest-walkthrough has no section 9.9, but: 4.1.1, 4.1.2"),
        (["providers", "--until", "4.1.1"], "remote-walkthrough has no section 4.1.1"),
        (["help", "--until", "4.1.1"], "--until is for walkthrough and providers"),
        (["matrix", "--scenario", "nosuch"], "there is no scenario 'nosuch'"),
        (["--json", "/nosuch/file"], "--json /nosuch/file: No such file or directory"),
        (["--json", "/"], "--json /: Is a directory"),
    ],
)
def test_bad_input_is_said_before_anything_is_measured(
    bench: Bench, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
    assert bench.ran == []


def test_sections_that_there_are(bench: Bench) -> None:
    assert program.main(["walkthrough", "--until", "4.2.1"]) == 0
    assert program.main(["providers", "--until", "5.3.4"]) == 0


# -- failures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (LabError("no\nsuch thing", hint="do it"), "failed: notice: no such thing; do it"),
        (
            OSError(13, "Permission denied", "/proc/sys/fs/x"),
            "failed: notice: PermissionError: [Errno 13] Permission denied: '/proc/sys/fs/x'",
        ),
        (
            subprocess.TimeoutExpired(["podman"], 3),
            "failed: notice: TimeoutExpired: Command '['podman']' timed out after 3 seconds",
        ),
        (KeyError("a defect"), "failed: notice: KeyError: 'a defect'"),
    ],
)
def test_a_failure_is_one_line_and_the_others_go_on(
    bench: Bench, capsys: pytest.CaptureFixture[str], error: Exception, says: str
) -> None:
    bench.does["notice"] = fails(error)
    assert program.main([]) == 1
    assert bench.ran == list(program.USUAL)
    out = lines(capsys)
    assert [line.split()[0] for line in out[1:5]] == ["help", "nodes", "boot", "walkthrough"]
    assert out[5:] == [says]


def test_a_benchmark_that_cannot_be_imported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def module(path: str) -> SimpleNamespace:
        if path == "bench.boot":
            raise ImportError("no libvirt")
        return bench.module(path)

    monkeypatch.setattr(program, "import_module", module)
    assert program.main([]) == 1
    assert lines(capsys)[-1] == "failed: boot: ImportError: no libvirt"


def test_all_fail(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.does["help"] = fails(LabError("no"))
    assert program.main(["help"]) == 1
    assert lines(capsys) == ["failed: help: no"]


def test_ctrl_c_ends_it_and_the_table_is_there(
    bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bench.does["nodes"] = fails(LabError("no"))
    bench.does["boot"] = fails(KeyboardInterrupt())
    file = tmp_path / "rows.json"
    assert program.main(["--json", str(file)]) == EXIT_INTERRUPTED
    assert bench.ran == ["help", "nodes", "notice", "boot"]
    out = lines(capsys)
    assert [line.split()[0] for line in out[1:3]] == ["help", "notice"]
    assert out[3:] == ["failed: nodes: no"]
    assert [row["name"] for row in json.loads(file.read_text())["rows"]] == ["help", "notice"]


def test_what_is_measured_is_in_the_file(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text("of before")
    bench.does["nodes"] = fails(LabError("no"))
    assert program.main(["help", "nodes", "--json", str(file)]) == 1
    found = json.loads(file.read_text())
    assert [row["what"] for row in found["rows"]] == ["help was measured"]
    assert found["problems"] == ["nodes: no"]


def test_a_file_that_cannot_be_written_in_the_end_costs_nothing_else(
    bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "folder" / "rows.json"
    file.parent.mkdir()

    def run(_options: Options, _say: Any) -> list[Row]:
        file.unlink()
        file.parent.rmdir()
        return [Row("help", "x", 1.0)]

    bench.does["help"] = run
    assert program.main(["help", "--json", str(file)]) == 1
    out = lines(capsys)
    assert out[1].split()[0] == "help"
    assert out[2:] == [f"failed: {file}: No such file or directory"]


def test_a_folder_that_cannot_be_removed_costs_nothing_either(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise OSError(16, "busy")

    made: list[str] = []

    def run(_options: Options, _say: Any) -> list[Row]:
        made.append(os.environ["LAB_STATE"])
        (Path(made[0]) / "file").touch()
        monkeypatch.setattr(os, "unlink", busy)
        return [Row("help", "x", 1.0)]

    bench.does["help"] = run
    assert program.main(["help"]) == 0
    monkeypatch.undo()
    assert lines(capsys)[1].split()[0] == "help"
    (Path(made[0]) / "file").unlink()
    Path(made[0]).rmdir()


# -- what is missing ------------------------------------------------------------------------


@pytest.mark.parametrize("module", [vms, providers])
def test_without_vagrant_it_says_so_before_anything_is_made(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object, **__: object) -> None:
        raise AssertionError("it made something")

    for name in ("fresh", "built"):
        monkeypatch.setattr(labs, name, nothing)
    monkeypatch.setattr(doctor_vagrant, "without", lambda: "the provider vagrant lacks vagrant")
    with pytest.raises(CannotRun, match="lacks vagrant") as caught:
        module.run(Options(), lambda text: None)
    assert "make setup-vagrant" in caught.value.hint


# -- rounds ---------------------------------------------------------------------------------


def test_rounds_take_turns_at_being_first() -> None:
    order: list[str] = []

    def way(name: str) -> Callable[[], int]:
        def measure() -> int:
            order.append(name)
            return len(order)

        return measure

    assert in_turn(3, way("lab"), way("plain")) == ([1, 4, 5], [2, 3, 6])
    assert order == ["lab", "plain", "plain", "lab", "lab", "plain"]
    assert (told(1), told(3)) == ("one round", "medians of 3 rounds")


def test_the_walk_throughs_row_has_medians_and_says_of_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = [Walk(float(seconds), {"4.1.1": seconds - 1.0}) for seconds in (110, 100, 300)]
    theirs = [Walk(100.0, {"4.1.1": 90.0}) for _ in range(3)]
    monkeypatch.setattr(walkthrough, "_by_lab", lambda until, say: ours.pop(0))
    monkeypatch.setattr(walkthrough, "_by_script", lambda until, say: theirs.pop(0))
    said: list[str] = []
    (row,) = walkthrough.run(Options(rounds=3), said.append)
    assert (row.measured, row.baseline, row.ratio, row.reached) == (110.0, 100.0, 1.1, False)
    assert "medians of 3 rounds" in row.what
    assert row.details["lab"]["samples"] == [110.0, 100.0, 300.0]
    assert row.details["lab"]["sections"] == {"4.1.1": 109.0}
    assert said == ["section 4.1.1  lab  109.0 s, plain   90.0 s"]


def test_the_nodes_rows_are_medians_of_their_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    file = SimpleNamespace(read_text=lambda: "100000")  # watches enough
    ours, theirs = [(5.0, 8.0), (9.0, 7.0), (6.0, 9.0)], [(4.0, 6.0)] * 3
    monkeypatch.setattr(nodes, "INOTIFY", file)
    monkeypatch.setattr(nodes, "_by_lab", lambda scenario, count, say: ours.pop(0))
    monkeypatch.setattr(nodes, "_by_podman", lambda scenario, count, say: theirs.pop(0))
    time, memory = nodes.run(Options(rounds=3), lambda text: None)
    assert (time.measured, time.baseline, time.reached) == (6.0, 4.0, True)
    assert "24 machines" in time.what
    assert "medians of 3 rounds" in time.what
    assert (memory.measured, memory.baseline, memory.unit) == (8.0, 6.0, "MiB")


class FakeLab:
    """A lab that comes up at once."""

    def up(self, say: Any) -> None:
        pass


def test_the_scripts_time_is_from_its_first_mark_to_its_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its login beforehand is none of it, nor what it says beside."""

    @contextmanager
    def fresh(what: str) -> Iterator[FakeLab]:
        yield FakeLab()

    class Plain:
        def __init__(self, lab: object, folder: Path) -> None:
            pass

        def sections(self, steps: list[str]) -> list[str]:
            return steps

        def write(self, name: str, lines: list[str]) -> list[str]:
            return lines

    def run(argv: list[str], *, within: float, on_line: Callable[[str], None]) -> None:
        assert argv == ["the plan until 4.1.2"]
        for line in ("## 10.5 4.1.1", "something else", "## 12.0 4.1.2", "## 20.5 end"):
            on_line(line)

    monkeypatch.setattr(labs, "fresh", fresh)
    monkeypatch.setattr(labs, "sections", lambda lab, until: [f"the plan until {until}"])
    monkeypatch.setattr(walkthrough, "Plain", Plain)
    monkeypatch.setattr(command, "run", run)
    said: list[str] = []
    way = walkthrough._by_script("4.1.2", said.append)
    assert way == Walk(10.0, {"4.1.1": 1.5, "4.1.2": 8.5})
    told = ["4.1.1", "something else", "4.1.2", "end", "10.0 s"]
    assert said == [f"plain: {text}" for text in told]


# -- a change that is noticed ---------------------------------------------------------------


class Alerted:
    """A lab whose host has these lines of alerts, one look after the other."""

    def __init__(self, *looks: str) -> None:
        self.looks = list(looks)

    def machine(self, _name: str) -> Any:
        return self

    def run(self, line: str, *, check: bool) -> SimpleNamespace:
        assert line == f"cat {notice.SEEN}"
        return SimpleNamespace(stdout=self.looks.pop(0) if len(self.looks) > 1 else self.looks[0])


BEFORE = "100.000100 BENCH start 0\n"


def test_the_clusters_own_time_of_the_operation() -> None:
    after = (
        "101.5 BENCH monitor 0\n102.25 OTHER stop 0\n103.5 BENCH stop 1\n104.125000 BENCH stop 0\n"
    )
    lab = cast(Lab, Alerted(BEFORE, BEFORE + after))
    assert notice._known(lab, "Stopped", 1) == 104.125
    assert notice._known(lab, "Stopped", 0) == 104.125
    assert notice._lines(lab) == 5


def test_an_operation_that_no_alert_tells_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "WITHIN", 0.2)
    with pytest.raises(LabError, match="no alert on example-host told of the start of BENCH"):
        notice._known(cast(Lab, Alerted(BEFORE)), "Started", 1)


def test_a_wait_that_ended_too_early_is_no_good_number() -> None:
    assert notice._delay(10.5, 10.25) == 0.25
    with pytest.raises(LabError, match=r"seen 0\.250 s before the cluster knew"):
        notice._delay(10.0, 10.25)


@pytest.mark.parametrize(
    ("kind", "line"), [("resource", "1795390480.000970 BENCH stop 0\n"), ("node", "")]
)
def test_the_alerts_agent(tmp_path: Path, kind: str, line: str) -> None:
    seen = tmp_path / "seen"
    seen.touch()
    told = {"kind": kind, "timestamp_epoch": "1795390480", "timestamp_usec": "000970"}
    told |= {"rsc": "BENCH", "task": "stop", "rc": "0"}
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(notice._AGENT.replace(notice.SEEN, str(seen)))
        file.flush()
        given = {f"CRM_alert_{name}": value for name, value in told.items()}
        subprocess.run(["bash", file.name], env=given, check=True)
    assert seen.read_text() == line
