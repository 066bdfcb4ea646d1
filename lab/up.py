"""Bring a scenario up: the lab, its machines, the sections that are not done yet, the results."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import faults, lifecycle, owner, paths, platforms, providers
from lab import plan as plans
from lab import scenario as scenarios
from lab.auditor import Auditor
from lab.errors import BadInput, CannotRun
from lab.events import Listener, Progress, RunStarted, Verdict
from lab.fields import NAME
from lab.fleet import named
from lab.lab import Lab
from lab.labs import held
from lab.plan import PlannedStep
from lab.providers.choice import Choice, choice
from lab.record import names as lab_names
from lab.report.junit import JUnit
from lab.report.results import Results
from lab.report.transcript import Transcript
from lab.runner import Runner
from lab.wording import counted


@dataclass(frozen=True)
class Wish:
    """What the caller asked for. An empty name or platform or provider means the default.

    So does the provider `auto`, see `lab.providers.choice`; a lab that is there keeps its own.
    """

    scenario: str
    name: str = ""
    platform: str = ""
    provider: str = ""
    until: str = ""
    keep_going: bool = False
    remotes: int | None = None  # machines of the fleet; None: as the scenario, or the lab, has it


@dataclass(frozen=True)
class Outcome:
    """How it ended; `results` is the run's folder, `left` the sections still to do."""

    verdict: Verdict
    name: str
    results: Path
    left: tuple[str, ...]


def up(wish: Wish, listener: Listener) -> Outcome:
    """Do what is not done yet of the wished scenario. See README for what is written where."""
    with opened(wish, listener) as run:
        steps = run.remaining(wish.until)
        verdict = run.runner.run(steps, keep_going=wish.keep_going)
    left = tuple(s.section for s in run.plan if s.section not in run.lab.record.done)
    return Outcome(verdict, run.lab.name, run.results, left)


@dataclass(frozen=True)
class Run:
    """A lab that is up, and a runner for it that reports to everybody who should know."""

    lab: Lab
    plan: list[PlannedStep]
    runner: Runner
    results: Path

    def step(self, section: str) -> PlannedStep:
        """The section of that number as it is done on this lab."""
        return next(step for step in self.plan if step.section == section)

    def remaining(self, until: str = "") -> list[PlannedStep]:
        """The sections not done yet, up to and including `until`."""
        steps = self.plan
        if until:
            steps = steps[: [s.section for s in steps].index(until) + 1]
        return [step for step in steps if step.section not in self.lab.record.done]


@contextmanager
def opened(wish: Wish, listener: Listener) -> Iterator[Run]:
    """The wished lab with its machines up, held against other processes for the block."""
    path = scenarios.find(wish.scenario)
    scenario = scenarios.load(path, wish.remotes)
    platform = platforms.load(wish.platform or platforms.DEFAULT)
    plan = plans.plan(scenario, platform)
    sections = [step.section for step in plan]
    if wish.until and wish.until not in sections:
        raise BadInput(
            f"{path.stem} has no section {wish.until!r}; sections: {', '.join(sections)}"
        )
    providers.check(wish.provider or providers.AUTO)
    name = wish.name or path.stem
    _check_name(name)
    with held(name), ExitStack() as stack:
        chosen = Choice("")
        owner.require_own(name)
        if name in lab_names():
            lab = _there(name, path, wish)
            owner.claim(name)  # this machine may have been rebooted since
        else:
            chosen = choice(wish.provider, scenario, platform)
            lab = _new(name, path, wish, chosen.provider)
        stack.callback(lab.close)
        if lab.platform != platform or lab.scenario != scenario:  # it is there, and not as asked
            plan = plans.plan(lab.scenario, lab.platform)
        results = _results_folder(name, path.stem)
        listeners: list[Listener] = [
            listener,
            stack.enter_context(Transcript(results / "transcript.txt")),
            stack.enter_context(Results(results / "results.jsonl")),
            stack.enter_context(JUnit(results / "junit.xml")),
        ]

        runner = Runner(lab, listeners, str(results))
        run = Run(lab, plan, runner, results)
        remaining = tuple(step.section for step in run.remaining(wish.until))
        runner.report(
            RunStarted(
                lab=name,
                scenario=path.stem,
                title=f"{scenario.chapter}  {scenario.title}",
                platform=lab.platform.name,
                provider=lab.provider.name,
                sections=remaining,
            )
        )
        if (standing := faults.standing(lab)) and remaining:
            raise CannotRun(
                f"a section would be judged with this standing: {standing[0].text}",
                hint=f"lab fault heal --name {name}",
            )

        def tell(text: str) -> None:
            runner.report(Progress(text=text))

        if chosen.why:
            tell(f"provider {chosen.provider}: {chosen.why}")
        _bring_up(lab, tell)
        runner.auditor = Auditor(lab)  # it looks at the machines at once
        if hearing := lifecycle.of(lab):
            runner.observer.lifecycle = hearing
            stack.callback(hearing.close)
        runner.look()
        if lab.record.done:
            tell(f"sections done earlier: {', '.join(lab.record.done)}")
        yield run


