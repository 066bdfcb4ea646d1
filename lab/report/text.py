"""Wording that the reports share, and taming of text that machines printed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.events import (
    Acted,
    Audited,
    Checked,
    CommandEnded,
    CommandStarted,
    Event,
    FaultHealed,
    MachineChanged,
    PowerSwitched,
    Recovered,
    Verdict,
)

WORDS: dict[Verdict, str] = {
    "passed": "PASS",
    "failed": "FAIL",
    "error": "ERROR",
    "skipped": "SKIP",
}

# Colours, cursor movements, window titles. None may run over the end of a line: an unfinished
# one must not swallow the rest of the output.
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])", re.ASCII
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# What XML 1.0 does not allow, and the C1 control characters that some terminals obey.
_CONTROL = re.compile(r"[^\t\n\x20-\x7e\xa0-\ufffd\U00010000-\U0010ffff]")


def plain(text: str) -> str:
    """`text` without anything that a terminal would obey or that XML 1.0 forbids.

    A lone carriage return becomes a new line, so that no state of a progress bar is lost.
    """
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub("", _SURROGATE.sub("\ufffd", text))


def lines_of(text: str) -> list[str]:
    """The lines of an output, plain; none for an empty one."""
    # Not splitlines(): it also splits at characters that are no line ends for a terminal.
    text = plain(text).rstrip("\n")
    return text.split("\n") if text else []


def one_line(text: str) -> str:
    """`text` plain, on one line."""
    return " ".join(plain(text).split())


def duration(seconds: float) -> str:
    """`3.2 s`, or `2 min 5 s` from a hundred seconds on."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def typed(node: str, text: str) -> list[tuple[str, str]]:
    """A command as the book prints it: prompt and text of each of its lines."""
    first, *others = lines_of(text) or [""]
    return [(f"[root@{node} ~]# ", first), *(("> ", line) for line in others)]


def notes(event: CommandStarted) -> list[tuple[str, str]]:
    """In what a command deviates from the book and why, as pairs of label and text."""
    found: list[tuple[str, str]] = []
    if event.omitted:
        found = [("left out: ", command) for command in event.book or (event.text,)]
    elif event.adapted and event.book:
        found = [("instead of: ", command) for command in event.book]
    elif event.adapted:
        found = [("in addition", "")]
    if found and event.why:
        found.append(("because: ", one_line(event.why)))
    return found


def exit_status(event: CommandEnded) -> str:
    """How a command ended, and how it should have if that is another thing."""
    if event.exit is None:
        return one_line(event.problem) or "did not end"
    said = f"exit status {event.exit}"
    if not event.ok:
        said += f" (expected {' or '.join(str(status) for status in event.expected)})"
    if event.problem:
        said += f": {one_line(event.problem)}"
    return said


def power(event: PowerSwitched) -> str:
    """What a BMC did."""
    failed = f", failed: {one_line(event.problem)}" if event.problem else ""
    return f"power: {event.node} {event.action}{failed}"


def machine_state(event: MachineChanged) -> str:
    """What became of a virtual machine: `machine: node1 off (destroyed)`."""
    itself = " by itself" if event.by_itself else ""
    return f"machine: {event.node} {event.state}{itself} ({event.reason})"


def time_line(event: Recovered) -> str:
    """`detected +3.2 s, fenced +4.0 s, not recovered`."""
    return ", ".join(
        f"not {name}" if after is None else f"{name} +{after:.1f} s"
        for name, after in event.phases.items()
    )


def audited(event: Audited) -> list[str]:
    """An audit's verdict, and each thing that it saw."""
    announced = ", announced" if event.announced else ""
    first, *others = lines_of(event.seen) or [""]
    return [
        f"{WORDS[event.verdict]} audit {event.audit}{announced}: {first}",
        *(f"    {line}" for line in others),
    ]


@dataclass(frozen=True)
class Failure:
    """What should have been, and what was."""

    expected: str
    seen: str
    hint: str = ""


def failure_in(event: Event) -> Failure | None:
    """What went wrong in this event, if it tells of something that did."""
    match event:
        case Checked(verdict="failed" | "error"):
            return Failure(plain(event.what), plain(event.seen), plain(event.hint))
        case CommandEnded(ok=False):
            last = lines_of(event.output)[-1:]
            command = f"`{plain(event.text)}` on {event.node}"
            expected = " or ".join(str(status) for status in event.expected)
            return Failure(
                f"exit status {expected} of {command}",
                "\n".join([exit_status(event), *last]),
            )
        case Acted() if event.problem:
            return Failure(plain(event.text), plain(event.problem))
        case FaultHealed() if event.problem:
            return Failure(f"healed: {plain(event.text)}", plain(event.problem))
        case Audited(verdict="failed" | "error"):
            return Failure(f"audit {event.audit}", plain(event.seen))
    return None
