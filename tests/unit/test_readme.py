"""The README's coverage table is the one that today's plans and docs/coverage.json make."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab import book, coverage, paths, recorded
from lab.coverage import Plans, Ran
from lab.report import readme

AGAIN = "the README's table is stale: lab book --record makes it anew"


@pytest.fixture(scope="module")
def found() -> Plans:
    return coverage.planned([])


@pytest.fixture(scope="module")
def ran() -> list[Ran]:
    return recorded.read(recorded.FILE)


def stale(text: str, found: Plans, ran: list[Ran]) -> bool:
    return readme.renewed(text, book.load(), found, ran) != text


def test_the_readme_is_up_to_date(found: Plans, ran: list[Ran]) -> None:
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert ran, AGAIN
    assert not stale(text, found, ran), AGAIN


@pytest.mark.parametrize("column", [1, 2, 3, 4])
def test_a_readme_that_was_edited_is_stale(found: Plans, ran: list[Ran], column: int) -> None:
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("| 4.1.1 "))
    cells = line.split("|")
    cells[column] += "."
    assert stale(text.replace(line, "|".join(cells)), found, ran)
    assert stale(text.replace(f"{line}\n", ""), found, ran)


def test_a_readme_is_stale_with_other_records(found: Plans, ran: list[Ran]) -> None:
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    assert stale(text, found, ran[1:])
    first = ran[0]
    worse = "failed" if first.verdict == "passed" else "passed"
    assert stale(text, found, [first.model_copy(update={"verdict": worse}), *ran[1:]])


def test_a_readme_is_stale_with_other_plans(found: Plans, ran: list[Ran]) -> None:
    text = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    fewer = {name: steps for name, steps in found.steps.items() if name != "guest-walkthrough"}
    assert stale(text, replace(found, steps=fewer), ran)
