"""Types a section's commands: each on its nodes, on all of them at the same time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab.context import Context
from lab.deadline import COMMAND
from lab.errors import CommandFailed
from lab.events import CommandEnded, CommandStarted, Verdict
from lab.lab import Lab
from lab.machine import Result
from lab.plan import PlannedCommand
from lab.reporter import Reporter


class Stop(Exception):
    """Ends a section. `verdict` and the reason are the section's."""

    def __init__(self, verdict: Verdict, problem: str) -> None:
        super().__init__(problem)
        self.verdict = verdict
        self.problem = problem


@dataclass
class Typist:
    """Types for one lab."""

    lab: Lab
    report: Reporter

    def type(self, command: PlannedCommand, context: Context) -> None:
        """Type a command and keep its results; Stop if it ends otherwise than it should."""
        for node in command.nodes:
            self.report(
                CommandStarted(
                    section=self.report.section,
                    node=node,
                    text=command.text,
                    adapted=command.adapted,
                    book=command.book,
                    why=command.why,
                    omitted=command.omitted,
                    secret=command.secret,
                )
            )
        if command.omitted:
            nothing = Result("", 0, "", "", 0.0)
            context.keep((nothing,) * len(command.nodes), command.book, adapted=True)
            return
        stdin = self.lab.access.secret(command.secret) + "\n" if command.secret else None
        started = time.monotonic()
        first, *others = command.nodes
        pool = ThreadPoolExecutor(len(command.nodes))
        jobs = [pool.submit(self._one, command, node, stdin) for node in others]
        try:
            done = [self._one(command, first, stdin), *(job.result() for job in jobs)]
        finally:
            pool.shutdown(wait=False)  # who interrupts does not wait for the others' commands
        self.report.cluster_seconds += time.monotonic() - started
        for _result, ended in done:
            if ended.problem:
                raise Stop("failed", ended.problem)
            if not ended.ok:
                wanted = " or ".join(map(str, command.exit))
                raise Stop(
                    "failed",
                    f"on {ended.node}, `{command.text}` ended with exit status {ended.exit}, "
                    f"not {wanted}",
                )
        results = tuple(result for result, _ended in done if result)
        context.keep(results, command.book, adapted=command.adapted)

    def _one(
        self, command: PlannedCommand, node: str, stdin: str | None
    ) -> tuple[Result | None, CommandEnded]:
        started = time.monotonic()
        result: Result | None = None
        problem = output = ""
        try:
            result = self.lab.machine(node).run(command.text, within=COMMAND, stdin=stdin)
            output = result.output
        except CommandFailed as error:
            problem, output = error.message, error.output
        ended = CommandEnded(
            section=self.report.section,
            node=node,
            text=command.text,
            exit=result.exit if result else None,
            expected=command.exit,
            output=output,
            seconds=time.monotonic() - started,
            problem=problem,
        )
        self.report(ended)
        return result, ended
