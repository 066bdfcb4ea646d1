"""Run a plan: type the commands, do the actions, inject faults, await what is expected, audit.

The runner makes events and leaves to the listeners what becomes of them. A section ends at
its first failure: what comes after it would be judged on a state that nobody described.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from lab import evidence, faults
from lab.context import Context
from lab.deadline import Deadline
from lab.errors import LabError
from lab.events import (
    Acted,
    EvidenceCollected,
    FaultHealed,
    FaultInjected,
    Listener,
    Progress,
    Recovered,
    RunEnded,
    StepEnded,
    StepStarted,
    Verdict,
)
from lab.faults import NotHealed, Standing
from lab.judge import Judge, crash
from lab.lab import Lab
from lab.observer import Observer
from lab.plan import PlannedCommand, PlannedPart, PlannedStep, Use, key
from lab.reporter import Reporter
from lab.typist import Stop, Typist

if TYPE_CHECKING:
    from lab.auditor import Auditor


class Runner:
    """Runs sections of one lab, one after the other.

    `evidence_folder`: where the evidence of a failure goes, '' for none. `auditor`: audits
    after each section; None for none.
    """

    def __init__(
        self,
        lab: Lab,
        listeners: list[Listener],
        evidence_folder: str = "",
        auditor: Auditor | None = None,
    ) -> None:
        self.lab = lab
        self.evidence_folder = evidence_folder
        self.report = Reporter(listeners, hide=lab.access.without_secrets)
        self._typist = Typist(lab, self.report)
        self._judge = Judge(self.report)
        self.observer = Observer(lab, self.report)
        self.auditor = auditor

    def look(self) -> None:
        """Look at the cluster, if there is one: a lab that is carried on with may have one."""
        with suppress(LabError):
            self.observer.status()

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
        self.report(RunEnded(verdict=worst, seconds=time.monotonic() - started))
        return worst

    def skip(self, step: PlannedStep, why: str) -> None:
        """Say that a step is not run, and why."""
        self.report(
            StepEnded(
                section=step.section,
                title=step.title,
                verdict="skipped",
                problem=why,
                origin=step.origin,
            )
        )

    def step(self, step: PlannedStep) -> StepEnded:
        """Run one section; its verdict. A section that passes is written down as done."""
        self.report.begin(step.section)
        self.report(StepStarted(section=step.section, title=step.title, origin=step.origin))
        started = time.monotonic()
        verdict: Verdict = "passed"
        problem = ""
        self.observer.ended.clear()
        try:
            for part in step.parts:
                self._part(part)
            self._audit(step)
        except Stop as stop:
            verdict, problem = stop.verdict, stop.problem
        except LabError as error:
            verdict, problem = "failed", error.message
        except Exception as error:  # noqa: BLE001  # a defect of ours is no verdict on the book
            verdict, problem = "error", crash(error)
        self.observer.hear()
        if verdict != "passed":
            # What is awaited in vain seldom says why: the machine ended, or the cluster gave up.
            failed = (f"failed action: {one.told}" for one in self.observer.last.failed)
            besides = [one for one in (*self.observer.ended, *failed) if one not in problem]
            if besides:
                problem += f" ({'; '.join(dict.fromkeys(besides))})"
        if verdict == "passed":
            self.lab.record.done.append(step.section)
            self.lab.save()
        elif self.evidence_folder:
            self._collect(step.section)
        spent = self.report.cluster_seconds
        ended = StepEnded(
            section=step.section,
            title=step.title,
            verdict=verdict,
            cluster=spent,
            harness=max(0.0, time.monotonic() - started - spent),
            verbatim=step.verbatim,
            adapted=step.adapted,
            added=step.added,
            problem=problem,
            origin=step.origin,
            plan=key(step, self.lab.platform),
        )
        self.report(ended)
        return ended

    def _collect(self, section: str) -> None:
        try:
            folder = evidence.collect(self.lab, self.evidence_folder, section)
        except (LabError, OSError) as error:  # what failed is still to be told
            self.report(Progress(text=f"the evidence of {section} is not complete: {error}"))
        else:
            self.report(EvidenceCollected(section=section, folder=str(folder)))

    def _audit(self, step: PlannedStep) -> None:
        if self.auditor is None:
            return
        expects_cluster = bool(self.observer.last.nodes)
        found = self.auditor.audit(step.section, step.announce, expects_cluster=expects_cluster)
        for event in found:
            self.report(event)
        for event in found:
            if event.verdict != "passed":
                raise Stop(event.verdict, f"audit {event.audit}: {event.seen}")

    def _part(self, part: PlannedPart) -> None:
        context = Context(self.lab, self.observer)
        within = part.within * self.lab.provider.pace()
        deadline = Deadline(within)
        for use in part.before:
            self._judge.check(use, context, {}, deadline, phase="before")
        memory = {
            id(use): use.word.remember(context, **use.arguments)
            for use in (*part.expect, *part.healed)
            if use.word.remember
        }
        with self.observer.watching(), self._recovery(part) as done:
            for command in part.commands:
                self._typist.type(command, context)
                done.append(command)
            for use in part.acts:
                self._act(use, context)
                done.append(use)
            with ExitStack() as standing:
                if part.faults:
                    self.observer.begin_history()
                for use in part.faults:
                    standing.enter_context(self._fault(use))
                    done.append(use)
                self._await(part.expect, context, memory, within)
            self._await(part.healed, context, memory, within)

    def _await(
        self, uses: tuple[Use, ...], context: Context, memory: dict[int, object], within: float
    ) -> None:
        deadline = Deadline(within)
        for use in uses:
            remembered = {"before": memory[id(use)]} if id(use) in memory else {}
            self._judge.check(use, context, remembered, deadline, phase="expect")

    @contextmanager
    def _recovery(self, part: PlannedPart) -> Iterator[list[PlannedCommand | Use]]:
        """Keep the history of what the part breaks, and tell its time line at the end.

        A part breaks something if it has faults, or if it asks for the time line: then it is
        its commands that do. What of these is done goes into the list: of what a part that is cut
        short did not come to, nothing has to recover.
        """
        done: list[PlannedCommand | Use] = []
        uses = (*part.expect, *part.healed)
        if not part.faults and not any(use.word.name == "recovery" for use in uses):
            yield done
            return
        self.observer.begin_history()
        try:
            yield done
        finally:
            history = self.observer.end_history()
            assert history is not None
            breaks = part.faults or part.commands or part.acts
            if broken := [one.text for one in breaks if one in done]:
                self.report(
                    Recovered(
                        section=self.report.section,
                        text=", ".join(broken),
                        began=history.began,
                        phases=history.phases(),
                    )
                )

    @contextmanager
    def _fault(self, use: Use) -> Iterator[None]:
        """The fault stands while the block runs. One that is not healed fails the section."""
        one = faults.inject(self.lab, use.word.name, use.arguments)
        try:
            section = self.report.section
            self.report(FaultInjected(section=section, number=one.number, text=one.text))
            yield
        except BaseException:
            # Whatever ended the section is the section's problem; the fault is healed beside it.
            self._heal(one)
            raise
        if problem := self._heal(one):
            raise Stop("failed", problem)

    def _heal(self, one: Standing) -> str:
        started = time.monotonic()
        problem = ""
        try:
            faults.heal(self.lab, one)
        except NotHealed as error:
            problem = error.message
        self.report(
            FaultHealed(
                section=self.report.section,
                number=one.number,
                text=one.text,
                seconds=time.monotonic() - started,
                problem=problem,
            )
        )
        return problem

    def _act(self, use: Use, context: Context) -> None:
        started = time.monotonic()
        results = len(context.done)
        problem = output = ""
        try:
            text = use.word.function(context, **use.arguments)
            output = "".join(r.output for done in context.done[results:] for r in done)
        except LabError as error:
            text, problem = use.text, error.message
            output = getattr(error, "output", "")
        seconds = time.monotonic() - started
        self.report.cluster_seconds += seconds
        self.report(
            Acted(
                section=self.report.section,
                text=text,
                seconds=seconds,
                output=output,
                problem=problem,
            )
        )
        if problem:
            raise Stop("failed", f"{use.text}: {problem}")