def _bring_up(lab: Lab, tell: Callable[[str], None]) -> None:
    """Every machine of the lab; those that were left standing go on first."""
    if lab.provider.name != "vagrant":
        lab.up(tell)
        return
    from lab import snapshots  # they need libvirt's library

    if stood := snapshots.go_on(lab):
        tell(f"left standing, now going on: {named(stood)}")
    lab.up(tell)
    snapshots.set_clocks(lab, stood)


def _new(name: str, path: Path, wish: Wish, provider: str) -> Lab:
    """A lab that there was not, on disk only."""
    if any(name in one.labs() for one in providers.every()):
        raise CannotRun(
            f"machines of a lab {name} are there, but not its folder in {paths.labs()}",
            hint=f"lab down {name} removes them; another --name leaves them alone",
        )
    platform = wish.platform or platforms.DEFAULT
    return Lab.create(name, path, platform, provider, wish.remotes)


def _there(name: str, path: Path, wish: Wish) -> Lab:
    """The lab of that name as it is, if it is one of this scenario."""
    lab = Lab.open(name)
    there = lab.record
    provider = "" if wish.provider == providers.AUTO else wish.provider
    for what, asked, real in (
        ("scenario", path.stem, Path(there.scenario).stem),
        ("platform", wish.platform or there.platform, there.platform),
        ("provider", provider or there.provider, there.provider),
    ):
        if asked != real:
            raise BadInput(
                f"a lab {name!r} is there already, with {what} {real}, not {asked}",
                hint=f"give the new one another --name, or remove that one: lab down {name}",
            )
    if wish.remotes is not None and (fleet := lab.scenario.fleet) and fleet.count != wish.remotes:
        raise BadInput(
            f"a lab {name!r} is there already, with {counted(fleet.count, 'remote')}, not "
            f"{wish.remotes}",
            hint=f"give the new one another --name, or remove that one: lab down {name}",
        )
    if there.scenario != str(path.resolve()):
        lab.record.scenario = str(path.resolve())
        lab.save()
    machines = lab.provider.running(name)
    gone = [node for node in lab.scenario.nodes if node not in machines]
    if gone and there.done:
        raise CannotRun(
            f"lab {name} had done {counted(len(there.done), 'section')}, but its machine "
            f"{', '.join(gone)} is gone",
            hint=f"start over: lab down {name}, then lab up",
        )
    return lab


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        raise BadInput(
            f"{name!r} cannot name a lab: use small letters, digits and hyphens, 42 at most",
            hint="give it another name: --name NAME",
        )


def _results_folder(name: str, scenario: str) -> Path:
    """A new folder for this run, and `latest` beside it pointing to it."""
    top = paths.results() / name
    folder = paths.stamped(top, scenario)
    folder.mkdir(parents=True)
    draft = top / f".latest-{os.getpid()}"
    draft.unlink(missing_ok=True)
    draft.symlink_to(folder.name)
    draft.replace(top / "latest")
    return folder
