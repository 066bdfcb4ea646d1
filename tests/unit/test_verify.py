"""A section that was typed by hand: what is looked at, and when it counts as done."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import BaseModel, create_model

from lab import plan as plans
from lab import verify as verifying
from lab.checks import Seen
from lab.context import Context
from lab.errors import BadInput, CannotRun, Unreachable
from lab.events import Checked, Event, StepStarted
from lab.lab import Lab
from lab.plan import PlannedPart, PlannedStep, Use
from lab.vocabulary import CommandNumber, Word


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "PATIENCE", 0.2)


def use(name: str, true: bool | Exception = True, **more: Any) -> Use:
    def look(_context: Context, **_arguments: Any) -> Seen:
        if isinstance(true, Exception):
            raise true
        return Seen(true, f"{name}: {true}")

    return Use(Word(name, name, look, BaseModel, **more), {})


def about_a_command(name: str) -> Use:
    """A check that cannot be made by somebody who did not type the command."""
    arguments = create_model("Arguments", command=(CommandNumber, 1))
    return Use(Word(name, name, _never, arguments), {})


def remembers(name: str) -> Use:
    """A check that compares with what was there before."""
    return Use(Word(name, name, _never, BaseModel, remember=_never), {})


def _never(*_: Any, **__: Any) -> Seen:
    pytest.fail("this cannot be known afterwards")


def part(*expect: Use, faults: tuple[Use, ...] = (), healed: tuple[Use, ...] = ()) -> PlannedPart:
    return PlannedPart(0, (use("before", False),), (), (), expect, 5.0, faults, healed)


class Typed:
    """A lab of sections 1.1, 1.2 and 1.3, of which the first is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        self.saved: list[list[str]] = []
        self.done = ["1.1"]
        self.patch = monkeypatch

    def verify(self, section: str, *parts: PlannedPart) -> verifying.Verified:
        steps = [PlannedStep(number, "A title", parts) for number in ("1.1", "1.2", "1.3")]
        self.patch.setattr(plans, "plan", lambda *_: steps)
        one = SimpleNamespace(
            name="nemo",
            scenario=None,
            platform=None,
            record=SimpleNamespace(done=self.done),
            access=SimpleNamespace(without_secrets=lambda text: text),
            provider=SimpleNamespace(pace=lambda: 1.0),
            save=lambda: self.saved.append(list(self.done)),
        )
        return verifying.verify(cast(Lab, one), section, self.events.append)

    def looked_at(self) -> list[str]:
        return [event.what for event in self.events if isinstance(event, Checked)]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    return Typed(monkeypatch)


def test_what_is_so_counts_as_done(typed: Typed) -> None:
    found = typed.verify("1.2", part(use("a"), use("b")))
    assert found == verifying.Verified((), 2, 2)
    assert typed.saved == [["1.1", "1.2"]]
    assert [type(event) for event in typed.events] == [StepStarted, Checked, Checked]


def test_all_that_is_not_so_is_told(typed: Typed) -> None:
    gone = Unreachable("no route to host")
    found = typed.verify("1.2", part(use("a", False), use("b"), use("c", gone)))
    assert [problem.partition(": ")[2] for problem in found.problems] == [
        "a; seen: a: False",
        "c; seen: no route to host",
    ]
    assert typed.looked_at() == ["a", "b", "c"]
    assert (typed.done, typed.saved) == (["1.1"], [])


def test_only_the_last_part_is_as_it_was_left(typed: Typed) -> None:
    """… and what was there before the section is there no more."""
    found = typed.verify("1.2", part(use("a", False)), part(use("b")), part(remembers("c")))
    assert (found.problems, found.looked, found.expected) == ((), 1, 3)
    assert typed.looked_at() == ["b"]


def test_what_only_who_typed_it_could_know_is_left_out(typed: Typed) -> None:
    found = typed.verify("1.2", part(about_a_command("a"), remembers("b"), use("c")))
    assert (found.looked, found.expected) == (1, 3)
    assert typed.looked_at() == ["c"]


@pytest.mark.parametrize(
    "parts",
    [
        lambda: (part(),),
        lambda: (part(about_a_command("a")), part(remembers("b"))),
        lambda: (part(use("a"), faults=(use("broken"),)), part(use("b"))),
    ],
)
def test_nothing_that_could_be_seen(
    typed: Typed, parts: Callable[[], tuple[PlannedPart, ...]]
) -> None:
    with pytest.raises(CannotRun, match=r"^of 1\.2 nothing could be seen afterwards"):
        typed.verify("1.2", *parts())
    assert typed.done == ["1.1"]


def test_one_after_the_other(typed: Typed) -> None:
    with pytest.raises(CannotRun, match=r"^1\.2 comes before 1\.3, and is not done"):
        typed.verify("1.3", part(use("a")))
    with pytest.raises(BadInput, match=r"no section '2'; sections: 1\.1, 1\.2, 1\.3$"):
        typed.verify("2", part(use("a")))


def test_once_more(typed: Typed) -> None:
    """A section that is done is looked at all the same, and stays done."""
    assert typed.verify("1.1", part(use("a", False))).problems
    assert not typed.verify("1.1", part(use("a"))).problems
    assert (typed.done, typed.saved) == (["1.1"], [])
