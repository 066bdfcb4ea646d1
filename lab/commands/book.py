"""`lab book`: how much of the book is covered, by what, with which verdict; and where it is out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lab import book as books
from lab import coverage, paths, recorded
from lab.commands import STDOUT, Screen, aside, columns, output_file, print_json, print_page
from lab.coverage import Cover, Last, Plans, Ran, Row
from lab.drift import Difference, Drift, drift
from lab.errors import BadInput
from lab.report import readme
from lab.report.coverage import LEGEND, NOT_COVERED, NOWHERE, counts, not_covered, totals, verdict
from lab.report.summary import STYLES
from lab.wording import counted

README = paths.ROOT / "README.md"
_NARROW = 60  # characters: a line of fewer has none to spare
_TITLE = 11  # characters that the titles of sections have at least, however narrow the terminal
_VERDICT = 10  # … and verdicts: a date in one piece
_COUNTS = 4  # … and counts


def book_(options: argparse.Namespace) -> int:
    """`lab book`"""
    _check(options)
    wanted = options.drift or options.platform
    found = coverage.planned([wanted] if wanted else [])
    for problem in found.problems:
        aside(problem)
    if options.drift:
        for scenario, reasons in found.nowhere.items():
            aside(f"left out: {scenario} cannot run there: {reasons[options.drift]}")
    if options.record:
        return _record(recorded.read(recorded.FILE), _runs(options.lab), found)
    ran = recorded.read(recorded.FILE) if options.recorded else _runs(options.lab)
    book = books.load()
    rows = coverage.coverage(book, found, ran)
    platforms = [platform.name for platform in found.platforms]
    drifts = {platform: drift(rows, platform) for platform in platforms}
    if options.html:
        from lab.report import book as page

        text = page.render(book, rows, drifts, table=not options.drift)
        if options.html == STDOUT:
            return print_page(text)
        output = Path(options.html)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        print(output)
        return 0
    if options.drift:
        if options.json:
            return print_json([_drift_json(one) for one in drifts[options.drift]])
        _print_drift(found, drifts[options.drift])
    elif options.json:
        print_json({"platforms": platforms, "sections": [_row_json(row) for row in rows]})
    else:
        _print_table(book, rows, platforms)
    return 0


def _check(options: argparse.Namespace) -> None:
    """What does not go together."""
    if options.record and (set(_given(options)) - {"record", "lab"}):
        raise BadInput("--record goes with --lab only: it writes what the README tells")
    if options.recorded and (options.lab or options.drift):
        raise BadInput("--recorded tells of the repository's records: no --lab, no --drift")
    if options.drift and options.platform:
        raise BadInput("--drift names the platform already: no --platform")
    if options.html and options.json:
        raise BadInput("give --html or --json, not both")
    if options.html and options.html != STDOUT:
        output_file(options.html)


def _given(options: argparse.Namespace) -> list[str]:
    names = ("platform", "drift", "html", "json", "recorded", "record", "lab")
    return [name for name in names if getattr(options, name)]


def _runs(labs: Sequence[str]) -> list[Ran]:
    """The runs of this machine, or only those of some labs."""
    there = sorted({path.parent.parent.name for path in paths.results().glob("*/*/results.jsonl")})
    for lab in labs:
        if lab not in there:
            raise BadInput(
                f"no run of a lab {lab!r} is on record; runs: {', '.join(there) or 'none'}"
            )
    ran, problems = coverage.runs(paths.results(), labs)
    for problem in problems:
        aside(f"left out: {problem}")
    return ran


def _record(there: list[Ran], new: list[Ran], found: Plans) -> int:
    """Write the records and the README's table, which is made of them."""
    kept = recorded.merged(there, new, found)
    text = readme.renewed(README.read_text(encoding="utf-8"), books.load(), found, kept)
    recorded.write(recorded.FILE, kept)
    README.write_text(text, encoding="utf-8")
    fresh = sum(one not in there for one in kept)
    print(f"{recorded.FILE}: {counted(len(kept), 'verdict')}, {fresh} of them new")
    print(f"{README}: the table of them")
    return 0


