"""The JUnit report: it parses, and a CI system finds in it what it looks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lab import events as e
from lab.report.junit import JUnit, write

RUN = e.RunStarted(
    lab="mine",
    scenario="guest-walkthrough",
    title="Guest Node Walk-through",
    platform="debian-12",
    provider="podman",
    sections=("4.3.1", "4.3.2", "4.3.3", "4.3.4", "4.4"),
    at=1000.0,
)
HOSTILE = "\x1b[31mred\x1b[0m \x00\x08<&]]>\ufffe\udcff ok\n"


def section(number: str, verdict: e.Verdict, problem: str = "") -> list[e.Event]:
    return [
        e.StepStarted(section=number, title="Some Title", at=1001.0),
        e.CommandStarted(section=number, node="example-host", text=f"echo {number}"),
        e.CommandEnded(
            section=number,
            node="example-host",
            text=f"echo {number}",
            exit=0,
            expected=(0,),
            output=HOSTILE,
            seconds=1,
        ),
        e.Waiting(section=number, what="NEVER", seen="NEVER", left=1),
        e.Checked(
            section=number,
            what="guest1 online",
            seen="offline \x1b[1m",
            verdict="passed" if verdict == "passed" else "failed",
            waited=2,
            hint="look there",
        ),
        e.StepEnded(
            section=number,
            title="Some Title",
            verdict=verdict,
            cluster=12.25,
            harness=1.5,
            verbatim=3,
            adapted=1,
            problem=problem,
        ),
    ]


EVENTS: list[e.Event] = [
    RUN,
    *section("4.3.1", "passed"),
    *section("4.3.2", "failed", "guest1 was \x1b[1mnot online"),
    e.EvidenceCollected(section="4.3.2", folder="/results/4.3.2"),
    *section("4.3.3", "error", "no connection"),
    e.StepEnded(section="4.3.4", title="Skipped One", verdict="skipped", problem="needs 4.3.2"),
    e.RunEnded(verdict="error", seconds=50.5),
]


@pytest.fixture
def cases(tmp_path: Path) -> dict[str, ET.Element]:
    write(tmp_path / "new" / "junit.xml", EVENTS)
    root = ET.parse(tmp_path / "new" / "junit.xml").getroot()
    return {case.get("name", ""): case for case in root.iter("testcase")}


def properties(element: ET.Element) -> dict[str, str]:
    return {p.get("name", ""): p.get("value", "") for p in element.findall("properties/property")}


def test_a_test_case_for_each_section(cases: dict[str, ET.Element]) -> None:
    assert list(cases) == [
        "4.3.1 Some Title",
        "4.3.2 Some Title",
        "4.3.3 Some Title",
        "4.3.4 Skipped One",
        "4.4",
    ]
    case = cases["4.3.1 Some Title"]
    assert case.get("classname") == "guest-walkthrough"
    assert case.get("time") == "13.750"
    assert [child.tag for child in case] == ["properties", "system-out"]
    assert properties(case) == {
        "section": "4.3.1",
        "cluster_seconds": "12.250",
        "harness_seconds": "1.500",
        "commands_verbatim": "3",
        "commands_adapted": "1",
        "commands_added": "0",
    }


def test_the_suite_counts_and_describes(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    write(path, EVENTS)
    suite = ET.parse(path).getroot().find("testsuite")
    assert suite is not None
    assert suite.get("name") == "guest-walkthrough on debian-12"
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped", "time")}
    assert counts == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
        "time": "50.500",
    }
    assert properties(suite)["platform"] == "debian-12"


def test_a_failure_says_what_was_expected_and_seen(cases: dict[str, ET.Element]) -> None:
    failure = cases["4.3.2 Some Title"].find("failure")
    assert failure is not None
    assert failure.get("message") == "guest1 was not online"
    assert failure.text is not None
    assert failure.text.split("\n") == [
        "guest1 was not online",
        "expected: guest1 online",
        "seen: offline ",
        "hint: look there",
        "evidence: /results/4.3.2",
    ]
    assert properties(cases["4.3.2 Some Title"])["evidence"] == "/results/4.3.2"


def test_errors_and_skips_are_told_apart(cases: dict[str, ET.Element]) -> None:
    def only(name: str) -> tuple[str, str | None]:
        [found] = [c for c in cases[name] if c.tag in ("failure", "error", "skipped")]
        return found.tag, found.get("message")

    assert only("4.3.3 Some Title") == ("error", "no connection")
    assert only("4.3.4 Skipped One") == ("skipped", "needs 4.3.2")
    assert only("4.4") == ("skipped", "the run ended before this section")


def test_output_holds_the_sections_own_commands(cases: dict[str, ET.Element]) -> None:
    output = cases["4.3.2 Some Title"].findtext("system-out", "")
    assert "[root@example-host ~]# echo 4.3.2\n" in output
    assert "\n    red <&]]>\ufffd ok\n" in output  # without what XML 1.0 does not allow
    assert "echo 4.3.1" not in output
    assert "NEVER" not in output


def test_it_is_written_at_the_run_s_end(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    report = JUnit(path)
    for event in EVENTS[:-1]:
        report(event)
    assert not path.exists()
    report(EVENTS[-1])
    ET.parse(path)
    path.unlink()
    report.close()
    assert not path.exists()  # once is enough


def test_a_run_that_broke_off_leaves_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"

    def events() -> Iterator[e.Event]:
        yield from [RUN, *section("4.3.1", "passed"), *section("4.3.2", "passed")[:-1]]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, events())
    found = {
        case.get("name"): [c.tag for c in case if c.tag in ("error", "skipped")]
        for case in ET.parse(path).getroot().iter("testcase")
    }
    assert found == {
        "4.3.1 Some Title": [],
        "4.3.2 Some Title": ["error"],
        "4.3.3": ["skipped"],
        "4.3.4": ["skipped"],
        "4.4": ["skipped"],
    }


def test_no_run_no_file(tmp_path: Path) -> None:
    JUnit(tmp_path / "junit.xml").close()
    assert list(tmp_path.iterdir()) == []
