"""What a person sees while a run goes on, on a terminal or in the log of a CI job."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

from rich.console import Console as Screen
from rich.text import Text

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
    Waiting,
)
from lab.report import Report
from lab.report.screen import Lasting, LiveLine, say
from lab.report.summary import STYLES, Summary
from lab.report.text import (
    WORDS,
    duration,
    exit_status,
    lines_of,
    machine_state,
    notes,
    one_line,
    power,
    time_line,
    typed,
)
from lab.wording import counted

_LINES = 12  # of an output; the transcript has the others
_LONG = 400  # characters of a line of output
_WAITED = 0.5  # seconds; less is no waiting that a person would notice
_LIFE = 15.0  # seconds between two signs of life in a log

_DIM = "dim"
_BAD = "red"


class Console(Report):
    """Prints a run as it goes on; `screen` is where, by default standard output.

    On a terminal, one line at the bottom says what is awaited or running. Call `close`, or
    use it as a context manager: that line ends then, on Ctrl-C too.
    """

    def __init__(
        self, screen: Screen | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._screen = screen or Lasting()
        if isinstance(self._screen.file, io.TextIOWrapper):
            # A run must not end because a terminal has no letter for an arrow.
            self._screen.file.reconfigure(errors="replace")
        self._live = LiveLine(self._screen, clock)
        self._summary = Summary()
        self._since = 0.0  # when the section began
        self._awaited = ("", "")  # section and thing that the log last said to be awaited
        self._alive = 0.0  # … and when
        self._remarks: list[tuple[str, str]] = []  # beside the last command
        self._typed: list[str] = []  # the nodes of the last command
        self._running = 0  # on how many of them it has not ended
        self._audits = 0  # that passed in this section

    def __call__(self, event: Event) -> None:
        """Show one event."""
        self._summary(event)
        if isinstance(event, Waiting):
            self._waiting(event)
            return
        # These come in between and end nothing.
        if not isinstance(event, ClusterChanged | MachineChanged | PowerSwitched):
            self._live.stop()
        match event:
            case RunStarted():
                self._run_started(event)
            case StepStarted():
                self._step_started(event)
            case CommandStarted():
                self._command_started(event)
            case CommandEnded():
                self._command_ended(event)
            case Checked():
                self._checked(event)
            case RunEnded():
                self._summary.print(self._screen, event)
            case _:
                self._brief(event)

    def close(self) -> None:
        """End the live line. May be called more than once."""
        self._live.stop()

    def _run_started(self, event: RunStarted) -> None:
        self._line("", one_line(event.title), "bold")
        number = len(event.sections)
        sections = counted(number, "section")
        said = f"{event.scenario} on {event.platform} ({event.provider}), lab {event.lab}"
        self._line("", f"{said}, {sections}", _DIM)

    def _step_started(self, event: StepStarted) -> None:
        self._since, self._remarks, self._audits = event.at, [], 0
        self._screen.print()
        self._line("", f"{event.section}  {one_line(event.title)}", "bold underline")
        if event.origin:
            self._line("", f"preparation, from {event.origin}", _DIM)

    def _command_started(self, event: CommandStarted) -> None:
        remarks = notes(event)
        if not self._running:
            self._typed = []
        self._typed.append(event.node)
        self._running += not event.omitted
        if not event.omitted:
            for prompt, text in typed(event.node, event.text):
                # Soft-wrapped: a command that is copied from the screen must stay one line.
                line = Text(prompt, style="bold green").append(text, style="default bold")
                self._screen.print(line, soft_wrap=True)
        if remarks and remarks == self._remarks:
            self._line("  ", "likewise", _DIM)
        else:
            for label, text in remarks:
                self._line(f"  {label}", text, _DIM)
        self._remarks = remarks
        if event.secret:
            self._line("  ", f"(reads the secret {event.secret})", _DIM)
        if not event.omitted:
            self._live.running("running")

    def _command_ended(self, event: CommandEnded) -> None:
        lines = lines_of(event.output)
        self._running -= 1
        if len(self._typed) > 1:
            self._line("  ", f"{event.node}:" if lines else f"{event.node}: no output", _DIM)
        if len(lines) <= _LINES + 1:  # a remark would take the line that it saves
            self._output(lines)
        elif event.ok:
            self._output(lines[:_LINES])
            self._line(
                "  ", f"… {counted(len(lines) - _LINES, 'more line')} (transcript)", "dim italic"
            )
        else:  # why it failed stands at the end
            self._line(
                "  ", f"… {counted(len(lines) - _LINES, 'line')} before (transcript)", "dim italic"
            )
            self._output(lines[-_LINES:])
        if not event.ok:
            self._line("  ", exit_status(event), _BAD)
        elif event.exit:
            self._line("  ", f"{exit_status(event)}, as expected", _DIM)

    def _output(self, lines: list[str]) -> None:
        for line in lines:
            short = line if len(line) <= _LONG else line[: _LONG - 1] + "…"
            self._line("  ", short, _DIM)

    def _waiting(self, event: Waiting) -> None:
        self._live.waiting(event)
        awaited = (event.section, event.what)
        if self._live.possible or (awaited == self._awaited and event.at - self._alive < _LIFE):
            return
        self._awaited, self._alive = awaited, event.at
        seen = f", seen: {one_line(event.seen)}" if event.seen else ""
        self._line("  ", f"waiting until {one_line(event.what)}{seen}, {event.left:.0f} s left")

    def _checked(self, event: Checked) -> None:
        self._awaited = ("", "")  # the same may be awaited once more, and is news then
        before = "before: " if event.phase == "before" else ""
        waited = f" ({duration(event.waited)})" if event.waited > _WAITED else ""
        lead = f"  {WORDS[event.verdict]:<5} "
        self._line(lead, f"{before}{one_line(event.what)}{waited}", "", STYLES[event.verdict])
        if event.departs:
            self._line("        ", f"departs from the book: {one_line(event.departs)}", _DIM)
        if event.verdict == "passed":
            return
        for label, text in (("seen: ", event.seen), ("hint: ", event.hint)):
            lead = "        " + label
            for line in lines_of(text)[:_LINES]:
                self._line(lead, line, "", _DIM)
                lead = " " * len(lead)

    def _brief(self, event: Event) -> None:
        """Events that are a line or two."""
        match event:
            case Progress():
                self._line("", one_line(event.text))
                self._live.running("working")
            case Acted():
                self._line("» ", f"{one_line(event.text)} ({duration(event.seconds)})", "", "bold")
                for line in lines_of(event.problem):
                    self._line("  ", line, _BAD)
            case ClusterChanged():
                after = f"+{event.at - self._since:.1f}s " if self._since else ""
                for change in event.changes[:_LINES]:
                    line = one_line(change)
                    short = line if len(line) <= _LONG else line[: _LONG - 1] + "…"
                    self._line(f"  {after}cluster: ", short, _DIM)
                if (more := len(event.changes) - _LINES) > 0:
                    self._line("  ", f"… {counted(more, 'more change')} (transcript)", "dim italic")
            case PowerSwitched():
                after = f"+{event.at - self._since:.1f}s " if self._since else ""
                self._line(f"  {after}", power(event), "bold")
            case MachineChanged() if event.by_itself:  # what was ordered is told by who did
                after = f"+{event.at - self._since:.1f}s " if self._since else ""
                self._line(f"  {after}", machine_state(event), _BAD)
            case FaultInjected():
                self._line("  fault  ", one_line(event.text), "", "bold yellow")
            case FaultHealed():
                self._line("  healed ", f"{one_line(event.text)} ({duration(event.seconds)})")
                for line in lines_of(event.problem):
                    self._line("         ", line, _BAD)
            case Recovered():
                self._line("  recovery: ", time_line(event), "bold")
            case Audited():
                self._audited(event)
            case StepEnded():
                self._step_ended(event)
            case EvidenceCollected():
                # Soft-wrapped, since a path is for copying.
                said = Text(f"  evidence: {event.folder}", style=_DIM)
                self._screen.print(said, soft_wrap=True)

    def _audited(self, event: Audited) -> None:
        if event.verdict == "passed" and not event.announced:
            self._audits += 1
            return
        said = f"audit {event.audit}{' (announced)' if event.announced else ''}"
        self._line(f"  {WORDS[event.verdict]:<5} ", said, "", STYLES[event.verdict])
        for line in lines_of(event.seen)[:_LINES]:
            self._line("        seen: ", line, "", _DIM)

    def _step_ended(self, event: StepEnded) -> None:
        if self._audits:
            self._line("  ", f"{counted(self._audits, 'audit')} passed", _DIM)
        if event.verdict == "passed":
            return
        said = f"{event.section}  {event.verdict}"
        style = STYLES[event.verdict]
        self._line(f"{said}: " if event.problem else said, one_line(event.problem), "", style)

    def _line(self, lead: str, body: str, style: str = "", lead_style: str = "") -> None:
        say(self._screen, lead, body, style, lead_style)
