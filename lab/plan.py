"""From a scenario to a plan for one platform.

A plan says of every command where it is typed, whether it is the book's own, and if not,
why. It is made without running anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from lab import actions, checks, faults, platforms
from lab.condition import holds
from lab.errors import BadInput
from lab.fields import GuestPlace
from lab.model import (
    Adaptation,
    Announcement,
    BorrowedStep,
    Command,
    Departure,
    Part,
    Scenario,
    Step,
)
from lab.platform import Platform
from lab.vocabulary import Vocabulary, Word
from lab.yamlfile import Place


@dataclass(frozen=True)
class PlannedCommand:
    """A command as it will be typed, on each of `nodes` at the same time.

    `book`: the book's commands that it stands for.
    """

    nodes: tuple[str, ...]
    text: str
    exit: tuple[int, ...]
    secret: str
    adapted: bool
    book: tuple[str, ...]
    why: str

    @property
    def omitted(self) -> bool:
        """The book's command is left out on this platform."""
        return not self.text


@dataclass(frozen=True)
class Use:
    """A check, an action or a fault with its arguments.

    `why` it is there on this platform, where it is not on others. A check that shows a departure
    from the book has it as `departs`.
    """

    word: Word
    arguments: dict[str, Any]
    why: str = ""
    departs: Departure | None = None

    @property
    def text(self) -> str:
        """It in words."""
        return self.word.say(self.arguments)


@dataclass(frozen=True)
class PlannedPart:
    """As model.Part, ready to be run. `book`: how many commands the book has here.

    What shows a departure stands at the end of `expect`.
    """

    book: int
    before: tuple[Use, ...]
    commands: tuple[PlannedCommand, ...]
    acts: tuple[Use, ...]
    expect: tuple[Use, ...]
    within: float
    faults: tuple[Use, ...] = ()
    healed: tuple[Use, ...] = ()


@dataclass(frozen=True)
class PlannedStep:
    """A section, ready to be run. `origin`: the scenario that it is borrowed from, if it is."""

    section: str
    title: str
    parts: tuple[PlannedPart, ...]
    announce: Announcement = field(default_factory=Announcement)
    origin: str = ""

    @property
    def commands(self) -> list[PlannedCommand]:
        """Every command of the section."""
        return [command for part in self.parts for command in part.commands]

    @property
    def verbatim(self) -> int:
        """How many of the book's commands are typed as the book prints them."""
        return sum(not command.adapted for command in self.commands)

    @property
    def adapted(self) -> int:
        """How many of the book's commands are typed otherwise, or not at all."""
        return sum(part.book for part in self.parts) - self.verbatim

    @property
    def added(self) -> int:
        """How many commands are typed beside the book's."""
        return sum(command.adapted and not command.book for command in self.commands)


def plan(scenario: Scenario, platform: Platform) -> list[PlannedStep]:
    """What running the scenario on the platform will do, section by section.

    Raises BadInput where it cannot be planned there: nothing of a section is left, a command is
    replaced twice, a condition asks for what is not known of the platform.
    """
    return [_step(step, scenario, platform) for step in scenario.steps]


def check(scenario: Scenario) -> None:
    """Raise BadInput where there is a platform that the scenario cannot be planned for."""
    # What is said is about the platform that is best known.
    for name in sorted(platforms.names(), key=lambda name: name != platforms.DEFAULT):
        for place in get_args(GuestPlace):
            plan(scenario, platforms.load(name).model_copy(update={"guests": place}))


class _Misfit(ValueError):
    """Something of a section does not fit the platform. `place` counts from the section."""

    def __init__(self, problem: str, *place: str | int) -> None:
        super().__init__(problem)
        self.place = place


def _step(step: Step, scenario: Scenario, platform: Platform) -> PlannedStep:
    places: list[tuple[Part, Place]] = [(part, ("parts", n)) for n, part in enumerate(step.parts)]
    try:
        planned = tuple(
            _part(part, place, step, scenario, platform)
            for part, place in places or [(step, ())]
            if _applies(part.when, platform, *place, "when")
        )
        if not any(p.commands or p.before or p.acts or p.expect or p.faults for p in planned):
            raise _Misfit(f"nothing of it is left on {platform.name}")
    except _Misfit as misfit:
        raise BadInput(step.says(misfit.place, str(misfit))) from misfit
    origin = step.origin if isinstance(step, BorrowedStep) else ""
    return PlannedStep(step.section, step.title, planned, step.announce, origin)


