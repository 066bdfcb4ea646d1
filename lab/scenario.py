"""Scenarios: found by name, read from YAML, and checked beyond what a model can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lab import actions, audits, checks, faults, fleet, paths, platforms
from lab.addresses import unusable
from lab.condition import holds
from lab.errors import BadInput
from lab.model import BorrowedStep, Part, Preparation, Scenario, Step
from lab.vocabulary import Vocabulary
from lab.yamlfile import Document, Place, Spot, parse


def names() -> list[str]:
    """Every scenario that comes with lab, sorted."""
    return sorted(path.stem for path in paths.SCENARIOS.glob("*.yaml"))


def find(name: str) -> Path:
    """The file of a scenario: by its name, or a path to a YAML file of one's own."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not path.exists():
            raise BadInput(f"there is no scenario file {name}")
        if not path.is_file():
            what = "a folder" if path.is_dir() else "a pipe or a device"
            raise BadInput(f"{name} is {what}; a scenario is a YAML file")
        return path
    if name not in names():
        near = get_close_matches(name, names(), n=1)
        mean = f"did you mean {near[0]}? " if near else ""
        raise BadInput(
            f"there is no scenario {name!r}; {mean}scenarios: {', '.join(names())}, "
            "or a path to a YAML file"
        )
    return paths.SCENARIOS / f"{name}.yaml"


def load(path: Path, remotes: int | None = None) -> Scenario:
    """The scenario in a file, with the sections that it borrows from others in their places, and
    with its fleet expanded (see lab.fleet) to so many `remotes`.

    BadInput names file, line, section, key and the valid choices.
    """
    return _load(path, (), remotes)


def _load(path: Path, borrowers: tuple[Path, ...], remotes: int | None = None) -> Scenario:
    document = Document(path)
    scenario = parse(document, Scenario)
    try:
        scenario = fleet.expanded(scenario, remotes)
    except ValueError as error:
        raise BadInput(document.says(("fleet",), str(error))) from error
    for problem, place in _problems(scenario):
        raise BadInput(document.says(place, problem))
    for number, step in enumerate(scenario.steps):
        step.stands(Spot(document, ("steps", number)))
    own = [step.section for step in scenario.steps]
    borrowed: dict[str, list[Step]] = {"": [], **{section: [] for section in own}}
    for number, preparation in enumerate(scenario.prepare):
        try:
            if preparation.after not in borrowed:
                valid = ", ".join(own)
                raise _Unfit("after", f"{preparation.after!r} is none of its sections: {valid}")
            found = list(_borrowed(preparation, path, (*borrowers, path.resolve())))
            there = [step for steps in borrowed.values() for step in steps]
            _check_borrowed(scenario, preparation, found, [*there, *scenario.steps])
            borrowed[preparation.after] += found
        except _Unfit as error:
            place = ("prepare", number, error.key)
            raise BadInput(document.says(place, str(error))) from error
    steps = [*borrowed[""]]
    for step in scenario.steps:
        steps += [step, *borrowed[step.section]]
    return scenario.model_copy(update={"steps": steps})


