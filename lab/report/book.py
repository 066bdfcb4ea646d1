"""The coverage of the book, and its drift, as one HTML page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from lab.book import Book
from lab.coverage import Cover, Last, Row
from lab.drift import Difference, Drift
from lab.report.coverage import LEGEND, NOT_COVERED, NOWHERE, counts, not_covered, totals, when
from lab.report.markup import Html, joined, tag
from lab.report.page import document
from lab.report.sections import badge


def render(
    book: Book, rows: Sequence[Row], drifts: Mapping[str, Sequence[Drift]], *, table: bool = True
) -> str:
    """The page: the table (unless told otherwise), then the drift of each platform."""
    platforms = list(drifts)
    title = book.title
    body = [_header(book, rows, platforms, table=table)]
    if table:
        body.append(_table(book, rows, platforms))
        body.append(tag("p", LEGEND, class_="legend"))
    body += [_drift(platform, drifts[platform]) for platform in platforms]
    return document(f"{title}: {'coverage' if table else 'drift'}", *body)


def _header(book: Book, rows: Sequence[Row], platforms: Sequence[str], *, table: bool) -> Html:
    facts = [
        tag("div", tag("dt", platform), tag("dd", totals(rows, platform))) for platform in platforms
    ]
    name = f"{book.title}, edition {book.edition}"
    return tag(
        "header", tag("h1", tag("span", name)), *([tag("dl", *facts, class_="totals")] * table)
    )


def _table(book: Book, rows: Sequence[Row], platforms: Sequence[str]) -> Html:
    columns = ["section", "title", "scenario", *platforms]
    chapters = {chapter.number: chapter.title for chapter in book.chapters}
    groups = []
    for number, there in groupby(rows, lambda row: row.chapter):
        name = f"{number}  {chapters[number]}" if number else "Not in the book"
        head = tag("tr", tag("th", name, colspan=str(len(columns)), class_="run"))
        groups.append(
            tag("tbody", head, *(line for row in there for line in _rows(row, platforms)))
        )
    return tag(
        "table",
        tag("thead", tag("tr", *(tag("th", name, scope="col") for name in columns))),
        *groups,
        class_="overview coverage",
        id="coverage",
    )


def _rows(row: Row, platforms: Sequence[str]) -> Iterable[Html]:
    """A row for each scenario that has the section, or the one that says that none has."""
    lead = [tag("td", row.section, class_="section"), tag("td", row.title, class_="title")]
    if not row.covers:
        said = not_covered(row)
        kind = "scenario bad" if said == NOT_COVERED else "scenario dim"
        rest = tag("td", said, class_=kind, colspan=str(1 + len(platforms)))
        yield tag("tr", *lead, rest)
    for scenario, covers in row.covers.items():
        cells = [_cell(platform, covers.get(platform)) for platform in platforms]
        yield tag("tr", *lead, tag("td", scenario, class_="scenario"), *cells)


def _cell(platform: str, cover: Cover | None) -> Html:
    name = tag("span", platform, class_="platform")
    if cover is None:
        return tag("td", name, "no plan", class_="cover dim")
    if cover.nowhere:
        return tag("td", name, NOWHERE, class_="cover dim")
    number = tag("span", counts(cover), class_="counts")
    said = [_verdict(one) for one in cover.last] or [tag("span", "no run", class_="dim")]
    return tag("td", name, number, " ", joined(said, " "), class_="cover")


def _verdict(last: Last) -> Html:
    kind = "verdict older" if last.older else "verdict"
    said = tag("span", when(last), class_="dim")
    return tag("span", badge(last.ran.verdict), " ", said, class_=kind)


def _drift(platform: str, found: Sequence[Drift]) -> Html:
    name = f"Otherwise than the book on {platform}"
    if not found:
        return tag("section", tag("h2", name), tag("p", "Nothing.", class_="dim"))
    columns = ("", "the book", "today", "why")
    groups = []
    for one in found:
        head = joined([f"{one.section}  {one.title} ", tag("span", one.scenario, class_="dim")])
        row = tag("tr", tag("th", head, colspan=str(len(columns)), class_="run"))
        groups.append(tag("tbody", row, *(_difference(d) for d in one.differences)))
    return tag(
        "section",
        tag("h2", name),
        tag(
            "table",
            tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns))),
            *groups,
            class_="drift",
        ),
        id=f"drift-{platform}",
    )


def _difference(one: Difference) -> Html:
    command = one.kind in ("command", "addition")
    sides = []
    for label, texts, none in (
        ("the book", one.book, "nothing"),
        ("today", one.now, "left out"),
    ):
        said = [tag("pre" if command else "p", text) for text in texts]
        said = said or [tag("p", none, class_="dim")]
        sides.append(tag("td", tag("span", label, class_="label"), *said, class_="side"))
    why = [tag("p", one.why)] if one.why else []
    if one.shown_by:
        why.append(tag("p", "shown by: ", one.shown_by, class_="dim"))
        seen = f"seen: {one.seen}" if one.last else "seen by no run on record"
        why.append(tag("p", seen, *([" ", _verdict(one.last)] if one.last else []), class_="dim"))
    return tag(
        "tr",
        tag("td", one.kind, class_="kind"),
        *sides,
        tag("td", tag("span", "why" if one.why else "shown", class_="label"), *why, class_="why"),
    )
