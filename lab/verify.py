"""A section that somebody typed by hand: is there now what it is to bring about?

What can be looked at is what its last part expects, but for what only who typed it could know:
what a command printed, and what had been there before.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab import plan as plans
from lab.context import Context
from lab.deadline import Deadline
from lab.errors import BadInput, CannotRun
from lab.events import Listener, StepStarted
from lab.judge import Judge
from lab.lab import Lab
from lab.plan import PlannedPart, PlannedStep, Use
from lab.reporter import Reporter
from lab.typist import Stop

PATIENCE = 30.0  # seconds that the cluster may still take for all of it


@dataclass(frozen=True)
class Verified:
    """`problems`: what is not as it should be, in words. `looked`: how many of the `expected`
    things could be looked at.
    """

    problems: tuple[str, ...]
    looked: int
    expected: int


def verify(lab: Lab, section: str, listener: Listener) -> Verified:
    """Look at all that can be seen of a section. If nothing is wrong it counts as done.

    The caller holds the lab. Raises BadInput for a section that the scenario has not, CannotRun
    for one whose turn it is not yet, or of which nothing can be seen afterwards.
    """
    step = _due(lab, section)
    uses = next((found for part in reversed(step.parts) if (found := _lasting(part))), [])
    if not uses or any(part.faults for part in step.parts):
        raise CannotRun(
            f"of {section} nothing could be seen afterwards that proves it",
            hint="lab up does it, and looks while it does",
        )
    report = Reporter([listener], hide=lab.access.without_secrets)
    report.begin(section)
    report(StepStarted(section=section, title=step.title, origin=step.origin))
    judge, context = Judge(report), Context(lab)
    deadline = Deadline(PATIENCE * lab.provider.pace())
    problems = []
    for use in uses:
        try:
            judge.check(use, context, {}, deadline, phase="expect")
        except Stop as stop:
            problems.append(stop.problem)
    if not problems and section not in lab.record.done:
        lab.record.done.append(section)
        lab.save()
    expected = sum(len(part.expect) + len(part.healed) for part in step.parts)
    return Verified(tuple(problems), len(uses), expected)


def _due(lab: Lab, section: str) -> PlannedStep:
    """The section, if all that come before it are done."""
    plan = plans.plan(lab.scenario, lab.platform)
    sections = [step.section for step in plan]
    if section not in sections:
        raise BadInput(
            f"lab {lab.name} has no section {section!r}; sections: {', '.join(sections)}"
        )
    number = sections.index(section)
    for earlier in sections[:number]:
        if earlier not in lab.record.done:
            raise CannotRun(
                f"{earlier} comes before {section}, and is not done",
                hint=f"lab verify {earlier}, or lab up with --until {earlier}",
            )
    return plan[number]


def _lasting(part: PlannedPart) -> list[Use]:
    """What can be seen at any time after the part."""
    return [
        use
        for use in (*part.expect, *part.healed)
        if not use.word.remember and not use.word.commands(use.arguments)
    ]
