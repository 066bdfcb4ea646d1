"""Scenarios: from a YAML file to a model, and from that to a plan for one platform.

A plan says of every command where it is typed, whether it is the book's own, and if not,
why. It is made without running anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lab import actions, checks, paths, platforms
from lab.condition import holds
from lab.errors import BadInput
from lab.model import Adaptation, Command, Part, Platform, Scenario, Step
from lab.vocabulary import Vocabulary, Word
from lab.yamlfile import Document, Place, parse


@dataclass(frozen=True)
class PlannedCommand:
    """A command as it will be typed. `book`: the book's commands that it stands for."""

    node: str
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
    """A check or an action with its arguments."""

    word: Word
    arguments: dict[str, Any]

    @property
    def text(self) -> str:
        """It in words."""
        return self.word.say(self.arguments)


@dataclass(frozen=True)
class PlannedPart:
    """As model.Part, ready to be run. `book`: how many commands the book has here."""

    book: int
    before: tuple[Use, ...]
    commands: tuple[PlannedCommand, ...]
    acts: tuple[Use, ...]
    expect: tuple[Use, ...]
    within: float


@dataclass(frozen=True)
class PlannedStep:
    """A section, ready to be run."""

    section: str
    title: str
    parts: tuple[PlannedPart, ...]

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


def names() -> list[str]:
    """Every scenario that comes with lab, sorted."""
    return sorted(path.stem for path in paths.SCENARIOS.glob("*.yaml"))


