"""Coverage of the book and its drift: of a book, scenarios and results made up for the test."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import book as books
from lab import cli, coverage, paths, platforms, recorded, scenario
from lab import plan as plans
from lab.book import Book, Chapter, Section
from lab.commands import book as command
from lab.coverage import Cover, Last, Ran, Row
from lab.drift import Difference, drift
from lab.events import Checked, Event, RunEnded, RunStarted, StepEnded, StepStarted
from lab.report import readme
from lab.report.coverage import totals
from lab.report.results import Results
from lab.yamlfile import load_model

BOOK = Book(
    title="A Book",
    edition="1",
    chapters=[
        Chapter(
            number="1",
            title="Ideas",
            sections=[Section(section="1.1", title="An Idea", concepts=True)],
        ),
        Chapter(
            number="2",
            title="Deeds",
            sections=[
                Section(section="2.1", title="Two Commands"),
                Section(section="2.2", title="In Words"),
                Section(section="2.3", title="For Later"),
            ],
        ),
    ],
)
PLATFORM = """\
name: {name}
title: {name} by name
family: debian
suite: none
versions: {{pcs: "{pcs}"}}
packages: {{}}
"""
ONE = """\
title: One
about: A
chapter: "2"
nodes:
  host1: {address: 192.168.122.101}
steps:
  - section: "2.1"
    title: Two Commands
    where: host1
    book: [echo a, echo b, echo c]
    adapt:
      - {when: pcs >= 0.10, replaces: 2, run: [echo d, echo e], why: b is no longer what it was}
      - {when: pcs >= 0.10, replaces: 3, run: [], why: c is the default today}
      - {when: pcs >= 0.10, after: 1, run: [echo f], why: nobody does it by itself}
    expect:
      - dc: host1
    departs:
      - when: pcs >= 0.10
        kind: output
        book: it prints some letters
        now: it prints other letters
        shown_by: {printed: {command: 1, text: letters}}
  - section: "2.2"
    title: In Words
    where: host1
    act:
      - run: {node: host1, command: echo words}
    expect:
      - dc: host1
    departs:
      - kind: behaviour
        book: nothing happens then
        now: very much happens
        shown_by: {no_dc: }
  - section: "9.9"
    title: Of Our Own
    where: host1
    book: [echo z]
"""
TWO = """\
title: Two
about: B
chapter: "2"
nodes:
  host1: {address: 192.168.122.101}
prepare:
  - {scenario: one, until: "2.1"}
steps:
  - {section: "2.2", title: In Words, where: host1, act: [{run: {node: host1, command: "true"}}]}
"""
SHOWS = "command 1 prints 'letters'"
Json = dict[str, Any]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two scenarios, two platforms and a README in a folder of their own; no results."""
    for name, pcs in (("new-1", "0.11"), ("old-1", "0.9")):
        (tmp_path / "boxes" / name).mkdir(parents=True)
        file = tmp_path / "boxes" / name / "platform.yaml"
        file.write_text(PLATFORM.format(name=name, pcs=pcs))
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "one.yaml").write_text(ONE)
    (tmp_path / "scenarios" / "two.yaml").write_text(TWO)
    (tmp_path / "README.md").write_text(f"before\n{readme.BEGIN}\n{readme.END}\nafter\n")
    monkeypatch.setattr(paths, "BOXES", tmp_path / "boxes")
    monkeypatch.setattr(paths, "SCENARIOS", tmp_path / "scenarios")
    monkeypatch.setattr(books, "load", lambda: BOOK)
    monkeypatch.setattr(recorded, "FILE", tmp_path / "coverage.json")
    monkeypatch.setattr(command, "README", tmp_path / "README.md")
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def lab_book(capsys: pytest.CaptureFixture[str]) -> Run:
    """`lab book …`: exit status, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(["book", *arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run


def key(section: str, platform: str = "new-1", name: str = "one") -> str:
    loaded = platforms.load(platform)
    steps = plans.plan(scenario.load(scenario.find(name)), loaded)
    return plans.key(next(step for step in steps if step.section == section), loaded)


def ran(section: str = "2.1", **other: Any) -> Ran:
    values: dict[str, Any] = {
        "section": section,
        "scenario": "one",
        "by": "one",
        "platform": "new-1",
        "provider": "podman",
        "verdict": "passed",
        "at": "2026-05-01T12:00:00Z",
        "key": key(section),
    }
    return Ran(**(values | other))


def rows(*given: Ran, platform: str = "new-1") -> dict[str, Row]:
    found = coverage.coverage(BOOK, coverage.planned([platform] if platform else []), given)
    return {row.section: row for row in found}


def cover(row: Row, name: str = "one", platform: str = "new-1") -> Cover:
    return row.covers[name][platform]


def results(folder: Path, lab: str, *events: Event) -> Path:
    """A run's results.jsonl as lab writes it."""
    path = folder / "state" / "results" / lab / "2026-05-01T12-00-00-x" / "results.jsonl"
    writer = Results(path)
    for event in events:
        writer(event)
    writer.close()
    return path


