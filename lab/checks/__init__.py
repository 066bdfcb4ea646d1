"""Checks: what a section promises, looked for in the cluster's and the machines' own state.

A check looks once and says what it saw; the runner looks again until it is true or the
deadline has passed. A check that raises is an error, never a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from lab.vocabulary import Vocabulary


@dataclass(frozen=True)
class Seen:
    """What a check saw. `hint` says what to try when it is not what was expected."""

    ok: bool
    text: str
    hint: str = ""


check = Vocabulary("check")


def load() -> Vocabulary:
    """The table with every check in it."""
    modules = "machine network cluster resources bundle guest fencing connections fleet"
    for module in modules.split():
        import_module(f"lab.checks.{module}")
    return check