def _print_table(book: books.Book, rows: Sequence[Row], platforms: Sequence[str]) -> None:
    screen = Screen()
    screen.print(Text(f"{book.title}, edition {book.edition}", "bold"))
    screen.print()
    titles = {chapter.number: chapter.title for chapter in book.chapters}
    table = columns("§", "section", *platforms)
    table.collapse_padding = narrow = screen.width < _NARROW
    number, title, *verdicts = table.columns
    number.no_wrap = True
    title.min_width = _TITLE
    for column in verdicts:
        column.min_width = _VERDICT + (0 if narrow else _COUNTS)
    chapter = scenario = None
    for row in rows:
        if row.chapter != chapter:
            chapter, scenario = row.chapter, None
            if chapter != row.section:
                name = titles.get(chapter, "Not in the book")
                table.add_row(Text(chapter, "bold"), Text(name, "bold"))
        if not row.covers:
            scenario = None  # what follows is told to be of a scenario again
            said = not_covered(row)
            style = "bold red" if said == NOT_COVERED else "dim"
            table.add_row(row.section, Text(row.title), Text(said, style))
        for name, covers in row.covers.items():
            if name != scenario:
                scenario = name
                table.add_row("", Text(f"scenario {name}", "dim"))
            cells = [_cell(covers.get(platform), narrow=narrow) for platform in platforms]
            table.add_row(row.section, Text(row.title), *cells)
    screen.print(table)
    screen.print()
    for platform in platforms:
        screen.print(Text(f"{platform}: {totals(rows, platform)}"), soft_wrap=True)
    screen.print(Text(LEGEND, "dim"))


def _cell(cover: Cover | None, *, narrow: bool) -> RenderableType:
    """Counts and verdicts: beside each other, or on narrow terminals below each other."""
    if cover is None:
        return Text("no plan", "dim")
    if cover.nowhere:
        return Text(NOWHERE, "dim")
    verdicts = Text("\n").join(
        [Text(verdict(one), "dim" if one.older else STYLES[one.ran.verdict]) for one in cover.last]
        or [Text("no run", "dim")]
    )
    if narrow:
        return Text(f"{counts(cover)}\n") + verdicts
    cell = Table.grid(padding=(0, 1))
    cell.add_column(no_wrap=True, min_width=_COUNTS)
    cell.add_row(counts(cover), verdicts)
    return cell


def _print_drift(found: Plans, drifts: Sequence[Drift]) -> None:
    (platform,) = found.platforms
    screen = Screen(soft_wrap=True)
    screen.print(Text(f"What is otherwise than in the book on {platform.title}", "bold"))
    for one in drifts:
        screen.print()
        screen.print(Text(f"{one.section}  {one.title} ({one.scenario})", "bold underline"))
        for difference in one.differences:
            for label, lines in _labelled(difference):
                screen.print(Text.assemble((f"  {label:<12}", "dim"), lines))
    if not drifts:
        screen.print("nothing")


def _labelled(one: Difference) -> list[tuple[str, str]]:
    """A difference in words: what it is, the book's side, today's, the reason."""
    between = "\n" + " " * 14

    def lines(texts: Sequence[str]) -> str:
        return between.join(text.replace("\n", between) for text in texts)

    book, now = lines(one.book), lines(one.now)
    said = [(one.kind, book or "the book has no such command"), ("  now", now or "left out")]
    if one.why:
        said.append(("  why", one.why))
    if one.shown_by:
        said.append(("  shown by", one.shown_by))
        seen = one.seen.replace("\n", between)
        said.append(
            ("  seen", f"{seen}; {verdict(one.last)}" if one.last else "by no run on record")
        )
    return said


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "section": row.section,
        "title": row.title,
        "chapter": row.chapter,
        "concepts": row.concepts,
        "scenarios": {
            scenario: {platform: _cover_json(cover) for platform, cover in covers.items()}
            for scenario, covers in row.covers.items()
        },
    }


def _cover_json(cover: Cover) -> dict[str, Any]:
    return {
        "verbatim": cover.step.verbatim,
        "adapted": cover.step.adapted,
        "added": cover.step.added,
        "in_words": cover.words,
        "cannot_run": cover.nowhere,
        "last": [_last_json(one) for one in cover.last],
    }


def _last_json(last: Last) -> dict[str, Any]:
    ran = last.ran
    return {
        "provider": ran.provider,
        "verdict": ran.verdict,
        "at": ran.at,
        "by": ran.by,
        "older": last.older,
    }


def _drift_json(one: Drift) -> dict[str, Any]:
    differences = [
        {
            "kind": d.kind,
            "book": list(d.book),
            "now": list(d.now),
            "why": d.why,
            "shown_by": d.shown_by,
            "seen": d.seen,
            "last": _last_json(d.last) if d.last else None,
        }
        for d in one.differences
    ]
    return {
        "section": one.section,
        "title": one.title,
        "scenario": one.scenario,
        "differences": differences,
    }