def run_of(*ended: StepEnded, name: str = "one", platform: str = "new-1") -> list[Event]:
    """A run's events; the check that shows the departure of 2.1 saw `ABC`."""
    sections = tuple(one.section for one in ended)
    events: list[Event] = [
        RunStarted(
            lab="x",
            scenario=name,
            title="",
            platform=platform,
            provider="podman",
            sections=sections,
        )
    ]
    for one in ended:
        seen = Checked(
            section=one.section, what=SHOWS, seen="ABC", verdict="passed", waited=0, departs="yes"
        )
        events += [StepStarted(section=one.section, title=""), seen, one]
    return [*events, RunEnded(verdict="passed", seconds=1)]


def end(section: str, at: float = 1_777_636_800.0, **other: Any) -> StepEnded:
    values: dict[str, Any] = {"verdict": "passed", "plan": key(section)}
    return StepEnded(section=section, title="", at=at, **(values | other))


# The book


def test_the_books_table_of_contents() -> None:
    """Every numbered section once and in order, of six chapters and an appendix."""
    book = load_model(books.FILE, Book)
    sections = [s.section for chapter in book.chapters for s in chapter.sections]
    assert len(sections) == len(set(sections)) == 44
    assert [chapter.number for chapter in book.chapters] == [*"123456", "A"]
    for chapter in book.chapters:
        assert all(s.section.split(".")[0] == chapter.number for s in chapter.sections)
    assert sections[:-1] == sorted(sections[:-1])
    ideas = {s.section for chapter in book.chapters for s in chapter.sections if s.concepts}
    assert ideas == {"1.1", "1.2", "1.3", "1.4", "1.5", "A"}


# Coverage


def test_a_row_for_each_section_and_then_what_is_not_of_the_book() -> None:
    found = rows()
    assert list(found) == ["1.1", "2.1", "2.2", "2.3", "9.9"]
    assert found["1.1"].concepts
    assert not found["1.1"].covers
    assert not found["2.3"].covers
    assert found["9.9"].chapter == ""
    assert list(found["2.2"].covers) == ["one", "two"]
    assert list(found["2.1"].covers) == ["one"]  # it is only borrowed by the other


def test_counts_are_those_of_the_plan_for_the_platform() -> None:
    found = rows(platform="")

    def counts(section: str, platform: str) -> tuple[int, int, int, int]:
        one = cover(found[section], platform=platform)
        return one.step.verbatim, one.step.adapted, one.step.added, one.words

    assert counts("2.1", "new-1") == (1, 2, 1, 0)
    assert counts("2.1", "old-1") == (3, 0, 0, 0)
    assert counts("2.2", "new-1") == (0, 0, 0, 1)


def test_the_last_verdict_counts() -> None:
    first, second = ran(), ran(verdict="failed", at="2026-05-02T00:00:00Z")
    for given in ((first, second), (second, first)):
        assert cover(rows(*given)["2.1"]).last == (Last(second, older=False),)


