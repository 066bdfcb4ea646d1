"""`lab matrix`: scenarios on platforms, side by side."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from lab import doctor as doctors
from lab import paths
from lab.commands import print_json
from lab.errors import BadInput
from lab.matrix import cells as plan
from lab.matrix.outcome import summary, write_summary
from lab.matrix.run import run
from lab.report.matrix import Matrix


def matrix_(options: argparse.Namespace) -> int:
    """`lab matrix`"""
    number, count = plan.parse_shard(options.shard)
    if options.jobs < 0:
        raise BadInput(f"--jobs {options.jobs}: a number of cells at once, or 0 for what fits")
    cells = plan.shard(plan.cells(options.scenario, options.platform), number, count)
    doctors.require()
    output = Path(options.output) if options.output else paths.stamped(paths.state() / "matrix")
    output.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    # JSON alone goes to standard output.
    with Matrix(Console(stderr=True) if options.json else None) as screen:
        outcomes, status = run(cells, output, screen, jobs=options.jobs, keep=options.keep)
        seconds = time.monotonic() - began
        data = summary(outcomes, seconds, options.shard)
        write_summary(output, data)
        screen.print(outcomes, seconds, str(output))
    if options.json:
        print_json(data)
    if status == 130:
        print("lab: interrupted", file=sys.stderr)
    return status
