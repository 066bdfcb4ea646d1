"""A run as it is told afterwards: the lines of results.jsonl, put together by section.

A file can hold several runs of a lab, the later ones of which carry on, and any of them can
have broken off: then it has no RunEnded, its last section no StepEnded, a command no end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from lab import events as e
from lab.report.text import Failure, failure_in

_CLASSES: dict[str, type[e.Event]] = {one.__name__: one for one in e.Event.__subclasses__()}


@dataclass
class Command:
    """A command on one node: how it was typed, how it ended. Either may not be on record."""

    started: e.CommandStarted | None
    ended: e.CommandEnded | None = None


@dataclass
class Typed:
    """The same command on one or more nodes, typed before any of them ended."""

    at: float
    commands: list[Command]


Entry = Typed | e.Event


@dataclass
class Section:
    """A section as one run did it, or was going to. `run` counts from 1.

    `began` is 0 for one that did not begin; `last` is when its last event was.
    """

    number: str
    run: int
    title: str = ""
    began: float = 0.0
    last: float = 0.0
    ended: e.StepEnded | None = None
    entries: list[Entry] = field(default_factory=list)
    audits: list[e.Audited] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Its name in the page."""
        return f"section-{self.number}" + (f"-run-{self.run}" if self.run > 1 else "")

    @property
    def outcome(self) -> str:
        """The verdict, or "broken off" or "not run" where the runner gave none."""
        if self.ended:
            return self.ended.verdict
        return "broken off" if self.began else "not run"

    @property
    def problem(self) -> str:
        """Why it did not pass, in a sentence; empty if it did."""
        if self.ended:
            return self.ended.problem
        if self.began:
            return "The end of this section is not on record: the run broke off, or still goes on."
        return "The run ended before this section."


@dataclass
class Run:
    """One run: from a RunStarted to its RunEnded, if that is on record."""

    started: e.RunStarted
    ended: e.RunEnded | None = None
    last: float = 0.0
    sections: dict[str, Section] = field(default_factory=dict)
    before: list[e.Progress] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it took, or was seen to take."""
        return self.ended.seconds if self.ended else self.last - self.started.at


@dataclass
class History:
    """All runs in a results file. `events` in their order; `unread`: lines that are none."""

    runs: list[Run] = field(default_factory=list)
    events: list[e.Event] = field(default_factory=list)
    unread: int = 0

    @property
    def final(self) -> list[Section]:
        """What counts: each section as the last run that began it did it."""
        found: dict[str, Section] = {}
        for run in self.runs:
            for number, section in run.sections.items():
                if section.began or number not in found or not found[number].began:
                    found[number] = section
        return list(found.values())

    @property
    def told(self) -> list[list[Section]]:
        """For each run, its sections that are worth telling.

        One that a run did not come to is not, if another run did.
        """
        final = {id(section) for section in self.final}
        return [
            [one for one in run.sections.values() if one.began or id(one) in final]
            for run in self.runs
        ]


def history(lines: Iterable[dict[str, Any]]) -> History:
    """Put together what `lab.report.results.read` gave."""
    found = History()
    section: Section | None = None  # that is going on
    for line in lines:
        event = _event(line)
        if event is None:
            found.unread += 1
            continue
        found.events.append(event)
        if isinstance(event, e.RunStarted):
            run = Run(event)
            run.sections = {one: Section(one, len(found.runs) + 1) for one in event.sections}
            found.runs.append(run)
            section = None
        if not found.runs:
            continue  # a file that somebody cut: of what run this was, nobody can tell
        run = found.runs[-1]
        run.last = max(run.last, event.at)
        name = getattr(event, "section", "")
        if name:
            section = run.sections.setdefault(name, Section(name, len(found.runs)))
            _keep(section, event)
        elif isinstance(event, e.RunEnded):
            run.ended = event
        elif isinstance(event, e.Progress):
            if section:
                section.entries.append(event)
            else:
                run.before.append(event)
    for run in found.runs:
        for one in run.sections.values():  # power is told when the BMC's log is read: later
            one.entries.sort(key=lambda entry: entry.at)
    return found


def _event(line: dict[str, Any]) -> e.Event | None:
    """The event that the line was; None if this version has no such event, or it is not whole.

    An older version's lines lack fields: they have their defaults. Unknown ones are left out.
    """
    kind = _CLASSES.get(str(line.get("event")))
    if kind is None or not isinstance(line.get("at"), int | float):
        return None
    known = {one.name for one in fields(kind)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in line.items()
        if key in known
    }
    try:
        return kind(**values)
    except TypeError:
        return None


def _keep(section: Section, event: e.Event) -> None:
    section.last = max(section.last, event.at)
    failure = failure_in(event)
    if failure:
        section.failures.append(failure)
    match event:
        case e.StepStarted():
            section.title, section.began = event.title, event.at
        case e.StepEnded():
            section.title, section.ended = event.title, event
        case e.EvidenceCollected():
            section.evidence.append(event.folder)
        case e.Audited():
            section.audits.append(event)
        case e.CommandStarted():
            _start(section, event)
        case e.CommandEnded():
            _end(section, event)
        case _:
            section.entries.append(event)


def _start(section: Section, event: e.CommandStarted) -> None:
    """A new command, or the one before on another node as well."""
    command = Command(event)
    before = section.entries[-1] if section.entries else None
    if isinstance(before, Typed) and _parallel(before, event):
        before.commands.append(command)
    else:
        section.entries.append(Typed(event.at, [command]))


def _parallel(typed: Typed, event: e.CommandStarted) -> bool:
    first = typed.commands[0].started
    return (
        first is not None
        and all(one.ended is None for one in typed.commands)
        and all(one.started and one.started.node != event.node for one in typed.commands)
        and (first.text, first.book, first.why) == (event.text, event.book, event.why)
        and (first.omitted, first.secret) == (event.omitted, event.secret)
    )


def _end(section: Section, event: e.CommandEnded) -> None:
    """Give it to the first such command on that node that has no end yet."""
    for entry in section.entries:
        for one in entry.commands if isinstance(entry, Typed) else ():
            begun = one.started
            if one.ended is None and begun and not begun.omitted:  # noqa: SIM102
                if (begun.node, begun.text) == (event.node, event.text):
                    one.ended = event
                    return
    section.entries.append(Typed(event.at, [Command(None, event)]))