def test_a_run_of_another_plan_is_older_and_yields_to_one_of_todays() -> None:
    today = ran()
    other = ran(verdict="failed", at="2026-05-02T00:00:00Z", key="0123")
    assert cover(rows(other)["2.1"]).last == (Last(other, older=True),)
    assert cover(rows(other, today)["2.1"]).last == (Last(today, older=False),)
    assert cover(rows(ran(key=""))["2.1"]).last[0].older


def test_each_provider_has_a_verdict_of_its_own() -> None:
    there = [ran(), ran(provider="vagrant", verdict="error")]
    last = cover(rows(*there)["2.1"]).last
    assert [(one.ran.provider, one.ran.verdict) for one in last] == [
        ("podman", "passed"),
        ("vagrant", "error"),
    ]


@pytest.mark.parametrize("verdict", ["passed", "failed"])
def test_no_providers_record_yields_to_anothers(verdict: str) -> None:
    """A later run on virtual machines, of fewer sections, takes nothing from one on containers."""
    found = coverage.planned(["new-1"])
    there = [ran("2.1"), ran("2.2", key=key("2.2"))]
    later = ran("2.1", provider="vagrant", at="2026-06-01T00:00:00Z", verdict=verdict)
    assert recorded.merged(there, [later], found) == [there[0], later, there[1]]
    assert recorded.merged([later], there, found) == [there[0], later, there[1]]


def test_other_platforms_and_unknown_scenarios_and_sections_are_nobodys() -> None:
    given = [
        ran(platform="old-1"),
        ran(platform="gone-9"),
        ran(scenario="gone"),
        ran().model_copy(update={"section": "2.9"}),
    ]
    found = rows(*given)
    assert not [
        one for row in found.values() for c in row.covers.values() for one in c["new-1"].last
    ]


def test_totals_count_what_passed_as_it_is_now() -> None:
    """Neither what is older, nor what failed, nor ideas; nor what is not of the book."""
    passed = [
        ran("2.1"),
        ran("2.2"),
        ran("2.2", scenario="two", by="two", key=key("2.2", name="two")),
    ]

    def said(*given: Ran) -> str:
        return totals(rows(*given).values(), "new-1")

    commands = "1 command of the book verbatim, 2 adapted, 1 added"
    assert said() == (
        "of 4 sections 2 are covered, of which 0 passed as they are now, 1 only explains, "
        f"1 is missing; {commands}"
    )
    assert "2 are covered, of which 2 passed" in said(*passed)
    assert "2 are covered, of which 1 passed" in said(
        *passed[:2]
    )  # the other scenario's has not run
    worse = {"verdict": "failed"}, {"key": "0123"}
    for change in worse:
        assert "1 passed" in said(passed[0].model_copy(update=change), *passed[1:])


def test_a_scenario_that_has_no_plan_for_a_platform_does_not_hide_the_others(
    made_up: Path, lab_book: Run
) -> None:
    part = (
        "\n    parts:\n      - {when: pcs < 0.10, why: it was there then, expect: [{dc: host1}]}\n"
    )
    text = TWO[: TWO.index("  - {section")] + f'  - section: "2.3"\n    title: Later{part}'
    (made_up / "scenarios" / "two.yaml").write_text(text)
    status, out, err = lab_book()
    assert status == 0
    assert "lab: two has no plan for new-1: section 2.3: nothing of it is left on new-1" in err
    (line,) = [line for line in out.splitlines() if line.startswith("2.3")]
    assert re.search(r"no plan +– +no run", line)  # noqa: RUF001
    assert re.search(r"^2\.1 .* 1/2", out, re.M)


