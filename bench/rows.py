"""What a benchmark hands back, and the table and JSON that are made of it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One thing measured. `baseline` is the plain way, measured in the same run.

    The aim is an upper bound: of the ratio where `aim_is_ratio`, of the measured value else.
    """

    name: str
    what: str
    measured: float
    unit: str = "s"
    baseline: float | None = None
    aim: float | None = None
    aim_is_ratio: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Measured to baseline."""
        return self.measured / self.baseline if self.baseline else None

    @property
    def reached(self) -> bool | None:
        """Whether the aim is; None where there is no aim."""
        value = self.ratio if self.aim_is_ratio else self.measured
        return None if self.aim is None or value is None else value <= self.aim

    def to_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}


@dataclass(frozen=True)
class Options:
    """What was asked for. `quick`: few samples, few sections, few nodes. `counts`: of remote nodes.
    `state`: lab's state folder outside of the benchmarks. `rounds`: how often what takes long is
    measured, at least once.
    """

    quick: bool = False
    until: str = ""
    counts: tuple[int, ...] = ()
    state: Path | None = None
    scenarios: tuple[str, ...] = ()
    rounds: int = 1


def table(rows: Sequence[Row]) -> str:
    """Rows in columns, for people."""
    cells = [("", "what", "measured", "baseline", "ratio", "aim")]
    for row in rows:
        aim = ""
        if row.aim is not None:
            aim = f"{row.aim:g}" if row.aim_is_ratio else f"{row.aim:g} {row.unit}"
            aim = f"≤ {aim} {'yes' if row.reached else 'no'}"
        cells.append(
            (
                row.name,
                row.what,
                _value(row.measured, row.unit),
                "" if row.baseline is None else _value(row.baseline, row.unit),
                "" if row.ratio is None else f"{row.ratio:.2f}",
                aim,
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    text = ""
    for line in cells:
        padded = [
            cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text += "  ".join(padded).rstrip() + "\n"
    return text


def p95(samples: Sequence[float]) -> float:
    """The 95th percentile: the smallest sample that 95 of 100 do not exceed."""
    return sorted(samples)[-(len(samples) // 20 + 1)]


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """What the details keep of a series."""
    return {
        "median": statistics.median(samples),
        "p95": p95(samples),
        "samples": [round(sample, 4) for sample in samples],
    }


def progress(text: str) -> None:
    """A line on standard error: the table alone goes to standard output."""
    print(f"  {text}", file=sys.stderr, flush=True)


def _value(value: float, unit: str) -> str:
    digits = 1 if value >= 10 else 3 if value < 1 else 2
    return f"{value:.{digits}f} {unit}"
