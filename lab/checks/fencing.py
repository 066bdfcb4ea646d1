"""Fencing and recovery: what a section's faults led to, in which order and when."""

from __future__ import annotations

from lab.checks import Seen, check
from lab.context import Context
from lab.recovery import PHASES


@check("the recovery shows: {phases}")
def recovery(context: Context, phases: list[str]) -> Seen:
    """Each phase of the recovery (detected, fenced, recovered, reintegrated) has come about since
    the fault, or since this part's commands; the text says after how many seconds.
    """
    if unknown := set(phases) - set(PHASES):
        raise ValueError(f"no phase {', '.join(unknown)}; phases: {', '.join(PHASES)}")
    assert context.observer is not None
    assert context.observer.history is not None
    found = context.observer.history.phases()
    told = [
        f"{name} +{at:.1f} s" if at is not None else f"not {name}" for name, at in found.items()
    ]
    return Seen(all(found[name] is not None for name in phases), ", ".join(told))