# The key of a plan


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("echo a", "echo A"),
        ("run: [echo d, echo e]", "run: [echo d]"),
        ("- dc: host1", "- no_dc:"),
        ("text: letters", "text: letter"),
        ("expect:\n      - dc", "within: 5s\n    expect:\n      - dc"),
        ("expect:\n      - dc", "announce: {failed: [x monitor]}\n    expect:\n      - dc"),
    ],
)
def test_another_plan_has_another_key(made_up: Path, old: str, new: str) -> None:
    before = key("2.1"), key("9.9")
    changed = ONE.replace(old, new, 1)
    assert changed != ONE
    (made_up / "scenarios" / "one.yaml").write_text(changed)
    assert key("2.1") != before[0]
    assert key("9.9") == before[1]


def test_other_software_has_another_key(made_up: Path) -> None:
    before = key("9.9")
    file = made_up / "boxes" / "new-1" / "platform.yaml"
    file.write_text(PLATFORM.format(name="new-1", pcs="0.12"))
    assert key("9.9") != before


@pytest.mark.parametrize(
    ("old", "new"), [("title: Two", "title: 2"), ("c is the default today", "c is the default now")]
)
def test_words_of_a_section_are_not_part_of_its_key(made_up: Path, old: str, new: str) -> None:
    before = key("2.1")
    (made_up / "scenarios" / "one.yaml").write_text(ONE.replace(old, new, 1))
    assert key("2.1") == before


def test_a_borrowed_section_has_the_key_that_it_has_at_home() -> None:
    assert key("2.1", name="two") == key("2.1", name="one")


# Results of runs


def test_runs_of_this_machine(made_up: Path) -> None:
    """What ended counts, for the scenario that it belongs to; skipped and cut off does not."""
    results(made_up, "a", *run_of(end("2.1"), end("2.2", verdict="skipped")))
    results(made_up, "b", *run_of(end("2.1", verdict="failed", origin="one"), name="two"))
    cut_off = run_of(end("2.2"))[:-2]
    results(made_up, "c", *cut_off)
    found, problems = coverage.runs(paths.results())
    assert problems == []
    seen = {SHOWS: "ABC"}
    assert found == [
        ran(seen=seen),
        ran(seen=seen, by="two", verdict="failed"),
    ]
    assert coverage.runs(paths.results(), ["b"])[0] == found[1:]


def test_latest_is_not_a_run_of_its_own(made_up: Path) -> None:
    path = results(made_up, "a", *run_of(end("2.1")))
    (path.parent.parent / "latest").symlink_to(path.parent.name)
    assert len(coverage.runs(paths.results())[0]) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\n{}\n",
        b"not JSON\n",
        b'{"event": "StepEnded", "at": 1, "section": "2.1", "title": "", "verdict": "passed"}\n',
        b'{"event": "RunStarted", "at": 1, "lab": "x", "scenario": "one", "title": "", '
        b'"platform": "new-1", "provider": "podman", "sections": 5}\n',
        b'{"event": "RunStarted", "at": 1, "lab": "x", "scenario": "one", "title": "", '
        b'"platform": "new-1", "provider": "podman", "sections": []}\n'
        b'{"event": "StepEnded", "at": 1, "section": "2.1", "title": "", "verdict": "fine"}\n',
        None,
    ],
)
def test_results_that_cannot_be_read_do_not_break_it(
    made_up: Path, lab_book: Run, content: bytes | None
) -> None:
    path = results(made_up, "broken")
    if content is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content)
    results(made_up, "good", *run_of(end("2.1")))
    status, out, err = lab_book("--platform", "new-1")
    assert status == 0
    assert re.search(r"^2\.1 .* 1/2 +passed 2026-05-01 *$", out, re.M)
    (folder,) = {line.split(" ")[0] for line in err.splitlines()} or {"lab:"}
    assert folder == "lab:"
    quiet = not content or content.startswith(b'{"event": "StepEnded"')
    assert (str(path) in err) != (quiet and content is not None)


# Drift


