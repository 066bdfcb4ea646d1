"""How a matrix goes, on a terminal or in a log, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console as Screen
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab.matrix.cells import Cell, LeftOut
from lab.matrix.outcome import Ending, Outcome
from lab.matrix.work import Work
from lab.report import Report
from lab.report.screen import Lasting, is_terminal, say
from lab.report.text import duration, one_line
from lab.wording import counted

WORDS: dict[Ending, str] = {
    "passed": "PASS",
    "failed": "FAIL",
    "error": "ERROR",
    "interrupted": "CUT",
    "not run": "-",
}
STYLES: dict[Ending, str] = {
    "passed": "bold green",
    "failed": "bold red",
    "error": "bold magenta",
    "interrupted": "yellow",
    "not run": "dim",
}
_WIDE = 1000  # columns of a log: nothing there needs to be folded
_REFRESH = 1.0  # seconds


class Matrix(Report):
    """Says when a cell starts and ends; on a terminal, rows at the bottom show what runs."""

    def __init__(self, screen: Screen | None = None) -> None:
        self._screen = screen or Lasting()
        self._live: Live | None = None
        self._shown = 0.0

    def say(self, text: str) -> None:
        """Something beside the cells."""
        say(self._screen, "", one_line(text), "dim")

    def started(self, cell: Cell) -> None:
        """A cell begins."""
        said = f"{cell.text}, lab {cell.lab}, {counted(cell.sections, 'section')}"
        say(self._screen, "start  ", f"{said}, about {duration(cell.seconds)}")

    def ended(self, outcome: Outcome) -> None:
        """A cell has ended."""
        cell = outcome.cell
        lead = f"{WORDS[outcome.verdict]:<5}  "
        said = f"{cell.text}, {_passed(outcome)} sections, {duration(outcome.seconds)}"
        if outcome.problem:
            said += f": {one_line(outcome.problem)}"
        say(self._screen, lead, said, lead_style=STYLES[outcome.verdict])

    def show(self, running: Sequence[Work], waiting: int) -> None:
        """What goes on, where lines can be taken back."""
        if not is_terminal(self._screen) or time.monotonic() < self._shown + _REFRESH:
            return
        self._shown = time.monotonic()
        rows = _rows(running, waiting)
        if self._live:
            self._live.update(rows)
        else:
            self._live = Live(rows, console=self._screen, transient=True, refresh_per_second=2)
            self._live.start()

    def close(self) -> None:
        """Take the live rows away. May be called more than once."""
        live, self._live = self._live, None
        if live:
            live.stop()

    def print(
        self, outcomes: Sequence[Outcome], left_out: Sequence[LeftOut], seconds: float, output: str
    ) -> None:
        """The table, the failures, what was left out, the total."""
        self.close()
        if outcomes:
            self._screen.print()
            if is_terminal(self._screen):
                self._screen.print(_table(outcomes))
            else:
                self._screen.print(_table(outcomes), width=_WIDE, crop=False)
        for outcome in outcomes:
            if outcome.verdict not in ("passed", "not run"):
                self._failure(outcome)
        if left_out:
            self._screen.print()
        for one in left_out:
            say(self._screen, "left out  ", f"{one.scenario} ({one.provider}): {one.why}", "dim")
        verdicts = [outcome.verdict for outcome in outcomes]
        counts = [
            f"{verdicts.count(verdict)} {verdict}" for verdict in WORDS if verdict in verdicts
        ]
        self._screen.print()
        said = f"{', '.join(counts) or 'no cell'}, in {duration(seconds)}"
        spent = sum(outcome.seconds for outcome in outcomes)
        if verdicts.count("passed") + verdicts.count("failed") > 1:
            said += f"; one after the other about {duration(spent)}"
        say(self._screen, "", said, "bold")
        self._line("logs, JUnit, reports: ", output)

    def _failure(self, outcome: Outcome) -> None:
        self._screen.print()
        where = f", section {outcome.section}" if outcome.section else ""
        lead = f"{WORDS[outcome.verdict]}  "
        style = STYLES[outcome.verdict]
        say(self._screen, lead, f"{outcome.cell.text}{where}", lead_style=style)
        if outcome.problem:
            say(self._screen, "  problem:  ", one_line(outcome.problem), lead_style="dim")
        if outcome.evidence:
            self._line("  evidence: ", outcome.evidence)
        if outcome.log:
            self._line("  log:      ", outcome.log)
        if outcome.left:
            name = outcome.cell.lab
            self._line("  lab:      ", f"{name} is there still: lab down {name} removes it")

    def _line(self, lead: str, text: str) -> None:
        """Soft-wrapped: what the reader copies must not be broken into pieces."""
        said = Text(lead, style="dim").append(text, style="default not dim")
        self._screen.print(said, soft_wrap=True)


def _passed(outcome: Outcome) -> str:
    return f"{outcome.passed} of {outcome.cell.sections}"


def _table(outcomes: Sequence[Outcome]) -> Table:
    """Scenarios down, platforms across."""
    across = list(dict.fromkeys(outcome.cell.platform for outcome in outcomes))
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("scenario", overflow="fold")
    for platform in across:
        table.add_column(platform, overflow="fold")
    found = {(one.cell.scenario, one.cell.platform): one for one in outcomes}
    for scenario in dict.fromkeys(one.cell.scenario for one in outcomes):
        row = [found.get((scenario, platform)) for platform in across]
        table.add_row(Text(scenario), *(_told(one) for one in row))
    return table


def _told(outcome: Outcome | None) -> Text:
    if outcome is None:
        return Text("")
    text = Text(WORDS[outcome.verdict], style=STYLES[outcome.verdict])
    if outcome.verdict == "not run":
        return text
    took = f"  {duration(outcome.seconds)}  {outcome.passed}/{outcome.cell.sections}"
    return text.append(took, style="default not bold")


def _rows(running: Sequence[Work], waiting: int) -> Table:
    table = Table.grid(padding=(0, 2))
    for work in running:
        ended, section = work.progress()
        table.add_row(
            Text(work.cell.text, "cyan"),
            Text(f"{ended} of {work.cell.sections}", "dim"),
            Text(section),
            Text(duration(time.monotonic() - work.began), "dim"),
        )
    if waiting:
        table.add_row(Text(f"{waiting} waiting", "dim"))
    return table