class _Unfit(ValueError):
    """What is to be borrowed cannot be; `key` of the wish says so."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def _borrowed(wish: Preparation, path: Path, borrowers: tuple[Path, ...]) -> Iterator[Step]:
    """The sections of another scenario, one beside this or one that comes with lab."""
    beside = path.parent / f"{wish.scenario}.yaml"
    try:
        source = beside if beside.is_file() else find(wish.scenario)
        if source.resolve() in borrowers:
            raise _Unfit("scenario", f"{wish.scenario} borrows from {path.stem} itself")
        steps = {step.section: step for step in _load(source, borrowers).steps}
    except BadInput as error:
        raise _Unfit("scenario", error.message) from error
    for section in wish.sections or [wish.until]:
        if section not in steps:
            valid = ", ".join(steps)
            raise _Unfit(wish.key, f"{wish.scenario} has no section {section!r}; sections: {valid}")
    numbers = list(steps)
    for section in wish.sections or numbers[: numbers.index(wish.until) + 1]:
        step = steps[section]
        if isinstance(step, BorrowedStep):
            yield step
        else:
            borrowed = BorrowedStep.model_construct(**dict(step), origin=wish.scenario)
            borrowed.stands(step.spot)
            yield borrowed


def _check_borrowed(
    scenario: Scenario, wish: Preparation, borrowed: list[Step], there: list[Step]
) -> None:
    """Raise _Unfit where sections of another scenario do not fit this one's nodes, or stand
    beside a twin: among themselves, or in what is `there`.
    """
    sections = [step.section for step in (*borrowed, *there)]
    for step in borrowed:
        if sections.count(step.section) > 1:
            raise _Unfit(wish.key, f"section {step.section} would stand here twice")
        for problem, _ in _step_problems(scenario, step):
            raise _Unfit(wish.key, f"section {step.section}: {problem}")


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
        place: Place = ("guests" if name in scenario.guests else "nodes", name, "address")
        if problem := unusable(scenario.address(name)):
            yield problem, place
        owner = owners.setdefault(scenario.address(name), name)
        if owner != name:
            yield f"this is the address of {owner} too", place
    seen: set[str] = set()
    for number, step in enumerate(scenario.steps):
        place = ("steps", number)
        if step.section in seen:
            yield "this section stands here twice", place
        seen.add(step.section)
        for problem, inner in _step_problems(scenario, step):
            yield problem, (*place, *inner)


def _step_problems(scenario: Scenario, step: Step) -> Iterator[tuple[str, Place]]:
    if problem := _unknown_node(scenario, step.where):
        yield problem, ("where",)
    if problem := _unknown_node(scenario, step.announce.nodes):
        yield problem, ("announce", "nodes")
    for name in step.announce.violated:
        if name not in audits.names():
            problem = f"there is no audit {name!r}; audits: {', '.join(audits.names())}"
            yield problem, ("announce", "violated", name)
        if name in ("cores", "crashes"):
            problem = "what happened does not pass; announce what may be said: crashes: [...]"
            yield problem, ("announce", "violated", name)
    for index, part in enumerate(step.parts):
        if not part.filled:
            yield "a part needs before, book, act, fault, expect or departs", ("parts", index)
    for index, part in enumerate(step.parts or [step]):
        inner: Place = ("parts", index) if step.parts else ()
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
    if problem := _unreadable(part.when):
        yield problem, ("when",)
    for key, vocabulary, entries in (
        ("before", checks.load(), part.before),
        ("act", actions.action, part.act),
        ("fault", faults.load(), part.fault),
        ("expect", checks.load(), part.expect),
        ("healed", checks.load(), part.healed),
    ):
        for index, entry in enumerate(entries):
            if problem := _unusable(vocabulary, entry.use, scenario):
                yield problem, (key, index)
            if problem := _unreadable(entry.when):
                yield problem, (key, index, "when")
    for index, departure in enumerate(part.departs):
        if problem := _unusable(checks.load(), departure.shown_by, scenario):
            yield problem, ("departs", index, "shown_by")
        if problem := _unreadable(departure.when):
            yield problem, ("departs", index, "when")


def _unusable(vocabulary: Vocabulary, use: dict[str, Any], scenario: Scenario) -> str:
    try:
        vocabulary.use(use, scenario.names, scenario.guests)
    except ValueError as error:
        return str(error)
    return ""


def _unknown_node(scenario: Scenario, where: Iterable[str]) -> str:
    for name in where:
        if name not in scenario.names:
            return f"there is no node {name!r}; nodes: {', '.join(scenario.names)}"
    return ""


def _unreadable(condition: str) -> str:
    """Why no platform that we have can tell whether the condition is true; '' if one can.

    No condition is one that everybody can read.
    """
    problem = ""
    if not condition:
        return problem
    # What is said is about the platform that is best known.
    for name in sorted(platforms.names(), key=lambda name: name != platforms.DEFAULT):
        try:
            holds(condition, platforms.load(name))
        except ValueError as error:
            problem = problem or str(error)
        else:
            return ""
    return problem
