"""The guest walk-through by lab, beside a shell script that types and awaits the same.

Machines are up and logged in to before either starts; each has a fresh lab of its own. What lab
takes longer are its looks at files, packages, ports and what was printed, its audits, its records
and its own speed. (What both take is mostly the cluster's time, and varies: ask for more rounds.)
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench import labs
from bench.plain import MARK, Plain
from bench.rounds import in_turn, told
from bench.rows import Options, Row, Say, summary
from lab import command

QUICK = "4.1.2"
LONGEST = 1800.0


@dataclass(frozen=True)
class Walk:
    """One way through: seconds in all, and of each section."""

    seconds: float
    sections: dict[str, float]


def run(options: Options, say: Say) -> list[Row]:
    """Lab and the script in turn, as often as there are rounds."""
    until = options.until or (QUICK if options.quick else "")
    ours, theirs = in_turn(
        options.rounds, lambda: _by_lab(until, say), lambda: _by_script(until, say)
    )
    for section in theirs[0].sections:
        lab, plain = (_median(ways, section) for ways in (ours, theirs))
        say(f"section {section:6} lab {lab:6.1f} s, plain {plain:6.1f} s")
    what = f"sections up to {until}" if until else "all sections"
    return [
        Row(
            "walkthrough",
            f"{what} of the guest walk-through, {told(options.rounds)} (baseline: a shell script)",
            statistics.median(way.seconds for way in ours),
            baseline=statistics.median(way.seconds for way in theirs),
            aim=1.05,
            aim_is_ratio=True,
            details={
                name: {
                    **summary([way.seconds for way in ways]),
                    "sections": {one: _median(ways, one) for one in ways[0].sections},
                }
                for name, ways in (("lab", ours), ("plain", theirs))
            },
        )
    ]


def _by_lab(until: str, say: Say) -> Walk:
    with labs.fresh("by-lab") as lab:
        lab.up(say)
        steps = labs.sections(lab, until)
        took: dict[str, float] = {}
        started = time.monotonic()
        labs.run(lab, steps, say, took)
        seconds = time.monotonic() - started
    say(f"lab: {seconds:.1f} s")
    return Walk(seconds, took)


def _by_script(until: str, say: Say) -> Walk:
    marks: list[tuple[float, str]] = []

    def line(text: str) -> None:
        mark, at, section = [*text.split(), "", "", ""][:3]
        if mark == MARK:
            marks.append((float(at), section))
        say(f"plain: {section if mark == MARK else text}")

    with labs.fresh("plain") as lab, tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        lab.up(say)
        steps = labs.sections(lab, until)
        plain = Plain(lab, Path(folder))
        command.run(plain.write("script", plain.sections(steps)), within=LONGEST, on_line=line)
    seconds = marks[-1][0] - marks[0][0]
    say(f"plain: {seconds:.1f} s")
    return Walk(seconds, {section: later - at for (at, section), (later, _) in pairwise(marks)})


def _median(ways: list[Walk], section: str) -> float:
    return statistics.median(way.sections[section] for way in ways)