def find(name: str) -> Path:
    """The file of a scenario: by its name, or a path to a YAML file of one's own."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not path.is_file():
            raise BadInput(f"there is no scenario file {name}")
        return path
    if name not in names():
        near = get_close_matches(name, names(), n=1)
        mean = f"did you mean {near[0]}? " if near else ""
        raise BadInput(
            f"there is no scenario {name!r}; {mean}scenarios: {', '.join(names())}, "
            "or a path to a YAML file"
        )
    return paths.SCENARIOS / f"{name}.yaml"


def load(path: Path) -> Scenario:
    """The scenario in a file. BadInput names file, line, section, key and the valid choices."""
    document = Document(path)
    scenario = parse(document, Scenario)
    for problem, place in _problems(scenario):
        raise BadInput(f"{document.where(place)}: {document.named(place)}{problem}")
    return scenario


def plan(scenario: Scenario, platform: Platform) -> list[PlannedStep]:
    """What running the scenario on the platform will do, section by section."""
    return [
        PlannedStep(
            step.section,
            step.title,
            tuple(_part(p, step, scenario, platform) for p in (step.parts or [step])),
        )
        for step in scenario.steps
    ]


def _problems(scenario: Scenario) -> Iterator[tuple[str, Place]]:
    """What is wrong with a scenario beyond its shape, and where."""
    for name, guest in scenario.guests.items():
        host = scenario.nodes.get(guest.host)
        if host is None or not host.hypervisor:
            able = ", ".join(n for n, m in scenario.nodes.items() if m.hypervisor) or "none"
            problem = f"{guest.host!r} is no hypervisor; hypervisors: {able}"
            yield problem, ("guests", name, "host")
        if name in scenario.nodes:
            yield f"{name} is both a machine and a guest", ("guests", name)
    owners: dict[str, str] = {}
    for name in scenario.names:
        owner = owners.setdefault(scenario.address(name), name)
        if owner != name:
            kind = "guests" if name in scenario.guests else "nodes"
            yield f"this is the address of {owner} too", (kind, name, "address")
    seen: set[str] = set()
    for number, step in enumerate(scenario.steps):
        place: Place = ("steps", number)
        if step.section in seen:
            yield "this section stands here twice", place
        seen.add(step.section)
        if problem := _unknown_node(scenario, step.where):
            yield problem, (*place, "where")
        for index, part in enumerate(step.parts or [step]):
            inner = (*place, "parts", index) if step.parts else place
            for problem, at in _part_problems(scenario, step, part):
                yield problem, (*inner, *at)


def _part_problems(scenario: Scenario, step: Step, part: Part) -> Iterator[tuple[str, Place]]:
    if problem := _unknown_node(scenario, part.where):
        yield problem, ("where",)
    if part.book and not (part.where or step.where):
        yield "commands need `where:`, the node they are typed on", ("book",)
    for index, command in enumerate(part.book):
        if problem := _unknown_node(scenario, command.where):
            yield problem, ("book", index, "where")
    for index, adaptation in enumerate(part.adapt):
        for key in ("replaces", "before", "after"):
            if getattr(adaptation, key) is not None:
                for number in adaptation.numbers:
                    if not 1 <= number <= len(part.book):
                        problem = (
                            f"there is no command {number}; the book has {len(part.book)} here"
                        )
                        yield problem, ("adapt", index, key)
        if problem := _unreadable(adaptation.when):
            yield problem, ("adapt", index, "when")
        for nth, command in enumerate(adaptation.run):
            if problem := _unknown_node(scenario, command.where):
                yield problem, ("adapt", index, "run", nth, "where")
    for key, vocabulary, entries in (
        ("before", checks.load(), part.before),
        ("act", actions.action, part.act),
        ("expect", checks.load(), part.expect),
    ):
        for index, entry in enumerate(entries):
            try:
                vocabulary.use(entry, scenario.names)
            except ValueError as error:
                yield str(error), (key, index)


def _unknown_node(scenario: Scenario, name: str | None) -> str:
    if name is None or name in scenario.names:
        return ""
    return f"there is no node {name!r}; nodes: {', '.join(scenario.names)}"


def _unreadable(condition: str) -> str:
    """Why no platform that we have can tell whether the condition is true; '' if one can."""
    problem = ""
    for name in platforms.names():
        try:
            holds(condition, platforms.load(name))
        except ValueError as error:
            problem = problem or str(error)
        else:
            return ""
    return problem


def _part(part: Part, step: Step, scenario: Scenario, platform: Platform) -> PlannedPart:
    def uses(vocabulary: Vocabulary, entries: list[dict[str, Any]]) -> tuple[Use, ...]:
        made = []
        for entry in entries:
            word, given = vocabulary.use(entry, scenario.names)
            made.append(Use(word, given if isinstance(given, dict) else {}))
        return tuple(made)

    try:
        commands = tuple(_commands(part, part.where or step.where or "", platform))
    except ValueError as error:
        raise BadInput(f"section {step.section}, adapt: {error}") from error
    table = checks.load()
    return PlannedPart(
        book=len(part.book),
        before=uses(table, part.before),
        commands=commands,
        acts=uses(actions.action, part.act),
        expect=uses(table, part.expect),
        within=part.within,
    )


def _commands(part: Part, where: str, platform: Platform) -> Iterator[PlannedCommand]:
    """The book's commands, with the adaptations that this platform needs."""
    apply = [a for a in part.adapt if holds(a.when, platform)]
    for number, command in enumerate(part.book, start=1):
        yield from _added(apply, "before", number, where)
        found = [a for a in apply if a.replaces is not None and number in a.numbers]
        if len(found) > 1:
            conditions = " and by ".join(repr(a.when) for a in found)
            raise ValueError(f"command {number} is replaced by {conditions} on {platform.name}")
        replacing = found[0] if found else None
        if replacing is None:
            yield _planned(command, where, adapted=False, book=(command.run,))
        elif number == replacing.numbers[0]:
            book = tuple(part.book[n - 1].run for n in replacing.numbers)
            for new in replacing.run or [Command(run="")]:
                yield _planned(new, where, adapted=True, book=book, why=replacing.why)
        yield from _added(apply, "after", number, where)


def _added(
    apply: list[Adaptation], place: str, number: int, where: str
) -> Iterator[PlannedCommand]:
    for adaptation in apply:
        if getattr(adaptation, place) == number:
            for new in adaptation.run:
                yield _planned(new, where, adapted=True, why=adaptation.why)


def _planned(
    command: Command, where: str, *, adapted: bool, book: tuple[str, ...] = (), why: str = ""
) -> PlannedCommand:
    return PlannedCommand(
        node=command.where or where,
        text=command.run,
        exit=command.exit,
        secret=command.stdin or "",
        adapted=adapted,
        book=book,
        why=" ".join(why.split()),
    )
