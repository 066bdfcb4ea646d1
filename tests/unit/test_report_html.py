"""The HTML report: complete, safe to open, and true to the run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from example_run import BEGAN, audits, checked, ended, happened, lines, typed

from lab import events as e
from lab.report import html, results

S = "5.1"
START = e.RunStarted(
    at=BEGAN,
    lab="mine",
    scenario="remote-walkthrough",
    title="5  Remote Node Walk-through",
    platform="debian-12",
    provider="podman",
    sections=(S, "5.2"),
)


def parsed(page: str) -> ET.Element:
    """The page as XML: so it is well-formed."""
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def page(*events: e.Event) -> ET.Element:
    """The page of a run with these events in its first section, which it may end itself."""
    begun = e.StepStarted(at=BEGAN + 1, section=S, title="Some Title")
    return parsed(html.render(lines([START, begun, *events])))


def text(element: ET.Element | None) -> str:
    """All that is to be read in it, each element's words apart from the others'."""
    assert element is not None
    return re.sub(r"\s+", " ", " ".join(element.itertext())).strip()


def by_id(root: ET.Element, name: str) -> ET.Element:
    [found] = [one for one in root.iter() if one.get("id") == name]
    return found


def by_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [one for one in root.iter() if name in (one.get("class") or "").split()]


@pytest.fixture(scope="module")
def example() -> ET.Element:
    return parsed(html.render(lines(happened())))


def row(root: ET.Element, number: str) -> list[str]:
    """A section's row of the table."""
    rows = [
        [text(cell) for cell in row] for row in by_id(root, "overview").iter("tr") if len(row) > 1
    ]
    return next(cells for cells in rows if cells[0] == number)


def test_the_header_says_what_ran_and_how_it_went(example: ET.Element) -> None:
    header = example.find(".//header")
    assert header is not None
    assert text(header.find("h1")) == "FAIL 5 Remote Node Walk-through"
    facts = dict(zip(map(text, header.iter("dt")), map(text, header.iter("dd")), strict=True))
    facts.pop("began")
    assert facts == {
        "scenario": "remote-walkthrough",
        "lab": "remotes",
        "platform": "debian-12",
        "provider": "podman",
        "took": "5 min 26 s",
        "sections": "4 passed, 1 failed, 1 skipped",
        "commands": "7 verbatim, 4 adapted, 1 added",
    }
    assert "machines: node1, node2, remote1 (podman)" in text(header)


def test_each_section_has_a_row_with_a_link(example: ET.Element) -> None:
    assert row(example, "5.1")[1:] == [
        "Configure Cluster Nodes", "PASS", "12.4 s", "1.1 s", "0", "4", "1", ""
    ]  # fmt: skip
    assert row(example, "5.8")[2:8] == ["SKIP", "", "", "", "", ""]
    assert row(example, "5.6")[8] == (
        "Fault 1: freeze pacemaker-remoted on remote1 recovered +17.2 s, reintegrated +21.8 s "
        "Fault 2: power_off node2 recovered +2.9 s, reintegrated +11.3 s"
    )
    assert row(example, "5.7")[8].endswith("not recovered, not reintegrated")
    assert row(example, "total")[3:8] == ["2 min 39 s", "10.4 s", "7", "4", "1"]
    links = [a.get("href", "") for a in example.iter("a")]
    ids = [one.get("id") for one in example.iter() if one.get("id")]
    assert len(links) > 12
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_failed_section_tells_its_problem_first_and_is_open(example: ET.Element) -> None:
    failed = by_id(example, "section-5.7")
    assert [one.tag for one in failed][:3] == ["h2", "div", "figure"]
    assert text(failed[1]) == (
        "expected remote node remote1 is online seen offline unclean "
        "hint lab exec node1 -- pcs stonith history "
        "expected healed: cut remote1 off, fence-remote1 broken "
        "seen remote1 still drops what comes from 3121/tcp "
        "expected audit no node stays unclean seen remote1 is offline unclean for 49.0 s "
        "evidence results/evidence-5.7"
    )
    assert [one.get("open") for one in failed.findall("details")] == ["open"]
    passed = by_id(example, "section-5.6")
    assert not by_class(passed, "problem")
    assert {one.get("open") for one in passed.findall("details")} == {None}


def test_the_reason_of_a_failure_without_a_check_is_told() -> None:
    root = page(
        ended(BEGAN + 3, S, "t", verdict="error", problem="KeyError: 'node9'"),
        ended(BEGAN + 3, "5.2", "u", verdict="skipped", problem="section 5.1 failed"),
        e.RunEnded(at=BEGAN + 3, verdict="error", seconds=3),
    )
    assert text(by_class(root, "problem")[0]) == "why KeyError: 'node9'"
    assert text(root.find(".//h1")).startswith("ERROR")


