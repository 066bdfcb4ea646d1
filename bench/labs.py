"""Labs of the benchmarks: named bench-…, each held and removed again whatever happens."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.rows import Say, progress
from lab import doctor_vagrant, images, plan, platforms, providers, scenario
from lab.auditor import Auditor
from lab.errors import CannotRun, LabError
from lab.events import Event, Listener, StepEnded, StepStarted
from lab.images import Images
from lab.lab import Lab
from lab.labs import down, held
from lab.plan import PlannedStep
from lab.report.junit import JUnit
from lab.report.results import Results
from lab.report.transcript import Transcript
from lab.runner import Runner

GUESTS = "guest-walkthrough"
HOST, GUEST = "example-host", "guest1"


@contextmanager
def fresh(
    what: str,
    file: Path | None = None,
    remotes: int | None = None,
    provider: str = providers.DEFAULT,
) -> Iterator[Lab]:
    """A lab that so far is on disk only; by default of the guest walk-through."""
    name = f"bench-{what}"
    images.ensure(platforms.load(platforms.DEFAULT), progress)  # no part of what is measured
    with held(name):
        down(name)
        file = file or scenario.find(GUESTS)
        lab = Lab.create(name, file, platforms.DEFAULT, provider, remotes)
        try:
            yield lab
        finally:
            with unhurried():
                lab.close()
                down(name)


def need_vagrant() -> None:
    """CannotRun where virtual machines cannot be made here: said before anything is."""
    if lacking := doctor_vagrant.without():
        raise CannotRun(lacking, hint="run: make setup-vagrant")


def built(lab: Lab) -> Images:
    """The images that its machines are made of."""
    return images.ensure(lab.platform, progress)


@contextmanager
def unhurried() -> Iterator[None]:
    """Ctrl-C does not cut short what tidies up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def sections(lab: Lab, until: str = "") -> list[PlannedStep]:
    """The plan, up to and including a section."""
    steps = plan.plan(lab.scenario, lab.platform)
    if not until:
        return steps
    known = [step.section for step in steps]
    if until not in known:
        raise LabError(f"there is no section {until}; sections: {', '.join(known)}")
    return steps[: known.index(until) + 1]


def run(
    lab: Lab,
    steps: list[PlannedStep],
    say: Say,
    took: dict[str, float] | None = None,
    listeners: Sequence[Listener] = (),
) -> None:
    """Run sections as `lab up` does, with the reports that it writes; seconds go to `took`."""
    folder = lab.folder / "results"
    folder.mkdir(exist_ok=True)
    problems: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, StepStarted):
            say(f"lab: {event.section} {event.title}")
        elif isinstance(event, StepEnded):
            if took is not None:
                took[event.section] = event.cluster + event.harness
            if event.problem:
                problems.append(f"section {event.section}: {event.problem}")

    with ExitStack() as stack:
        everybody: list[Listener] = [
            listen,
            *listeners,
            stack.enter_context(Transcript(folder / "transcript.txt")),
            stack.enter_context(Results(folder / "results.jsonl")),
            stack.enter_context(JUnit(folder / "junit.xml")),
        ]
        Runner(lab, everybody, str(folder), Auditor(lab)).run(steps)
    if problems:
        raise LabError(problems[0])