def test_drift_of_each_kind() -> None:
    one = ran(seen={SHOWS: "ABC"})
    found = drift(rows(one).values(), "new-1")
    assert [(d.section, d.scenario) for d in found] == [("2.1", "one"), ("2.2", "one")]
    last = Last(one, older=False)
    assert found[0].differences == (
        Difference("addition", (), ("echo f",), "nobody does it by itself"),
        Difference("command", ("echo b",), ("echo d", "echo e"), "b is no longer what it was"),
        Difference("command", ("echo c",), (), "c is the default today"),
        Difference(
            "output",
            ("it prints some letters",),
            ("it prints other letters",),
            shown_by=SHOWS,
            seen="ABC",
            last=last,
        ),
    )
    (behaviour,) = found[1].differences
    assert behaviour.kind == "behaviour"
    assert (behaviour.now, behaviour.seen, behaviour.last) == (("very much happens",), "", None)


def test_there_is_no_drift_where_the_software_is_the_books() -> None:
    """But for a departure that has no condition."""
    found = drift(rows(platform="old-1").values(), "old-1")
    assert [(d.section, [one.kind for one in d.differences]) for d in found] == [
        ("2.2", ["behaviour"])
    ]


def test_drift_tells_what_the_run_that_counts_saw() -> None:
    today = ran(seen={SHOWS: "today"})
    other = ran(seen={SHOWS: "other"}, at="2026-05-02T00:00:00Z", key="0123")
    elsewhere = ran(
        seen={SHOWS: "elsewhere"}, at="2026-05-03T00:00:00Z", provider="vagrant", key=""
    )
    (difference,) = [
        d for d in drift(rows(today, other, elsewhere).values(), "new-1")[0].differences if d.seen
    ]
    assert difference.seen == "today"
    (difference,) = [d for d in drift(rows(other).values(), "new-1")[0].differences if d.seen]
    assert (difference.seen, difference.last) == ("other", Last(other, older=True))


# The command line


def test_text(made_up: Path, lab_book: Run) -> None:
    results(made_up, "a", *run_of(end("2.1"), end("2.2", verdict="failed", plan="0123")))
    status, out, err = lab_book()
    assert (status, err) == (0, "")
    lines = [re.sub(r"  +", "  ", line).rstrip() for line in out.splitlines()]
    assert lines[:13] == [
        "A Book, edition 1",
        "",
        "§  section  new-1  old-1",
        "1  Ideas",
        "1.1  An Idea  no commands: concepts",
        "2  Deeds",
        "  scenario one",
        "2.1  Two Commands  1/2  passed 2026-05-01  3/0  no run",
        "2.2  In Words  –  failed 2026-05-01 (older)  –  no run",  # noqa: RUF001
        "  scenario two",
        "2.2  In Words  –  no run  –  no run",  # noqa: RUF001
        "2.3  For Later  not covered",
        "  Not in the book",
    ]
    assert "new-1: of 4 sections 2 are covered, of which 1 passed as they are now," in out


