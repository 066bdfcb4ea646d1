"""Run a plan: type the commands, do the actions, await what is expected, say what happened.

The runner makes events and leaves to the listeners what becomes of them. A section ends at
its first failure: what comes after it would be judged on a state that nobody described.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from lab import evidence
from lab.checks import Seen
from lab.context import Context
from lab.deadline import Deadline, wait_for
from lab.errors import CommandFailed, LabError
from lab.events import (
    Acted,
    Checked,
    ClusterChanged,
    CommandEnded,
    CommandStarted,
    Event,
    EvidenceCollected,
    Listener,
    Progress,
    RunEnded,
    StepEnded,
    StepStarted,
    Verdict,
    Waiting,
)
from lab.lab import Lab
from lab.machine import Result
from lab.scenario import PlannedCommand, PlannedPart, PlannedStep, Use
from lab.status import ClusterStatus

COMMAND = 300.0  # seconds that a command may take; installing QEMU is the longest


class Stop(Exception):
    """Ends a section. `verdict` and the reason are the section's."""

    def __init__(self, verdict: Verdict, problem: str) -> None:
        super().__init__(problem)
        self.verdict = verdict
        self.problem = problem


@dataclass
class Runner:
    """Runs sections of one lab, one after the other."""

    lab: Lab
    listeners: list[Listener]
    evidence_folder: str = ""
    _last: ClusterStatus = field(default_factory=ClusterStatus)
    _section: str = ""
    _cluster_seconds: float = 0.0

    def run(self, steps: Iterable[PlannedStep], *, keep_going: bool = False) -> Verdict:
        """Every step; after a failure the rest is skipped, unless told to keep going."""
        started = time.monotonic()
        worst: Verdict = "passed"
        failed = ""
        for step in steps:
            if failed and not keep_going:
                self.skip(step, f"section {failed} failed")
                continue
            verdict = self.step(step).verdict
            if verdict != "passed":
                failed = failed or step.section
                worst = "error" if "error" in (worst, verdict) else "failed"
        self._emit(RunEnded(verdict=worst, seconds=time.monotonic() - started))
        return worst

    def skip(self, step: PlannedStep, why: str) -> None:
        """Say that a step is not run, and why."""
        self._emit(
            StepEnded(section=step.section, title=step.title, verdict="skipped", problem=why)
        )

    def step(self, step: PlannedStep) -> StepEnded:
        """Run one section; its verdict. A section that passes is written down as done."""
        self._section, self._cluster_seconds = step.section, 0.0
        self._emit(StepStarted(section=step.section, title=step.title))
        started = time.monotonic()
        verdict: Verdict = "passed"
        problem = ""
        try:
            for part in step.parts:
                self._part(part)
        except Stop as stop:
            verdict, problem = stop.verdict, stop.problem
        except LabError as error:
            verdict, problem = "failed", error.message
        except Exception as error:  # noqa: BLE001  # a defect of ours is no verdict on the book
            verdict, problem = "error", _crash(error)
        if verdict == "passed":
            self.lab.record.done.append(step.section)
            self.lab.save()
        elif self.evidence_folder:
            self._collect(step.section)
        ended = StepEnded(
            section=step.section,
            title=step.title,
            verdict=verdict,
            cluster=self._cluster_seconds,
            harness=max(0.0, time.monotonic() - started - self._cluster_seconds),
            verbatim=step.verbatim,
            adapted=step.adapted,
            added=step.added,
            problem=problem,
        )
        self._emit(ended)
        return ended

    def _collect(self, section: str) -> None:
        try:
            folder = evidence.collect(self.lab, self.evidence_folder, section)
        except (LabError, OSError) as error:  # what failed is still to be told
            self._emit(Progress(text=f"the evidence of {section} is not complete: {error}"))
        else:
            self._emit(EvidenceCollected(section=section, folder=str(folder)))

    def _part(self, part: PlannedPart) -> None:
        context = Context(self.lab, self._notice)
        deadline = Deadline(part.within)
        for use in part.before:
            self._check(use, context, {}, deadline, phase="before")
        memory = {
            number: use.word.remember(context, **use.arguments)
            for number, use in enumerate(part.expect)
            if use.word.remember
        }
        for command in part.commands:
            self._command(command, context)
        for use in part.acts:
            self._act(use, context)
        deadline = Deadline(part.within)
        for number, use in enumerate(part.expect):
            remembered = {"before": memory[number]} if number in memory else {}
            self._check(use, context, remembered, deadline, phase="expect")

    def _command(self, command: PlannedCommand, context: Context) -> None:
        self._emit(
            CommandStarted(
                section=self._section,
                node=command.node,
                text=command.text,
                adapted=command.adapted,
                book=command.book,
                why=command.why,
                omitted=command.omitted,
                secret=command.secret,
            )
        )
        if command.omitted:
            context.keep(Result("", 0, "", "", 0.0), command.book, adapted=True)
            return
        stdin = self.lab.access.secret(command.secret) + "\n" if command.secret else None
        started = time.monotonic()
        code: int | None = None
        problem = output = ""
        try:
            done = self.lab.machine(command.node).run(command.text, within=COMMAND, stdin=stdin)
            context.keep(done, command.book, adapted=command.adapted)
            code, output = done.exit, done.output
        except CommandFailed as error:
            problem, output = error.message, error.output
        seconds = time.monotonic() - started
        self._cluster_seconds += seconds
        ended = CommandEnded(
            section=self._section,
            node=command.node,
            text=command.text,
            exit=code,
            expected=command.exit,
            output=output,
            seconds=seconds,
            problem=problem,
        )
        self._emit(ended)
        if problem:
            raise Stop("failed", problem)
        if not ended.ok:
            wanted = " or ".join(map(str, command.exit))
            raise Stop(
                "failed",
                f"on {command.node}, `{command.text}` ended with exit status {code}, not {wanted}",
            )

    def _act(self, use: Use, context: Context) -> None:
        started = time.monotonic()
        results = len(context.done)
        problem = output = ""
        try:
            text = use.word.function(context, **use.arguments)
            output = "".join(done.output for done in context.done[results:])
        except LabError as error:
            text, problem = use.text, error.message
            output = getattr(error, "output", "")
        seconds = time.monotonic() - started
        self._cluster_seconds += seconds
        self._emit(
            Acted(section=self._section, text=text, seconds=seconds, output=output, problem=problem)
        )
        if problem:
            raise Stop("failed", f"{use.text}: {problem}")

    def _check(
        self,
        use: Use,
        context: Context,
        remembered: dict[str, object],
        deadline: Deadline,
        *,
        phase: str,
    ) -> None:
        """Look until it is true. A machine that cannot be reached is not true yet."""
        started = time.monotonic()
        looks = 0

        def look() -> Seen:
            nonlocal looks
            looks += 1
            try:
                seen: Seen = use.word.function(context, **use.arguments, **remembered)
            except (LabError, OSError) as error:
                message = error.message if isinstance(error, LabError) else str(error)
                return Seen(False, message)
            return seen

        def waiting(seen: Seen, left: float) -> None:
            self._glance()
            self._emit(Waiting(section=self._section, what=use.text, seen=seen.text, left=left))

        verdict: Verdict
        try:
            seen = wait_for(look, lambda seen: seen.ok, deadline, waiting)
            verdict = "passed" if seen.ok else "failed"
        except Exception as error:  # noqa: BLE001  # a check that crashes is an error, not a pass
            seen, verdict = Seen(False, _crash(error)), "error"
        # What is true at the first look cost the cluster nothing: that look is the harness's.
        waited = time.monotonic() - started if looks > 1 else 0.0
        if phase == "expect":
            self._cluster_seconds += waited
        self._emit(
            Checked(
                section=self._section,
                what=use.text,
                seen=seen.text,
                verdict=verdict,
                waited=waited,
                phase="before" if phase == "before" else "expect",
                hint=seen.hint,
            )
        )
        if verdict != "passed":
            when = "" if phase == "expect" else " beforehand"
            late = f"{when} within {deadline.seconds:.0f} s"
            raise Stop(verdict, f"expected{late}: {use.text}; seen: {seen.text}")

    def _glance(self) -> None:
        """Look at the cluster beside what is awaited, so that its changes are all on record."""
        if self._last.nodes:
            with suppress(LabError):
                self._notice(self.lab.status())

    def _notice(self, status: ClusterStatus) -> None:
        changes = status.changes_since(self._last)
        self._last = status
        if changes:
            self._emit(ClusterChanged(section=self._section, changes=tuple(changes)))

    def _emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)


def _crash(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
