"""The coverage table of the README, in Markdown, between two comments that mark its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lab.book import Book
from lab.coverage import Cover, Plans, Ran, Row, coverage
from lab.errors import BadInput
from lab.report.coverage import NOT_COVERED, NOWHERE, counts, not_covered, totals, verdict

BEGIN = "<!-- lab book: begin -->"
END = "<!-- lab book: end -->"


def table(rows: Sequence[Row], platforms: Sequence[str]) -> str:
    """The table, and a line of totals for each platform."""
    lines = [
        _line("§", "section", "scenario", *platforms),
        _line(*["---"] * (3 + len(platforms))),
    ]
    for row in rows:
        if not row.covers:
            said = not_covered(row)
            said = f"**{said}**" if said == NOT_COVERED else said
            lines.append(_line(row.section, row.title, said, *[""] * len(platforms)))
        for scenario, covers in row.covers.items():
            cells = [_cell(covers.get(platform)) for platform in platforms]
            title = row.title if row.chapter else f"{row.title} (not in the book)"
            lines.append(_line(row.section, title, scenario, *cells))
    lines.append("")
    lines += [f"- {platform}: {totals(rows, platform)}" for platform in platforms]
    return "\n".join(lines)


def renewed(text: str, book: Book, found: Plans, ran: Iterable[Ran]) -> str:
    """The README's text with the table of today's plans and these runs in its place.

    BadInput if the marks of that place are not there.
    """
    rows = coverage(book, found, ran)
    block = table(rows, [platform.name for platform in found.platforms])
    place = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if len(place.findall(text)) != 1:
        raise BadInput(f"README.md: {BEGIN} and {END} must stand in it once, in this order")
    return place.sub(lambda _: f"{BEGIN}\n{block}\n{END}", text)


def _cell(cover: Cover | None) -> str:
    if cover is None:
        return "no plan"
    if cover.nowhere:
        return NOWHERE
    said = [verdict(one) for one in cover.last] or ["no run"]
    return f"{counts(cover)}, {', '.join(said)}"


def _line(*cells: str) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
