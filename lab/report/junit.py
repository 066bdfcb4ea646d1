"""JUnit XML for continuous integration: one test case a section."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from lab.events import (
    Event,
    EvidenceCollected,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    Verdict,
)
from lab.providers import DEFAULT
from lab.report import Report
from lab.report.text import Failure, failure_in, one_line, plain
from lab.report.transcript import told

_ELEMENTS: dict[Verdict, str] = {"failed": "failure", "error": "error", "skipped": "skipped"}


@dataclass
class _Section:
    """All that is known of one section."""

    number: str
    title: str = ""
    began: float = 0.0
    ended: StepEnded | None = None
    failures: list[Failure] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict and its reason; a run can break off before the runner gave one."""
        if self.ended:
            return self.ended.verdict, self.ended.problem
        if self.began:
            return "error", "the run broke off in this section"
        return "skipped", "the run ended before this section"


class JUnit(Report):
    """Gathers a run's events and writes the file at its end.

    close() writes it for a run that broke off; the sections that it did not reach are
    skipped ones.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run: RunStarted | None = None
        self._seconds = 0.0
        self._sections: dict[str, _Section] = {}
        self._written = False

    def __call__(self, event: Event) -> None:
        """Keep what the file needs of one event."""
        match event:
            case RunStarted():
                self._run = event
                for number in event.sections:
                    self._section(number)
            case RunEnded():
                self._seconds = event.seconds
                self._write()
            case _ if hasattr(event, "section"):
                self._keep(event, self._section(event.section))

    def close(self) -> None:
        """Write the file unless the run's end did, or no run began."""
        if self._run and not self._written:
            self._write()

    def _section(self, number: str) -> _Section:
        return self._sections.setdefault(number, _Section(number))

    def _keep(self, event: Event, section: _Section) -> None:
        failure = failure_in(event)
        if failure:
            section.failures.append(failure)
        match event:
            case StepStarted():
                section.title, section.began = event.title, event.at
                return
            case StepEnded():
                section.title, section.ended = event.title, event
            case EvidenceCollected():
                section.evidence.append(event.folder)
        section.lines += told(event, section.began)

    def _write(self) -> None:
        suite = ET.Element("testsuite")
        cases = [self._case(section) for section in self._sections.values()]
        totals = {"tests": len(cases)}
        for tag in _ELEMENTS.values():
            name = tag if tag == "skipped" else f"{tag}s"
            totals[name] = sum(case.find(tag) is not None for case in cases)
        if self._run:
            unusual = "" if self._run.provider == DEFAULT else f" ({self._run.provider})"
            suite.set("name", f"{self._run.scenario} on {self._run.platform}{unusual}")
            began = datetime.fromtimestamp(self._run.at).astimezone()
            suite.set("timestamp", began.isoformat(timespec="seconds"))
            kinds = ("lab", "scenario", "title", "platform", "provider")
            _properties(suite, {kind: getattr(self._run, kind) for kind in kinds})
        for name, total in totals.items():
            suite.set(name, str(total))
        suite.set("time", f"{self._seconds:.3f}")
        suite.extend(cases)
        root = ET.Element("testsuites")
        root.append(suite)
        ET.indent(root)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        ET.ElementTree(root).write(self._path, encoding="utf-8", xml_declaration=True)
        self._written = True

    def _case(self, section: _Section) -> ET.Element:
        ended = section.ended
        cluster, harness = (ended.cluster, ended.harness) if ended else (0.0, 0.0)
        case = ET.Element("testcase")
        case.set("classname", self._run.scenario if self._run else "lab")
        case.set("name", one_line(f"{section.number} {section.title}"))
        case.set("time", f"{cluster + harness:.3f}")
        properties = {
            "section": section.number,
            "cluster_seconds": f"{cluster:.3f}",
            "harness_seconds": f"{harness:.3f}",
            "commands_verbatim": str(ended.verbatim if ended else 0),
            "commands_adapted": str(ended.adapted if ended else 0),
            "commands_added": str(ended.added if ended else 0),
        }
        if section.evidence:
            properties["evidence"] = " ".join(section.evidence)
        _properties(case, properties)
        verdict, problem = section.verdict()
        if verdict in _ELEMENTS:
            element = ET.SubElement(case, _ELEMENTS[verdict], message=one_line(problem))
            element.text = plain(_explained(problem, section))
            if verdict != "skipped":
                element.set("type", verdict)
        if section.lines:
            ET.SubElement(case, "system-out").text = plain("\n".join(section.lines))
        return case


def write(path: Path, events: Iterable[Event]) -> None:
    """Write the JUnit file of a run that is over."""
    with JUnit(path) as report:
        for event in events:
            report(event)


def _properties(parent: ET.Element, values: dict[str, str]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=plain(value))


def _explained(problem: str, section: _Section) -> str:
    lines = [problem]
    for failure in section.failures:
        lines += [f"expected: {failure.expected}", f"seen: {failure.seen}"]
        lines += [f"hint: {failure.hint}"] if failure.hint else []
    lines += [f"evidence: {folder}" for folder in section.evidence]
    return "\n".join(lines)
