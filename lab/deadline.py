"""Waiting: always for a condition, always with a deadline, never for a fixed time."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

POLL = 0.1  # seconds between two looks; a look itself costs more than that on a busy node
COMMAND = 900.0  # seconds that a typed command may take: installing on an emulated, busy machine


def parse_seconds(value: object) -> float:
    """`90`, `"90s"`, `"2min"` or `"500ms"` as seconds.

    Raises ValueError for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min)", str(value))
    if not match:
        raise ValueError(f"{value!r} is not a duration: write 90s, 2min or 500ms")
    return float(match[1]) * {"ms": 0.001, "s": 1.0, "min": 60.0}[match[2]]


@dataclass
class Deadline:
    """A point in time, `seconds` after it was made."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that remain, never below zero."""
        return max(0.0, self.started + self.seconds - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return self.left == 0.0


class CalledOff(Exception):  # no error: nobody wants to know any more
    """Whoever this thread waits for was interrupted."""


_thread = threading.local()


def heed(off: threading.Event) -> None:
    """From now on each wait of this thread ends with CalledOff once that event is set."""
    _thread.off = off


def wait_for(
    look: Callable[[], T],
    enough: Callable[[T], bool],
    deadline: Deadline,
    progress: Callable[[T, float], None] = lambda _seen, _left: None,
) -> T:
    """Look again and again until it is `enough` or the deadline passes; the last thing seen.

    The caller decides with `enough` whether what comes back is what it wanted. There is
    always at least one look. `progress` gets what was seen and the seconds left.
    """
    off: threading.Event | None = getattr(_thread, "off", None)
    while True:
        seen = look()
        if off and off.is_set():
            raise CalledOff
        if enough(seen) or deadline.over:
            return seen
        progress(seen, deadline.left)
        time.sleep(min(POLL, deadline.left))