def test_a_failed_command_is_told_once() -> None:
    said = "on node1, `false` ended with exit status 1, not 0"
    root = page(
        *typed(BEGAN + 2, S, ["node1"], "false", output="no\n", exit=1),
        ended(BEGAN + 3, S, "t", verdict="failed", problem=said),
    )
    assert text(by_class(root, "problem")[0]) == (
        "expected exit status 0 of `false` on node1 seen exit status 1 (expected 0) no"
    )


def test_nothing_of_an_event_becomes_markup() -> None:
    evil = "</pre><script>alert(1)</script>&amp;\"'\x1b[31mred\x1b[0m\x00\x08\udcff\x9b"
    values: dict[str, Any] = {"what": evil, "seen": evil, "hint": evil}
    events = [
        replace(START, lab=evil, title=evil, platform=evil),
        e.Progress(at=BEGAN, text=evil),
        e.StepStarted(at=BEGAN + 1, section=S, title=evil),
        e.Checked(at=BEGAN + 2, section=S, verdict="failed", waited=1, **values),
        *typed(BEGAN + 3, S, [evil], evil, output=evil, book=(evil,), why=evil, adapted=True),
        e.Acted(at=BEGAN + 4, section=S, text=evil, seconds=1, output=evil, problem=evil),
        e.ClusterChanged(
            at=BEGAN + 4,
            section=S,
            changes=(evil,),
            nodes={evil: evil},
            resources={evil: {"role": evil, "nodes": [evil], "failed": True}},
        ),
        e.FaultInjected(at=BEGAN + 5, section=S, number=1, text=evil),
        e.PowerSwitched(at=BEGAN + 6, section=S, node=evil, action=evil, problem=evil),
        e.MachineChanged(at=BEGAN + 6, section=S, node=evil, state="off", reason=evil),
        e.FaultHealed(at=BEGAN + 7, section=S, number=1, text=evil, seconds=1, problem=evil),
        e.Recovered(at=BEGAN + 8, section=S, text=evil, began=BEGAN + 5, phases={evil: 1.0}),
        e.Audited(at=BEGAN + 9, section=S, audit=evil, verdict="passed", seen=evil),
        e.Audited(at=BEGAN + 9, section=S, audit=evil, verdict="failed", seen=evil),
        e.EvidenceCollected(at=BEGAN + 9, section=S, folder=evil),
        ended(BEGAN + 9, S, evil, verdict="failed", problem=evil),
    ]
    rendered = html.render(lines(events))
    assert "<script" not in rendered
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]|\[31m", rendered)
    root = parsed(rendered)
    shown = "</pre><script>alert(1)</script>&amp;\"'red\ufffd"
    assert [text(one) for one in by_class(root, "output")] == [shown, shown]
    assert "alert(1)" in text(by_class(root, "problem")[0])
    assert len(by_class(root, "timeline")) == 2


def test_the_page_needs_nothing_but_itself() -> None:
    rendered = html.render(lines(happened()))
    assert not re.search(r"https?://|//[a-z]|@import|<script|<link|<iframe|\bon\w+=", rendered)
    assert not re.search(r"\bsrc=", rendered)
    assert {found[:1] for found in re.findall(r"url\((.)", rendered)} == {"#"}
    assert {found[:1] for found in re.findall(r'href="(.)', rendered)} == {"#"}
    ids = set(re.findall(r'id="([^"]+)"', rendered))
    assert set(re.findall(r"url\(#([^)]+)\)", rendered)) <= ids
    assert "default-src 'none'" in rendered.replace("&#x27;", "'")


def test_every_class_of_the_pictures_has_a_style() -> None:
    rendered = html.render(lines(happened()))
    style, body = rendered.split("</style>")
    for name in set(re.findall(r'<(?:rect|path)[^>]* class="([^"]+)"', body)):
        assert f".{name}" in style


def test_every_fault_has_its_pictures_and_its_table(example: ET.Element) -> None:
    figures = example.findall(".//figure")
    assert [text(one.find("figcaption/strong")) for one in figures] == [
        "Fault 1: freeze pacemaker-remoted on remote1",
        "Fault 2: power_off node2",
        "Fault 3: cut remote1 off, fence-remote1 broken",
    ]
    for one in figures:
        pictures = by_class(one, "timeline")
        assert [p.get("class") for p in pictures] == ["timeline wide", "timeline narrow"]
        assert {p.get("role") for p in pictures} == {"img"}
        for drawn in pictures:
            for name in drawn.get("aria-labelledby", "").split():
                assert text(by_id(example, name))
    phases = {text(row[0]): [text(c) for c in row[1:]] for row in figures[0].iter("tr")}
    assert phases == {
        "phase": ["at", "took"],
        "fault": ["0 s", ""],
        "detected": ["+12.3 s", "12.3 s"],
        "fenced": ["+13.9 s", "1.6 s"],
        "power off remote1": ["+13.9 s", ""],
        "power on remote1": ["+15.2 s", ""],
        "recovered": ["+17.2 s", "3.3 s"],
        "reintegrated": ["+21.8 s", "4.6 s"],
        "healed": ["+22.6 s", "0.8 s"],
    }
    last = {text(row[0]): text(row[1]) for row in figures[2].iter("tr")}
    assert (last["fenced"], last["recovered"]) == ("not fenced", "not recovered")
    assert "power off remote1 failed: no answer from the BMC" in last


def test_a_fault_whose_recovery_is_not_on_record_has_a_picture_too() -> None:
    root = page(e.FaultInjected(at=BEGAN + 5, section=S, number=4, text="freeze it"))
    [figure] = root.findall(".//figure")
    assert text(figure.find("figcaption")) == "Fault 4: freeze it its recovery is not on record"
    assert row(root, S)[8] == "Fault 4: freeze it its recovery is not on record"


def test_a_run_that_broke_off_says_so() -> None:
    events = happened()
    cut = next(i for i, one in enumerate(events) if isinstance(one, e.FaultInjected))
    root = parsed(html.render(lines(events[: cut + 3])))
    assert text(root.find(".//h1")).startswith("BROKE OFF")
    [warning] = by_class(root, "warning")
    assert "no end on record" in text(warning)
    assert row(root, "5.6")[2] == "BROKE OFF"
    assert row(root, "5.7")[1:3] == ["not begun", "NOT RUN"]
    section = by_id(root, "section-5.6")
    assert "broke off" in text(by_class(section, "problem")[0])
    assert section.findall("details")[-1].get("open") == "open"


def test_a_run_that_broke_off_between_sections_did_not_pass() -> None:
    done = ended(BEGAN + 3, S, "t")
    root = page(done, replace(done, section="5.2"))
    assert text(root.find(".//h1")).startswith("BROKE OFF")
    assert "2 passed" in text(root.find(".//header"))


def test_a_command_that_broke_off_says_so() -> None:
    begun = e.CommandStarted(at=BEGAN + 2, section=S, node="node1", text="sleep 9")
    [command] = by_class(page(begun), "command")
    assert text(command).endswith("its end is not on record")


def test_runs_that_carry_on_are_told_apart() -> None:
    first = [
        START,
        e.StepStarted(at=BEGAN + 1, section=S, title="One"),
        ended(BEGAN + 9, S, "One", verdict="failed", problem="not so", verbatim=2),
        ended(BEGAN + 9, "5.2", "Two", verdict="skipped", problem="section 5.1 failed"),
        e.RunEnded(at=BEGAN + 10, verdict="failed", seconds=10),
    ]
    second = [
        replace(START, at=BEGAN + 100),
        e.StepStarted(at=BEGAN + 101, section=S, title="One"),
        ended(BEGAN + 109, S, "One", verbatim=2),
        e.StepStarted(at=BEGAN + 110, section="5.2", title="Two"),
        ended(BEGAN + 119, "5.2", "Two", verbatim=3),
        e.RunEnded(at=BEGAN + 120, verdict="passed", seconds=20),
    ]
    root = parsed(html.render(lines([*first, *second])))
    rows = [text(row) for row in by_id(root, "overview").iter("tr")]
    assert [re.split(" began| 12.4", row)[0] for row in rows[1:-1]] == [
        "run 1,", "5.1 One FAIL", "run 2,", "5.1 One PASS", "5.2 Two PASS"
    ]  # fmt: skip
    assert row(root, "total")[5] == "5"  # not the failed attempt's as well
    assert text(root.find(".//h1")).startswith("PASS")
    assert "2 passed" in text(root.find(".//header"))
    assert "30.0 s" in text(root.find(".//header"))
    again = by_class(by_id(root, "section-5.1"), "again")
    assert [a.get("href") for one in again for a in one] == ["#section-5.1-run-2"]
    assert not by_class(by_id(root, "section-5.1-run-2"), "again")


def test_commands_of_several_nodes_are_one_entry_with_an_end_each(example: ET.Element) -> None:
    entries = by_class(by_id(example, "section-5.1"), "command")
    assert len(entries) == 4
    typed_there = [text(one) for one in by_class(entries[1], "typed")]
    assert typed_there == [f"[root@{node} ~]# systemctl start pcsd" for node in ("node1", "node2")]
    assert [text(one) for one in by_class(entries[1], "end")] == [
        "node1: exit status 0, 0.8 s",
        "node2: exit status 0, 0.9 s",
    ]


def test_the_same_command_again_is_another_entry() -> None:
    twice = [*typed(BEGAN + 2, S, ["node1"], "date"), *typed(BEGAN + 4, S, ["node1"], "date")]
    begun = [one for one in twice if isinstance(one, e.CommandStarted)]
    for order in (twice, [*begun, *(one for one in twice if one not in begun)]):
        entries = by_class(page(*order), "command")
        assert [text(one)[-21:] for one in entries] == ["date exit status 0, 0.8 s"[-21:]] * 2


def test_an_adapted_command_tells_the_book_s_and_why(example: ET.Element) -> None:
    entries = by_class(by_id(example, "section-5.1"), "command")
    assert [one.get("class") for one in entries] == [
        *["command adapted"] * 3, "command omitted"
    ]  # fmt: skip
    assert text(entries[2]).startswith(
        "+13.0 s [root@node1 ~]# pcs host auth node1 node2 -u hacluster "
        "instead of: pcs cluster auth node1 node2 because: pcs 0.10 renamed it;"
    )
    assert "reads the secret hacluster" in text(entries[2])
    assert text(entries[3]) == (
        "+15.0 s left out: pcs cluster standby --all because: It is not there any more."
    )


def test_a_long_output_is_folded_and_whole(example: ET.Element) -> None:
    entry = by_class(by_id(example, "section-5.1"), "command")[0]
    folded = entry.findall(".//details")
    assert [one.get("open") for one in folded] == [None, None]
    assert text(folded[0].find("summary")) == "node1: exit status 0, 0.8 s; 69 lines of output"
    assert "package-69 " in text(folded[0])


def test_a_failed_command_s_output_is_open() -> None:
    output = "".join(f"line {n}\n" for n in range(40))
    root = page(*typed(BEGAN + 2, S, ["node1"], "x", output=output, exit=3))
    [command] = by_class(root, "command")
    assert [one.get("open") for one in command.iter("details")] == ["open"]
    assert text(by_class(command, "bad")[0]) == "exit status 3 (expected 0), 0.8 s"


def test_what_else_happened_is_told_with_its_time(example: ET.Element) -> None:
    rows = [text(li) for ol in by_class(example, "transcript") for li in ol]
    for told in (
        "+0.2 s PASS before: no node has the package pacemaker none",
        "+19.0 s PASS node1, node2 are online (3.4 s) node1 online, node2 online",
        "+17.0 s » rebooted node2 (8.2 s) bye",
        "+10.0 s fault 1: freeze pacemaker-remoted on remote1",
        "+22.9 s node remote1: online → offline unclean",
        "+23.9 s power: remote1 off",
        "+32.6 s fault 1 healed: freeze pacemaker-remoted on remote1",
        "+34.0 s recovery after freeze pacemaker-remoted on remote1: detected +12.3 s, "
        "fenced +13.9 s, recovered +17.2 s, reintegrated +21.8 s",
        "+20.0 s power: remote1 off, failed: no answer from the BMC",
    ):
        assert told in rows


def test_the_transcript_is_in_the_order_of_time() -> None:
    late = e.PowerSwitched(at=BEGAN + 2, section=S, node="node1", action="off")
    root = page(checked(BEGAN + 3, S, "first", "x"), checked(BEGAN + 4, S, "then", "y"), late)
    assert [text(one) for one in by_class(root, "when")] == ["+1.0 s", "+2.0 s", "+3.0 s"]


def test_audits_that_passed_are_a_line_and_announced_ones_no_problem(example: ET.Element) -> None:
    section = by_id(example, "section-5.5")
    [folded] = by_class(section, "audits")
    assert (text(folded.find("summary")), folded.get("open")) == (
        "7 audits passed", None
    )  # fmt: skip
    assert not by_class(section, "problem")
    [violated] = by_class(section, "audit")
    assert text(violated).startswith("announced audit: no resource is active on two nodes FAKE1")
    assert text(by_class(page(*audits(BEGAN + 2, S)), "audits")[0][0]) == "8 audits passed"


def test_lines_of_another_version_are_counted_and_left_out() -> None:
    events = lines(happened())
    older = [{k: v for k, v in one.items() if k not in ("nodes", "resources")} for one in events]
    newer = [{**one, "later": 1} for one in older]
    strange = [{"event": "Invented", "at": 1.0}, {"event": "StepEnded", "at": 1.0}]
    root = parsed(html.render([*newer, *strange]))
    [warning] = by_class(root, "warning")
    assert text(warning).startswith("2 lines of the results could not be read")
    assert len(root.findall(".//figure")) == 3  # without rows, as no state is on record
    assert row(root, "5.7")[2] == "FAIL"


def test_no_run_is_a_page_too() -> None:
    assert text(parsed(html.render([])).find(".//h1")) == "No run is on record"


def test_it_is_written_from_a_results_file(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with results.Results(path) as report:
        for event in happened():
            report(event)
    html.write(tmp_path / "new" / "report.html", results.read(path))
    written = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert written == html.render(lines(happened()))