def _applies(when: str, platform: Platform, *place: str | int) -> bool:
    try:
        return not when or holds(when, platform)
    except ValueError as error:
        raise _Misfit(str(error), *place) from error


def _part(
    part: Part, place: Place, step: Step, scenario: Scenario, platform: Platform
) -> PlannedPart:
    def uses(vocabulary: Vocabulary, key: str, typed: int) -> tuple[Use, ...]:
        """Of `before`, `act` and so on what applies; `typed`: commands that are typed before it."""
        found = []
        for number, entry in enumerate(getattr(part, key)):
            here = (*place, key, number)
            if not _applies(entry.when, platform, *here, "when"):
                continue
            departs = entry if isinstance(entry, Departure) else None
            given = entry.shown_by if departs else entry.use
            word, arguments = vocabulary.use(given, scenario.names, scenario.guests)
            if missing := [one for one in word.commands(arguments) if one > typed]:
                there = f"{typed or 'none'} is typed here before it on {platform.name}"
                raise _Misfit(f"{word.name}: there is no command {missing[0]}; {there}", *here)
            why = "" if departs else " ".join(entry.why.split())
            found.append(Use(word, arguments, why, departs))
        return tuple(found)

    table = checks.load()
    acts = uses(actions.action, "act", 0)
    typed = len(part.book) + sum(act.word.types for act in acts)
    return PlannedPart(
        book=len(part.book),
        before=uses(table, "before", 0),
        commands=tuple(_commands(part, place, part.where or step.where, platform)),
        acts=acts,
        faults=uses(faults.load(), "fault", typed),
        expect=(*uses(table, "expect", typed), *uses(table, "departs", typed)),
        healed=uses(table, "healed", typed),
        within=part.within,
    )


def _commands(
    part: Part, place: Place, where: list[str], platform: Platform
) -> Iterator[PlannedCommand]:
    """The book's commands, with the adaptations that this platform needs."""
    apply = [
        adaptation
        for number, adaptation in enumerate(part.adapt)
        if _applies(adaptation.when, platform, *place, "adapt", number, "when")
    ]
    for number, command in enumerate(part.book, start=1):
        yield from _added(apply, "before", number, where)
        found = [a for a in apply if a.replaces is not None and number in a.numbers]
        if len(found) > 1:
            conditions = " and by ".join(repr(a.when) for a in found)
            raise _Misfit(
                f"command {number} is replaced by {conditions} on {platform.name}",
                *(*place, "adapt", part.adapt.index(found[1]), "replaces"),
            )
        replacing = found[0] if found else None
        if replacing is None:
            yield _planned(command, where, adapted=False, book=(command.run,))
        elif number == replacing.numbers[0]:
            book = tuple(part.book[n - 1].run for n in replacing.numbers)
            for new in replacing.run or [Command.model_construct(run="")]:
                yield _planned(new, where, adapted=True, book=book, why=replacing.why)
        yield from _added(apply, "after", number, where)


def _added(
    apply: list[Adaptation], place: str, number: int, where: list[str]
) -> Iterator[PlannedCommand]:
    for adaptation in apply:
        if getattr(adaptation, place) == number:
            for new in adaptation.run:
                yield _planned(new, where, adapted=True, why=adaptation.why)


def _planned(
    command: Command, where: list[str], *, adapted: bool, book: tuple[str, ...] = (), why: str = ""
) -> PlannedCommand:
    return PlannedCommand(
        nodes=tuple(command.where or where),
        text=command.run,
        exit=command.exit,
        secret=command.stdin or "",
        adapted=adapted,
        book=book,
        why=" ".join(why.split()),
    )


def key(step: PlannedStep, platform: Platform) -> str:
    """What a run of the section proves something about: another plan has another key.

    Made of the platform's software, of what is typed, done and broken there, and of what has to
    come true by when. Titles and reasons are not part of it, nor who borrowed the section.
    """

    def uses(these: tuple[Use, ...]) -> list[Any]:
        return [[use.word.name, use.arguments] for use in these]

    parts = [
        {
            "before": uses(part.before),
            "commands": [[c.nodes, c.text, c.exit, c.secret] for c in part.commands],
            "acts": uses(part.acts),
            "faults": uses(part.faults),
            "expect": uses(part.expect),
            "healed": uses(part.healed),
            "within": part.within,
        }
        for part in step.parts
    ]
    announce = step.announce.model_dump()
    content = [platform.name, platform.versions, step.section, parts, announce]
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
