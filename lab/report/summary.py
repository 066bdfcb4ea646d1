"""The end of a run on one screen: a row for each section, and the first failure in full."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console as Screen
from rich.table import Table
from rich.text import Text

from lab.events import (
    Event,
    EvidenceCollected,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    Verdict,
)
from lab.report.screen import say
from lab.report.text import WORDS, Failure, duration, failure_in, lines_of, one_line
from lab.wording import counted

STYLES: dict[Verdict, str] = {
    "passed": "bold green",
    "failed": "bold red",
    "error": "bold magenta",
    "skipped": "yellow",
}


class Summary:
    """A listener that gathers, and prints itself when it is asked to."""

    def __init__(self) -> None:
        self._name = ""
        self._titles: dict[str, str] = {}  # in the order of the run
        self._ended: dict[str, StepEnded] = {}
        self._failures: dict[str, Failure] = {}
        self._evidence: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Keep what the summary needs of one event."""
        match event:
            case RunStarted():
                self._name = f"{event.scenario} on {event.platform}"
                self._titles.update(dict.fromkeys(event.sections, ""))
            case StepStarted():
                self._titles[event.section] = event.title
            case StepEnded():
                self._titles[event.section] = event.title
                self._ended[event.section] = event
            case EvidenceCollected():
                self._evidence.setdefault(event.section, event.folder)
        failure = failure_in(event)
        if failure and hasattr(event, "section"):
            self._failures.setdefault(event.section, failure)

    def print(self, screen: Screen, end: RunEnded) -> None:
        """Print the table, the total and what failed first."""
        screen.print()
        screen.print(self._table())
        screen.print()
        self._print_total(screen, end)
        bad = next((e for e in self._ended.values() if e.verdict in ("failed", "error")), None)
        if bad:
            self._print_failure(screen, bad)

    def _table(self) -> Table:
        table = Table(
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            collapse_padding=True,
            show_footer=True,
        )
        ended = self._ended.values()
        typed = " / ".join(str(sum(counts)) for counts in zip(*map(_counts, ended), strict=True))
        cluster, harness = sum(e.cluster for e in ended), sum(e.harness for e in ended)
        table.add_column("section", "total", no_wrap=True)
        table.add_column("title", counted(len(self._titles), "section"), overflow="fold")
        table.add_column("verdict", no_wrap=True)
        for header, footer in (
            ("cluster", duration(cluster)),
            ("harness", duration(harness)),
            ("verbatim /\nadapted / added", typed),
        ):
            table.add_column(header, footer, justify="right", no_wrap=True)
        for section, title in self._titles.items():
            event = self._ended.get(section)
            if event is None:
                table.add_row(Text(section), Text(one_line(title)), Text("not run", style="dim"))
                continue
            verdict = Text(WORDS[event.verdict], style=STYLES[event.verdict])
            took = (duration(event.cluster), duration(event.harness))
            counts = " / ".join(map(str, _counts(event)))
            numbers = ("", "", "") if event.verdict == "skipped" else (*took, counts)
            table.add_row(Text(section), Text(one_line(title)), verdict, *numbers)
        return table

    def _print_total(self, screen: Screen, end: RunEnded) -> None:
        verdicts = [event.verdict for event in self._ended.values()]
        counts = [f"{verdicts.count(v)} {v}" for v in WORDS if v in verdicts]
        if missing := len(self._titles) - len(self._ended):
            counts.append(f"{missing} not run")
        said = f"{self._name}: {', '.join(counts) or 'no section'}, in {duration(end.seconds)}"
        say(screen, f"{WORDS[end.verdict]}  ", said, lead_style=STYLES[end.verdict])

    def _print_failure(self, screen: Screen, bad: StepEnded) -> None:
        screen.print()
        kind = "failure" if bad.verdict == "failed" else "error"
        say(screen, f"First {kind}: ", f"{bad.section}  {one_line(bad.title)}", lead_style="bold")
        failure = self._failures.get(bad.section)
        found = [("expected", failure.expected), ("seen", failure.seen)] if failure else []
        if failure and failure.hint:
            found.append(("hint", failure.hint))
        if not failure:
            found.append(("problem", bad.problem))
        for label, text in found:
            lead = f"  {label + ':':<10}"
            for line in lines_of(text):
                say(screen, lead, line, lead_style="dim")
                lead = " " * len(lead)
        # Soft-wrapped: a path that the reader copies must not be broken into pieces.
        folder = Text("  evidence: ", style="dim").append(
            self._evidence.get(bad.section, "none collected"), style="default not dim"
        )
        screen.print(folder, soft_wrap=True)


def _counts(event: StepEnded) -> tuple[int, int, int]:
    return event.verbatim, event.adapted, event.added
