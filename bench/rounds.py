"""Lab's way and the plain way in turn, so that neither has the warmer machine every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_turn(rounds: int, ours: Callable[[], T], theirs: Callable[[], T]) -> tuple[list[T], list[T]]:
    """What both returned, once a round each; in every other round theirs goes first."""
    found: tuple[list[T], list[T]] = ([], [])
    both = ((found[0], ours), (found[1], theirs))
    for number in range(rounds):
        for samples, measure in both if number % 2 == 0 else both[::-1]:
            samples.append(measure())
    return found


def told(rounds: int) -> str:
    """How many samples a row's numbers come from."""
    return "one round" if rounds == 1 else f"medians of {rounds} rounds"
