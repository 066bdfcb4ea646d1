"""Faults: what can be broken on purpose, and how it is mended.

A fault is a pair: a function that injects it and one that heals it. Each one that stands is
written down in the lab's folder, before it is injected, so that it can be listed and healed by
another process, also after `kill -9`:

    <lab's folder>/faults/NUMBER.json   {"fault": …, "arguments": …, "before": …, "at": …}
                         /last          the last number that was given

Healing works on a fault that was injected half, or not at all, and on one that the cluster
has healed itself meanwhile, say by fencing the machine. It looks at what it did: `heal`
functions return what is still broken, '' if nothing is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from lab import stored
from lab.context import Context
from lab.errors import BadInput, CannotRun, LabError
from lab.stored import Moment
from lab.vocabulary import Vocabulary, Word
from lab.whole import write_json

if TYPE_CHECKING:
    from lab.lab import Lab

fault = Vocabulary("fault")


def load() -> Vocabulary:
    """The table with every fault in it."""
    for module in ("process", "machine", "network"):
        import_module(f"lab.faults.{module}")
    return fault


class NotHealed(LabError):
    """A fault was to be healed, and something of it is still there."""


@dataclass(frozen=True)
class Standing:
    """A fault that was injected and not healed yet. `at`: seconds since the epoch.

    `before`: what its healing needs to know of the time before it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    number: int
    fault: str
    arguments: dict[str, Any]
    before: Any = None
    at: Moment = field(default_factory=time.time)

    @property
    def word(self) -> Word:
        """The fault's entry in the table."""
        return load().words[self.fault]

    @property
    def text(self) -> str:
        """It in words."""
        return self.word.say(self.arguments)


def inject(lab: Lab, name: str, arguments: dict[str, Any]) -> Standing:
    """Inject a fault; BadInput for one that there is not or that the lab's nodes cannot have.

    If it cannot be injected whole, what there is of it is healed again.
    """
    try:
        word, given = load().use({name: arguments}, lab.scenario.names, lab.scenario.guests)
    except ValueError as error:
        raise BadInput(str(error)) from error
    same = [s for s in standing(lab) if (s.fault, s.arguments) == (name, given)]
    if same:
        raise CannotRun(
            f"this fault stands already: {same[0].text}", hint=f"lab fault heal {same[0].number}"
        )
    before = word.remember(Context(lab), **given) if word.remember else None
    made = Standing(_next(lab), name, given, before)
    _write(lab, made)
    try:
        word.function(Context(lab), **given)
    except (BadInput, CannotRun):  # refused: there is nothing of it that could be healed
        _file(lab, made.number).unlink()
        raise
    except BaseException as error:
        try:
            heal(lab, made)
        except NotHealed as left:
            if isinstance(error, LabError):
                raise NotHealed(f"{error.message}; {left.message}", hint=left.hint) from error
        raise
    return made


def heal(lab: Lab, one: Standing) -> None:
    """Undo a fault and look whether it is gone; NotHealed says what is still there."""
    assert one.word.heal is not None
    remembered = {"before": one.before} if one.word.remember else {}
    try:
        left = one.word.heal(Context(lab), **one.arguments, **remembered)
    except (LabError, OSError) as error:
        left = error.message if isinstance(error, LabError) else str(error)
    if left:
        raise NotHealed(
            f"the fault is not healed: {one.text}: {left}",
            hint=f"lab fault heal {one.number} --name {lab.name} tries again",
        )
    _file(lab, one.number).unlink(missing_ok=True)


def standing(lab: Lab) -> list[Standing]:
    """Every fault of the lab that is not healed, in the order of their injection.

    Raises CannotRun where what is written down of one is damaged.
    """
    found = []
    for path in (lab.folder / "faults").glob("*.json"):
        try:
            one = stored.read(path, Standing, number=int(path.stem))
            if one.fault not in load().words:
                raise ValueError(f"there is no fault {one.fault!r}")
            stored.checked(one.arguments, one.word.arguments)
            found.append(one)
        except FileNotFoundError:  # it was healed just now
            continue
        except ValueError as error:
            raise CannotRun(
                f"{path} is damaged: {error}",
                hint=f"lab down {lab.name}, then lab up; without that file nobody heals the fault",
            ) from error
    return sorted(found, key=lambda one: one.number)


@contextmanager
def stands(lab: Lab, name: str, **arguments: Any) -> Iterator[Standing]:
    """The fault stands while the block runs, and is healed however the block ends."""
    made = inject(lab, name, arguments)
    try:
        yield made
    except BaseException as error:
        try:
            heal(lab, made)
        except NotHealed as left:  # what ended the block is the news; this is told beside it
            error.add_note(left.message)
        raise
    heal(lab, made)


def _next(lab: Lab) -> int:
    """A number that no fault of the lab had so far."""
    last = lab.folder / "faults" / "last"
    given = 0
    with suppress(FileNotFoundError, ValueError):  # a damaged one: those that stand will do
        given = int(last.read_text())
    number = max([given, *(one.number for one in standing(lab))]) + 1
    last.parent.mkdir(exist_ok=True)
    last.write_text(f"{number}\n")
    return number


def _file(lab: Lab, number: int) -> Path:
    return lab.folder / "faults" / f"{number}.json"


def _write(lab: Lab, one: Standing) -> None:
    path = _file(lab, one.number)
    path.parent.mkdir(exist_ok=True)
    data = asdict(one)
    del data["number"]
    write_json(path, data)
