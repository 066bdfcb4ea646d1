"""Awaits what a section expects, and says what was seen."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import Literal

from lab.checks import Seen
from lab.context import Context
from lab.deadline import Deadline, wait_for
from lab.errors import LabError
from lab.events import Checked, Verdict, Waiting
from lab.plan import Use
from lab.reporter import Reporter
from lab.typist import Stop


@dataclass
class Judge:
    """Judges one expectation at a time."""

    report: Reporter

    def check(
        self,
        use: Use,
        context: Context,
        remembered: dict[str, object],
        deadline: Deadline,
        *,
        phase: Literal["before", "expect"],
    ) -> None:
        """Look until it is true; Stop if it is not by the deadline.

        A machine that cannot be reached is not true yet. A check that crashes is an error.
        """
        started = time.monotonic()
        looks = 0

        def look() -> Seen:
            nonlocal looks
            looks += 1
            try:
                seen: Seen = use.word.function(context, **use.arguments, **remembered)
            except (LabError, OSError) as error:
                return Seen(False, error.message if isinstance(error, LabError) else str(error))
            return seen

        def waiting(seen: Seen, left: float) -> None:
            section = self.report.section
            self.report(Waiting(section=section, what=use.text, seen=seen.text, left=left))

        verdict: Verdict
        try:
            seen = wait_for(look, lambda seen: seen.ok, deadline, waiting)
            verdict = "passed" if seen.ok else "failed"
        except Exception as error:  # noqa: BLE001  # a check that crashes is an error, not a pass
            seen, verdict = Seen(False, crash(error)), "error"
        # What is true at the first look cost the cluster nothing: that look is the harness's.
        waited = time.monotonic() - started if looks > 1 else 0.0
        if phase == "expect":
            self.report.cluster_seconds += waited
        self.report(
            Checked(
                section=self.report.section,
                what=use.text,
                seen=seen.text,
                verdict=verdict,
                waited=waited,
                phase=phase,
                hint=seen.hint,
                departs=use.departs.now if use.departs else "",
            )
        )
        if verdict != "passed":
            when = "" if phase == "expect" else " beforehand"
            late = f"{when} within {deadline.seconds:.0f} s"
            raise Stop(verdict, f"expected{late}: {use.text}; seen: {seen.text}")


def crash(error: Exception) -> str:
    """A defect of ours in one line: what, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
