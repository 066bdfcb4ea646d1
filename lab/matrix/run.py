"""Do the cells: what fits starts, what ends is told, until all are done or somebody interrupts."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lab import boxes, images, platforms
from lab.deadline import Deadline, wait_for
from lab.errors import EXIT_INTERRUPTED, LabError
from lab.matrix import outcome as outcomes
from lab.matrix import schedule
from lab.matrix.cells import VIRTUAL, Cell
from lab.matrix.outcome import Ending, Outcome
from lab.matrix.schedule import Room
from lab.matrix.work import LAB, Work

LOOK = 10.0  # seconds until the machine is looked at again, for room that others left
MOMENT = 0.3  # seconds between two looks at a terminal's rows, and at Ctrl-C
OTHERS = 3600.0  # seconds that other labs are waited for where they leave no room for any cell


class Screen(Protocol):
    """Who is told how it goes."""

    def say(self, text: str) -> None:
        """Something beside the cells."""

    def started(self, cell: Cell) -> None:
        """A cell begins."""

    def ended(self, outcome: Outcome) -> None:
        """A cell has ended."""

    def show(self, running: Sequence[Work], waiting: int) -> None:
        """What goes on; called many times a second."""


def run(
    cells: Sequence[Cell],
    output: Path,
    screen: Screen,
    *,
    jobs: int = 0,
    keep: bool = False,
    lab: Sequence[str] = LAB,
) -> tuple[list[Outcome], int]:
    """Every cell's outcome, in the order of `cells`, and the exit status.

    Ctrl-C ends what runs, removes its labs, and is no exception; a second one is.
    """
    outcomes.prepare(output)
    crew = _Crew(schedule.with_known_durations(cells), output, screen, jobs, keep, lab)
    try:  # not by `_interruptions`: nothing here would look whether one came, maybe for hours
        crew.give_up(_without_images(cells, screen))
    except KeyboardInterrupt:
        crew.interrupt()
    with _interruptions() as interrupted:
        while crew.works or crew.waiting:
            if interrupted and not crew.interrupted:
                crew.interrupt()
            crew.start()
            screen.show(crew.works, len(crew.waiting))
            crew.await_end()
    found = [crew.done[cell.lab] for cell in cells]
    if crew.interrupted:
        return found, EXIT_INTERRUPTED
    return found, 0 if all(one.verdict == "passed" for one in found) else 1


class _Crew:
    """The cells that wait, those at work, and the outcomes of those that are done."""

    def __init__(
        self,
        cells: Sequence[Cell],
        output: Path,
        screen: Screen,
        jobs: int,
        keep: bool,
        lab: Sequence[str],
    ) -> None:
        self.waiting = list(cells)
        self.works: list[Work] = []
        self.done: dict[str, Outcome] = {}
        self.interrupted = False
        self._output = output
        self._screen = screen
        self._jobs = jobs
        self._keep = keep
        self._lab = lab
        self._memory = schedule.free_memory()
        self._look = Deadline(0)  # when it is over the machine is looked at again
        self._others = Deadline(OTHERS)
        self._crowded = False
        self._blind = False  # the last look failed

    def give_up(self, problems: dict[tuple[str, str], str]) -> None:
        """Do nothing of the cells whose platform has a problem, with their provider."""
        for cell in list(self.waiting):
            if problem := problems.get((cell.platform, cell.provider)):
                self._without_a_run(cell, "error", problem)

    def interrupt(self) -> None:
        """Nothing more starts; what runs ends, and its labs go."""
        self.interrupted = True
        what = "labs are being removed; once more leaves them" if self.works else "no cell began"
        self._screen.say(f"interrupted: {what}")
        for work in self.works:
            work.interrupt()
        for cell in list(self.waiting):
            self._without_a_run(cell, "not run", "")

    def start(self) -> None:
        """Start what the machine has room for."""
        if not self.waiting or not self._look.over:
            return
        self._look = Deadline(LOOK)
        running = [work.cell for work in self.works]
        room = self._room(running)
        if self._others.over:
            room = replace(room, others=0, taken=0)
        starting = schedule.starts(self.waiting, running, room, self._jobs)
        crowded = not (running or starting)
        if crowded and not (self._crowded or self._blind):
            self._screen.say("waiting: other labs leave no room")
        self._crowded = crowded and not self._blind
        if not crowded:
            self._others = Deadline(OTHERS)
        for cell in starting:
            self.waiting.remove(cell)
            self._screen.started(cell)
            log = self._output / "logs" / f"{cell.lab}.log"
            self.works.append(Work(cell, log, keep=self._keep, lab=self._lab))

    def _room(self, running: Sequence[Cell]) -> Room:
        """The room that there is; where nobody can tell, all of it is taken for others'."""
        if not running:  # an other's lab that was there at first may have gone
            self._memory = max(self._memory, schedule.free_memory())
        try:
            room = schedule.look(running, self._memory)
        except LabError as error:
            if not self._blind:
                self._screen.say(f"waiting: {error.message}")
            self._blind = True
            return Room(machines=0, memory=0, cores=0.0, others=sys.maxsize, taken=sys.maxsize)
        self._blind = False
        return room

    def await_end(self) -> None:
        """Wait a moment for cells to end, and keep their outcomes."""
        for work in wait_for(self._ended, bool, Deadline(MOMENT)):
            self.works.remove(work)
            self._keep_outcome(outcomes.of(work, self._output))
            self._look = Deadline(0)

    def _ended(self) -> list[Work]:
        return [work for work in self.works if work.done()]

    def _without_a_run(self, cell: Cell, verdict: Ending, problem: str) -> None:
        self.waiting.remove(cell)
        self._keep_outcome(outcomes.without_a_run(cell, verdict, problem, self._output))

    def _keep_outcome(self, outcome: Outcome) -> None:
        self.done[outcome.cell.lab] = outcome
        if outcome.verdict != "not run":
            self._screen.ended(outcome)


def _without_images(cells: Sequence[Cell], screen: Screen) -> dict[tuple[str, str], str]:
    """Build each platform's images, and the box of them where machines are virtual; why those
    cannot be built that cannot, by platform and provider.
    """
    problems = {}
    for name, provider in dict.fromkeys((cell.platform, cell.provider) for cell in cells):
        try:
            found = images.ensure(platforms.load(name), screen.say)
            if provider == VIRTUAL:
                with images.in_use():
                    boxes.ensure(found)
        except LabError as error:
            problems[name, provider] = error.message
    return problems


@contextmanager
def _interruptions() -> Iterator[list[float]]:
    """When Ctrl-C (or SIGTERM) came; the first is only noted, so that nothing is torn in two."""
    noted: list[float] = []

    def note(_number: int, _frame: object) -> None:
        noted.append(time.monotonic())
        if len(noted) > 1:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in numbers]
    try:
        yield noted
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
