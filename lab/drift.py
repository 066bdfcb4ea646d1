"""What today's software does otherwise than the book, section by section.

Commands come from the plan's adaptations, all else from the scenarios' departures (`departs:`).
What was seen comes from the last run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from lab.coverage import Cover, Last, Row
from lab.plan import PlannedCommand, PlannedPart

Kind = Literal["command", "addition", "output", "behaviour"]


@dataclass(frozen=True)
class Difference:
    """One thing that is otherwise.

    `kind`: a command is typed otherwise or left out (`command`), there is one more (`addition`),
    the same command prints something else (`output`) or does something else (`behaviour`).
    `book` and `now`: commands, or words, on each side; `book` is empty for an addition, `now` for
    a command that is left out. `why`: the adaptation's reason; a departure has it in `now`.
    `shown_by`: the check that proves it, in words; `seen`: what that saw in the run `last`.
    """

    kind: Kind
    book: tuple[str, ...]
    now: tuple[str, ...]
    why: str = ""
    shown_by: str = ""
    seen: str = ""
    last: Last | None = None


@dataclass(frozen=True)
class Drift:
    """A section that is otherwise, as a scenario has it."""

    section: str
    title: str
    scenario: str
    differences: tuple[Difference, ...]


def drift(rows: Iterable[Row], platform: str) -> list[Drift]:
    """Every section that differs on the platform, in the book's order, of those that can run."""
    found = []
    for row in rows:
        for scenario, covers in row.covers.items():
            cover = covers.get(platform)
            differences = tuple(_differences(cover)) if cover and not cover.nowhere else ()
            if differences:
                found.append(Drift(row.section, row.title, scenario, differences))
    return found


def _differences(cover: Cover) -> Iterator[Difference]:
    for part in cover.step.parts:
        yield from _commands(part.commands)
        yield from _departures(part, cover.last)


def _commands(commands: Iterable[PlannedCommand]) -> Iterator[Difference]:
    adapted = (command for command in commands if command.adapted)
    for (book, why), group in groupby(adapted, lambda command: (command.book, command.why)):
        now = tuple(command.text for command in group if not command.omitted)
        yield Difference("command" if book else "addition", book, now, why)


def _departures(part: PlannedPart, last: tuple[Last, ...]) -> Iterator[Difference]:
    for use in (*part.expect, *part.healed):
        if use.departs is None:
            continue
        showing = [one for one in last if use.text in one.ran.seen]
        one = max(showing, key=lambda one: (not one.older, one.ran.at), default=None)
        yield Difference(
            use.departs.kind,
            (_one_line(use.departs.book),),
            (_one_line(use.departs.now),),
            shown_by=use.text,
            seen=one.ran.seen[use.text] if one else "",
            last=one,
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())