@pytest.mark.parametrize("columns", ["80", "40"])
def test_text_on_a_narrow_terminal(
    made_up: Path, lab_book: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Sections, the words of titles and dates stay whole, however long the verdicts are."""
    title = "Connection Resources for Pacemaker Remote Nodes"
    renamed = BOOK.chapters[1].sections[0].model_copy(update={"title": title})
    chapter = BOOK.chapters[1].model_copy(update={"sections": [renamed]})
    monkeypatch.setattr(books, "load", lambda: BOOK.model_copy(update={"chapters": [chapter]}))
    there = [
        ran(platform=platform, provider=provider)
        for platform in ("new-1", "old-1")
        for provider in ("podman", "vagrant")
    ]
    recorded.write(recorded.FILE, there)
    monkeypatch.setenv("COLUMNS", columns)
    status, out, _ = lab_book("--recorded")
    assert status == 0
    table = out[: out.index("new-1: ")]
    lines = table.splitlines()
    assert max(map(len, lines)) <= int(columns)
    words = table.split()
    assert "2.1" in words
    assert set(title.split()) <= set(words)
    assert words.count("2026-05-01") == len(there)
    assert words.count("3/0") == 1
    if columns == "80":
        (line,) = [line for line in lines if line.startswith("2.1")]
        assert re.search(r" 1/2 +passed 2026-05-01 +3/0 +passed 2026-05-01", line)


def test_nothing_is_folded_in_a_pipe(
    made_up: Path, lab_book: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "A Title of a Section that no Terminal has Room for " * 8
    text = ONE.replace("title: Of Our Own", f"title: {long}")
    (made_up / "scenarios" / "one.yaml").write_text(text)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert long.strip() in lab_book()[1]
    monkeypatch.setenv("COLUMNS", "100")  # somebody says what there is room for
    assert long.strip() not in lab_book()[1]


def test_json(made_up: Path, lab_book: Run) -> None:
    results(made_up, "a", *run_of(end("2.1")))
    status, out, _ = lab_book("--json", "--platform", "new-1")
    assert status == 0
    told = json.loads(out)
    assert told["platforms"] == ["new-1"]
    sections = {one["section"]: one for one in told["sections"]}
    assert list(sections) == ["1.1", "2.1", "2.2", "2.3", "9.9"]
    assert sections["2.1"]["scenarios"] == {
        "one": {
            "new-1": {
                "verbatim": 1,
                "adapted": 2,
                "added": 1,
                "in_words": 0,
                "cannot_run": "",
                "last": [
                    {
                        "provider": "podman",
                        "verdict": "passed",
                        "at": "2026-05-01T12:00:00Z",
                        "by": "one",
                        "older": False,
                    }
                ],
            }
        }
    }
    assert sections["2.3"]["scenarios"] == {}


def test_drift_as_text_and_json(made_up: Path, lab_book: Run) -> None:
    results(made_up, "a", *run_of(end("2.1")))
    _, out, _ = lab_book("--drift", "new-1")
    for line in (
        "2.1  Two Commands (one)",
        "  addition    the book has no such command",
        "  command     echo b",
        "    now       echo d",
        "              echo e",
        "    why       b is no longer what it was",
        "    now       left out",
        "  output      it prints some letters",
        "    seen      ABC; passed 2026-05-01",
        "  behaviour   nothing happens then",
        "    seen      by no run on record",
    ):
        assert line in out.splitlines()
    _, out, _ = lab_book("--drift", "new-1", "--json")
    told = json.loads(out)
    kinds = [d["kind"] for d in told[0]["differences"]]
    assert kinds == ["addition", "command", "command", "output"]
    assert told[0]["differences"][3]["seen"] == "ABC"


@pytest.mark.parametrize("arguments", [[], ["--drift", "new-1"]])
def test_page(made_up: Path, lab_book: Run, arguments: Sequence[str]) -> None:
    """One file, well-formed, and nothing of it is fetched or taken for markup."""
    text = ONE.replace("b is no longer what it was", "<b>bold & new</b>")
    (made_up / "scenarios" / "one.yaml").write_text(text)
    results(made_up, "a", *run_of(end("2.1")))
    file = made_up / "page.html"
    status, out, _ = lab_book("--html", str(file), *arguments)
    assert (status, out) == (0, f"{file}\n")
    made = file.read_text()
    assert lab_book("--html", "-", *arguments) == (0, made, "")
    assert not Path("-").exists()
    assert "&lt;b&gt;bold &amp; new&lt;/b&gt;" in made
    assert not re.search(r"""(src|href)=["']?(https?:)?//|<script""", made)
    assert ("Two Commands" in made, 'id="coverage"' in made) == (True, not arguments)
    assert ('id="drift-old-1"' in made) == (not arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--platform", "beos-5"], "no platform 'beos-5'; choose one of: new-1, old-1"),
        (["--drift", "beos-5"], "no platform 'beos-5'"),
        (["--drift", "new-1", "--platform", "new-1"], "--drift names the platform already"),
        (["--drift", "new-1", "--drift", "old-1"], "--drift is given twice"),
        (["--platform", "new-1", "--platform", "new-1"], "--platform is given twice: this comm"),
        (["--platform", ""], "argument --platform: must not be empty"),
        (["--drift", ""], "argument --drift: must not be empty"),
        (["--html", ""], "argument --html: must not be empty"),
        (["--html", "x", "--json"], "give --html or --json, not both"),
        (["--recorded", "--lab", "a"], "--recorded tells of the repository's records"),
        (["--record", "--json"], "--record goes with --lab only"),
        (["--lab", "nemo"], "no run of a lab 'nemo' is on record; runs: none"),
    ],
)
def test_bad_input(
    made_up: Path,
    lab_book: Run,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    status, out, err = lab_book(*arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert not (made_up / "coverage.json").exists()


# What the repository has on record


def test_record_and_recorded(made_up: Path, lab_book: Run) -> None:
    """Verdicts go into the file and from there into the README; those of others stay there."""
    results(made_up, "a", *run_of(end("2.1"), end("2.2", verdict="failed")))
    status, out, _ = lab_book("--record", "--lab", "a")
    assert status == 0
    assert "coverage.json: 2 verdicts, 2 of them new" in out
    assert json.loads((made_up / "coverage.json").read_text())["runs"][0]["key"] == key("2.1")
    said = (made_up / "README.md").read_text()
    assert said.startswith(f"before\n{readme.BEGIN}\n| § |")
    assert said.endswith(f"{readme.END}\nafter\n")
    assert "| 2.1 | Two Commands | one | 1/2, passed 2026-05-01 | 3/0, no run |" in said
    assert "| 2.3 | For Later | **not covered** |" in said
    assert "| 9.9 | Of Our Own (not in the book) | one |" in said
    # On another machine, which has one run, of another section.
    (made_up / "state").rename(made_up / "elsewhere")
    results(made_up, "b", *run_of(end("9.9")))
    _, out, _ = lab_book("--record")
    assert "3 verdicts, 1 of them new" in out
    _, out, _ = lab_book("--record")
    assert "3 verdicts, 0 of them new" in out
    _, out, _ = lab_book("--recorded", "--platform", "new-1")
    assert re.search(r"^2\.1 .* passed 2026-05-01 *$", out, re.M)
    _, out, _ = lab_book("--platform", "new-1")
    assert re.search(r"^2\.1 .* no run +$", out, re.M)


def test_what_there_is_no_longer_leaves_the_record(made_up: Path, lab_book: Run) -> None:
    there = [ran(), ran("2.2"), ran(scenario="gone"), ran(platform="gone-9")]
    recorded.write(recorded.FILE, there)
    lab_book("--record")
    assert recorded.read(recorded.FILE) == there[:2]


def test_a_changed_section_shows_as_older(made_up: Path, lab_book: Run) -> None:
    recorded.write(recorded.FILE, [ran()])
    (made_up / "scenarios" / "one.yaml").write_text(ONE.replace("echo a", "echo A"))
    lab_book("--record")
    assert "| 1/2, passed 2026-05-01 (older) |" in (made_up / "README.md").read_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "coverage.json:"),
        ('{"runs": [{"section": "2.1"}]}', "section 2.1, scenario: this key is missing"),
        ('{"runs": [{"verdict": "fine"}]}', "runs [1]"),
    ],
)
def test_a_broken_record_is_named(made_up: Path, lab_book: Run, text: str, says: str) -> None:
    recorded.FILE.write_text(text)
    status, _, err = lab_book("--recorded")
    assert status == 2
    assert says in err
    assert str(recorded.FILE) in err


@pytest.mark.parametrize("text", ["", f"{readme.BEGIN}\n", f"{readme.END}\n{readme.BEGIN}\n"])
def test_a_readme_without_its_marks(made_up: Path, lab_book: Run, text: str) -> None:
    (made_up / "README.md").write_text(text)
    status, _, err = lab_book("--record")
    assert status == 2
    assert "README.md" in err
    assert not recorded.FILE.exists()
    assert (made_up / "README.md").read_text() == text
