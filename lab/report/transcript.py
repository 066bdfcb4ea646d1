"""The transcript: everything of a run in plain text, for a person who reads it afterwards."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from lab.events import (
    Acted,
    Audited,
    Checked,
    ClusterChanged,
    CommandEnded,
    CommandStarted,
    Event,
    EvidenceCollected,
    FaultHealed,
    FaultInjected,
    MachineChanged,
    PowerSwitched,
    Progress,
    Recovered,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
)
from lab.report import Report
from lab.report.text import (
    WORDS,
    audited,
    duration,
    exit_status,
    lines_of,
    machine_state,
    notes,
    one_line,
    plain,
    power,
    time_line,
    typed,
)

_RULE = "=" * 78
_MARGIN = " " * 9  # as wide as a time of day


class Transcript(Report):
    """Appends each event to a file as text, and flushes it: a killed harness loses nothing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._since = 0.0

    def __call__(self, event: Event) -> None:
        """Write one event down."""
        if isinstance(event, StepStarted):
            self._since = event.at
        self._file.writelines(f"{line}\n" for line in told(event, self._since))
        self._file.flush()

    def close(self) -> None:
        """End the file; no event may follow."""
        self._file.close()


def told(event: Event, since: float = 0.0) -> list[str]:
    """The transcript's lines of one event, none for Waiting; `since`: when its section began."""
    match event:
        case RunStarted():
            return _run_started(event)
        case StepStarted():
            heading = f"{event.section}  {one_line(event.title)}"
            return ["", _RULE, heading, _RULE]
        case CommandStarted():
            return _command_started(event)
        case CommandEnded():
            said = f"{event.node}: {exit_status(event)}, {duration(event.seconds)}"
            return [*(f"    {line}".rstrip() for line in lines_of(event.output)), _at(event, said)]
        case Checked():
            return _checked(event)
        case ClusterChanged():
            after = f"+{event.at - since:.1f}s " if since else ""
            return [_at(event, f"{after}cluster: {plain(line)}") for line in event.changes]
        case PowerSwitched():
            after = f"+{event.at - since:.1f}s " if since else ""
            return [_at(event, after + power(event))]
        case MachineChanged():
            after = f"+{event.at - since:.1f}s " if since else ""
            return [_at(event, after + machine_state(event))]
    return [_at(event, line) for line in _briefly(event)]


def _briefly(event: Event) -> list[str]:
    """Events that are a line or two."""
    match event:
        case Progress():
            return lines_of(event.text)
        case Acted():
            said = f"» {one_line(event.text)} ({duration(event.seconds)})"
            output = [f"    {line}" for line in lines_of(event.output)]
            return [said, *output, *(f"  problem: {line}" for line in lines_of(event.problem))]
        case StepEnded():
            said = f"{event.section} {event.verdict}: cluster {duration(event.cluster)}, "
            said += f"harness {duration(event.harness)}, "
            said += f"{event.verbatim} verbatim, {event.adapted} adapted, {event.added} added"
            return [said, *(f"  {line}" for line in lines_of(event.problem))]
        case FaultInjected():
            return [f"fault {event.number}: {event.text}"]
        case FaultHealed():
            said = f"healed {event.number}: {event.text} ({duration(event.seconds)})"
            return [said, *(f"  problem: {line}" for line in lines_of(event.problem))]
        case Recovered():
            return [f"recovery after {one_line(event.text)}: {time_line(event)}"]
        case Audited():
            return audited(event)
        case EvidenceCollected():
            return [f"evidence of {event.section}: {event.folder}"]
        case RunEnded():
            return [f"run {event.verdict} after {duration(event.seconds)}"]
    return []


def _run_started(event: RunStarted) -> list[str]:
    began = datetime.fromtimestamp(event.at).astimezone()
    return [
        f"{event.scenario}: {one_line(event.title)}",
        f"lab {event.lab}, {event.platform}, {event.provider}",
        f"sections: {', '.join(event.sections)}",
        f"began {began:%Y-%m-%d %H:%M:%S %z}",
    ]


def _command_started(event: CommandStarted) -> list[str]:
    remarks = [f"{label}{text}" for label, text in notes(event)]
    if event.omitted:
        return [_at(event, remarks[0]), *(_MARGIN + remark for remark in remarks[1:])]
    if event.secret:
        remarks.append(f"(reads the secret {event.secret})")
    commands = [prompt + text for prompt, text in typed(event.node, event.text)]
    return [_at(event, commands[0]), *commands[1:], *(_MARGIN + remark for remark in remarks)]


def _checked(event: Checked) -> list[str]:
    before = "before: " if event.phase == "before" else ""
    said = f"{WORDS[event.verdict]} {before}{one_line(event.what)} ({duration(event.waited)})"
    told = [_at(event, said)]
    for label, text in (("seen: ", event.seen), ("hint: ", event.hint)):
        for number, line in enumerate(lines_of(text)):
            told.append(_MARGIN + (label if not number else " " * len(label)) + line)
    return told


def _at(event: Event, text: str) -> str:
    return f"{datetime.fromtimestamp(event.at):%H:%M:%S} {text}"
