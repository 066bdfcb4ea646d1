"""Wording of the coverage table, shared by terminal, page and README."""

from __future__ import annotations

from collections.abc import Iterable

from lab.coverage import Cover, Last, Row
from lab.providers import DEFAULT
from lab.wording import be, counted

NOT_COVERED = "not covered"
NOWHERE = "cannot run there: needs containers"
LEGEND = (
    f"7/2: of the book's commands in that section 7 are typed as printed and 2 otherwise. "
    f"–: it has none, and what it says in words is done. Verdicts are those of the last run, dates "  # noqa: RUF001
    f"are UTC; machines came from {DEFAULT} unless another provider is named. older: what is run "
    f"for that section has changed since, or the run did not say what it was."
)


def not_covered(row: Row) -> str:
    """What to say where no scenario has the section."""
    return "no commands: concepts" if row.concepts else NOT_COVERED


def counts(cover: Cover) -> str:
    """`7/2`: verbatim and adapted; or that there is no command."""
    step = cover.step
    return f"{step.verbatim}/{step.adapted}" if step.verbatim + step.adapted else "–"  # noqa: RUF001


def verdict(last: Last) -> str:
    """`passed 2026-11-23`, and what of it is not as usual."""
    return f"{last.ran.verdict} {when(last)}"


def when(last: Last) -> str:
    """`2026-11-23 (vagrant, older)`."""
    ran = last.ran
    remarks = [ran.provider] * (ran.provider != DEFAULT) + ["older"] * last.older
    return ran.day + (f" ({', '.join(remarks)})" if remarks else "")


def totals(rows: Iterable[Row], platform: str) -> str:
    """A platform's numbers in a line. What is not of the book is not counted."""
    sections = [row for row in rows if row.chapter]
    planned = [[c[platform] for c in row.covers.values() if platform in c] for row in sections]
    here = [[cover for cover in covers if not cover.nowhere] for covers in planned]
    covered = [covers for covers in here if covers]
    nowhere = sum(bool(covers) for covers in planned) - len(covered)
    passed = [covers for covers in covered if all(map(_passes, covers))]
    concepts = [
        row for row, covers in zip(sections, planned, strict=True) if not covers and row.concepts
    ]
    missing = len(sections) - len(covered) - nowhere - len(concepts)
    steps = [cover.step for covers in covered for cover in covers]
    return (
        f"of {counted(len(sections), 'section')} {len(covered)} {be(len(covered))} covered, of "
        f"which {len(passed)} passed as they are now, "
        f"{len(concepts)} only explain{'s' * (len(concepts) == 1)}, "
        + (f"{nowhere} cannot run there and need containers, " if nowhere else "")
        + f"{missing} {be(missing)} missing; "
        f"{counted(sum(step.verbatim for step in steps), 'command')} of the book verbatim, "
        f"{sum(step.adapted for step in steps)} adapted, "
        f"{sum(step.added for step in steps)} added"
    )


def _passes(cover: Cover) -> bool:
    """Whether today's plan passed, with every provider that it was run with."""
    today = [one.ran.verdict for one in cover.last if not one.older]
    return set(today) == {"passed"}
