"""Scenarios side by side by `lab matrix`, beside the same ones brought up one after the other.

By default all that there are; with `--scenario` those named, with --quick two that take seconds.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from bench.rows import Options, Row, Say
from lab import command, images, platforms
from lab.matrix import cells as plan
from lab.matrix.cells import Cell
from lab.matrix.work import LAB

LONGEST = 7200.0
WAIT = 10  # seconds that a quick scenario waits, as most of a real one is waiting


def run(options: Options, say: Say) -> list[Row]:
    """One after the other first."""
    images.ensure(platforms.load(platforms.DEFAULT), say)
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        names = list(options.scenarios)
        if options.quick and not names:
            names = [_short(Path(folder), letter) for letter in "AB"]
        cells = plan.select(names, [platforms.DEFAULT]).cells
        say(f"one after the other: {', '.join(cell.scenario for cell in cells)}")
        each = {cell.scenario: _alone(cell, say) for cell in cells}
        say("side by side")
        started = time.monotonic()
        output = Path(folder) / "matrix"
        files = [cell.file for cell in cells]
        where = ["--platform", platforms.DEFAULT, "--output", str(output)]
        command.run([*LAB, "matrix", *files, *where], within=LONGEST, on_line=say)
        together = time.monotonic() - started
        found = json.loads((output / "summary.json").read_text())["cells"]
    side = {one["scenario"]: one["seconds"] for one in found}
    return [
        Row(
            "matrix",
            f"{len(cells)} scenarios side by side (baseline: one after the other)",
            together,
            baseline=sum(each.values()),
            aim=0.7,
            aim_is_ratio=True,
            details={"alone": each, "side by side": side},
        )
    ]


def _alone(cell: Cell, say: Say) -> float:
    """Seconds for a lab to come up, do all its sections, and go."""
    started = time.monotonic()
    up = [*LAB, "up", cell.file, "--platform", cell.platform, "--name", cell.lab]
    try:
        command.run(up, within=LONGEST, on_line=lambda _line: None)
    finally:
        command.run([*LAB, "down", cell.lab], within=LONGEST, check=False)
    seconds = time.monotonic() - started
    say(f"{cell.text}: {seconds:.1f} s")
    return seconds


def _short(folder: Path, letter: str) -> str:
    """A scenario of one bare machine, that mostly waits; its file."""
    file = folder / f"bench-wait-{letter.lower()}.yaml"
    file.write_text(
        f"title: A wait\nabout: One machine.\nchapter: {letter}\n"
        "nodes: {node1: {address: 192.168.122.101}}\nsteps:\n"
        f"  - {{section: {letter}.1, title: Wait, where: node1, book: [sleep {WAIT}]}}\n"
    )
    return str(file)
