"""The transcript: complete, in order, on disk after each event."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from lab import events as e
from lab.report.transcript import Transcript

AT = datetime(2026, 3, 1, 14, 5, 6).timestamp()
SECTION = "4.3.2"


def command_ended(output: str, exit: int | None = 0, problem: str = "") -> e.CommandEnded:
    return e.CommandEnded(
        section=SECTION,
        node="guest1",
        text="x",
        exit=exit,
        expected=(0,),
        output=output,
        seconds=2.14,
        problem=problem,
        at=AT,
    )


def written(path: Path, *happened: e.Event) -> list[str]:
    with Transcript(path) as report:
        for event in happened:
            report(event)
    return path.read_text(encoding="utf-8").split("\n")


def test_everything_of_a_section(tmp_path: Path) -> None:
    lines = written(
        tmp_path / "new" / "transcript.txt",
        e.StepStarted(section=SECTION, title="Integrate as Guest Node", at=AT - 10),
        e.CommandStarted(
            section=SECTION,
            node="guest1",
            text="pcs host auth h",
            adapted=True,
            book=("pcs cluster auth h",),
            why="renamed since",
            secret="hacluster",
            at=AT,
        ),
        command_ended("".join(f"line {n}\n" for n in range(40))),
        e.CommandStarted(
            section=SECTION, node="guest1", text="", omitted=True, book=("old",), why="gone", at=AT
        ),
        e.Waiting(section=SECTION, what="NEVER", seen="NEVER", left=1),
        e.ClusterChanged(section=SECTION, changes=("a → b", "c → d"), at=AT + 2.3),
        e.Acted(section=SECTION, text="rebooted h", seconds=3.2, at=AT),
        e.Checked(
            section=SECTION,
            what="w",
            seen="one\ntwo",
            verdict="failed",
            waited=4,
            hint="try",
            at=AT,
        ),
        e.EvidenceCollected(section=SECTION, folder="/somewhere", at=AT),
        e.StepEnded(
            section=SECTION, title="t", verdict="failed", cluster=3, problem="not so", at=AT
        ),
    )
    assert lines[1:] == [
        "=" * 78,
        "4.3.2  Integrate as Guest Node",
        "=" * 78,
        "14:05:06 [root@guest1 ~]# pcs host auth h",
        "         instead of: pcs cluster auth h",
        "         because: renamed since",
        "         (reads the secret hacluster)",
        *(f"    line {n}" for n in range(40)),
        "14:05:06 guest1: exit status 0, 2.1 s",
        "14:05:06 left out: old",
        "         because: gone",
        "14:05:08 +12.3s cluster: a → b",
        "14:05:08 +12.3s cluster: c → d",
        "14:05:06 » rebooted h (3.2 s)",
        "14:05:06 FAIL w (4.0 s)",
        "         seen: one",
        "               two",
        "         hint: try",
        "14:05:06 evidence of 4.3.2: /somewhere",
        "14:05:06 4.3.2 failed: cluster 3.0 s, harness 0.0 s, 0 verbatim, 0 adapted, 0 added",
        "14:05:06   not so",
        "",
    ]


def test_faults_power_and_audits(tmp_path: Path) -> None:
    phases = {"detected": 2.5, "fenced": None, "recovered": 11.0, "reintegrated": None}
    lines = written(
        tmp_path / "transcript.txt",
        e.StepStarted(section=SECTION, title="T", at=AT - 10),
        e.FaultInjected(section=SECTION, number=3, text="the cable of n is pulled", at=AT),
        e.PowerSwitched(section=SECTION, node="n", action="off", at=AT + 1),
        e.PowerSwitched(section=SECTION, node="n", action="on", problem="it hangs", at=AT + 2),
        e.MachineChanged(section=SECTION, node="n", state="off", reason="destroyed", at=AT + 2),
        e.MachineChanged(section=SECTION, node="n", state="off", reason="failed", at=AT + 3),
        e.FaultHealed(section=SECTION, number=3, text="the cable of n is pulled", seconds=1, at=AT),
        e.FaultHealed(
            section=SECTION, number=4, text="x", seconds=1, problem="it is\nstill so", at=AT
        ),
        e.Recovered(section=SECTION, text="the cable", began=AT, phases=phases, at=AT),
        e.Audited(section=SECTION, audit="groups", verdict="passed", seen="web", at=AT),
        e.Audited(section=SECTION, audit="cores", verdict="failed", seen="n: core", at=AT),
        e.Audited(
            section=SECTION, audit="crashes", verdict="passed", seen="n", announced=True, at=AT
        ),
    )
    assert lines[4:] == [
        "14:05:06 fault 3: the cable of n is pulled",
        "14:05:07 +11.0s power: n off",
        "14:05:08 +12.0s power: n on, failed: it hangs",
        "14:05:08 +12.0s machine: n off (destroyed)",
        "14:05:09 +13.0s machine: n off by itself (failed)",
        "14:05:06 healed 3: the cable of n is pulled (1.0 s)",
        "14:05:06 healed 4: x (1.0 s)",
        "14:05:06   problem: it is",
        "14:05:06   problem: still so",
        "14:05:06 recovery after the cable: detected +2.5 s, not fenced, recovered +11.0 s, "
        "not reintegrated",
        "14:05:06 PASS audit groups: web",
        "14:05:06 FAIL audit cores: n: core",
        "14:05:06 PASS audit crashes, announced: n",
        "",
    ]


def test_each_event_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "transcript.txt"
    report = Transcript(path)
    report(e.Progress(text="bringing up example-host", at=AT))
    assert path.read_text() == "14:05:06 bringing up example-host\n"
    report(command_ended("half\n", exit=None, problem="did not end within 9 s"))
    assert path.read_text().endswith("    half\n14:05:06 guest1: did not end within 9 s, 2.1 s\n")
    report.close()


def test_a_second_run_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "transcript.txt"
    written(path, e.Progress(text="first", at=AT))
    assert written(path, e.RunEnded(verdict="passed", seconds=100, at=AT)) == [
        "14:05:06 first",
        "14:05:06 run passed after 1 min 40 s",
        "",
    ]


def test_an_output_that_is_no_text_does_not_stop_it(tmp_path: Path) -> None:
    lines = written(tmp_path / "t", command_ended("\udcff \x1b[1mbold\x1b[0m\x00 10%\r20%\n", 1))
    assert lines == [
        "    \ufffd bold 10%",
        "    20%",
        "14:05:06 guest1: exit status 1 (expected 0), 2.1 s",
        "",
    ]
