"""Deadlines, durations, and waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab import deadline
from lab.deadline import Deadline, parse_seconds, wait_for


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90s", 90.0),
        ("2min", 120.0),
        ("500ms", 0.5),
        ("1.5 s", 1.5),
        ("0s", 0.0),
        (90, 90.0),
        (0.25, 0.25),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_seconds(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        *("90", "", "s", "-3s", "2 h", "2m", "1e3s", "5s 3s", "soon"),
        *(None, True, -1, -0.5, [3], float("nan"), float("inf")),
    ],
)
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration: write 90s, 2min or 500ms"):
        parse_seconds(value)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(deadline, "time", made)
    return made


def counter(clock: Clock, cost: float = 0.0) -> Callable[[], int]:
    seen = 0

    def look() -> int:
        nonlocal seen
        seen += 1
        clock.now += cost
        return seen

    return look


def test_time_left() -> None:
    made = Deadline(5.0, started=time.monotonic() - 3.0)
    assert 1.5 < made.left <= 2.0
    assert not made.over
    late = Deadline(5.0, started=time.monotonic() - 6.0)
    assert (late.left, late.over) == (0.0, True)


def test_stops_at_the_first_look_that_is_enough(clock: Clock) -> None:
    assert wait_for(counter(clock), lambda n: n == 3, Deadline(60, clock.now)) == 3
    assert clock.naps == [deadline.POLL] * 2


def test_true_at_once_costs_no_time(clock: Clock) -> None:
    assert wait_for(counter(clock), lambda _: True, Deadline(60, clock.now)) == 1
    assert clock.naps == []


def test_gives_up_at_the_deadline_with_what_was_last_seen(clock: Clock) -> None:
    started = clock.now
    last = wait_for(counter(clock), lambda _: False, Deadline(1.05, started))
    assert clock.now - started == pytest.approx(1.05)  # to the point, not a poll later
    assert last == 12  # at 0.0, 0.1 … 1.0, and at the very end


def test_looks_once_even_if_the_deadline_has_passed(clock: Clock) -> None:
    assert wait_for(counter(clock), lambda _: False, Deadline(0, clock.now)) == 1
    assert wait_for(counter(clock), lambda _: True, Deadline(5, clock.now - 10)) == 1
    assert clock.naps == []


def test_a_look_that_takes_long_still_counts(clock: Clock) -> None:
    assert wait_for(counter(clock, 30.0), lambda n: n == 1, Deadline(5, clock.now)) == 1


def test_progress_gets_what_was_seen_and_what_is_left(clock: Clock) -> None:
    told: list[tuple[int, float]] = []
    wait_for(
        counter(clock),
        lambda n: n == 3,
        Deadline(10, clock.now),
        lambda seen, left: told.append((seen, round(left, 3))),
    )
    assert told == [(1, 10.0), (2, 9.9)]


def test_what_a_look_raises_is_not_swallowed(clock: Clock) -> None:
    def look() -> int:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        wait_for(look, bool, Deadline(10, clock.now))
