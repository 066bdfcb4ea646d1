"""The guest walk-through by lab, beside a shell script that types and awaits the same.

Machines are up and logged in to before either starts; each has a fresh lab of its own. What
lab takes longer are its looks at files, packages and ports, its records and its own speed.
"""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from pathlib import Path

from bench import labs
from bench.plain import MARK, Plain
from bench.rows import Options, Row, Say
from lab import command

QUICK = "4.1.2"
LONGEST = 1800.0


def run(options: Options, say: Say) -> list[Row]:
    """First lab, then the script."""
    until = options.until or (QUICK if options.quick else "")
    with labs.fresh("by-lab") as lab:
        lab.up(say)
        steps = labs.sections(lab, until)
        ours: dict[str, float] = {}
        started = time.monotonic()
        labs.run(lab, steps, say, ours)
        seconds = time.monotonic() - started
        say(f"lab: {seconds:.1f} s")
    with labs.fresh("plain") as lab, tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        lab.up(say)
        steps = labs.sections(lab, until)
        plain = Plain(lab, Path(folder))
        marks: list[tuple[float, str]] = []

        def line(text: str) -> None:
            mark, at, section = [*text.split(), "", "", ""][:3]
            if mark == MARK:
                marks.append((float(at), section))
            say(f"plain: {section if mark == MARK else text}")

        command.run(plain.write("script", plain.sections(steps)), within=LONGEST, on_line=line)
        theirs = {section: after - at for (at, section), (after, _) in pairwise(marks)}
    baseline = marks[-1][0] - marks[0][0]
    for section, took in theirs.items():
        say(f"section {section:6} lab {ours[section]:6.1f} s, plain {took:6.1f} s")
    what = f"sections up to {until}" if until else "all sections"
    return [
        Row(
            "walkthrough",
            f"{what} of the guest walk-through (baseline: a shell script)",
            seconds,
            baseline=baseline,
            aim=1.05,
            aim_is_ratio=True,
            details={"lab": ours, "plain": theirs},
        )
    ]
