"""`lab matrix`: scenarios on platforms, side by side."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from lab import customize, images, kvm, paths, platforms, providers
from lab import doctor as doctors
from lab.commands import output_file, print_json
from lab.errors import BadInput, CannotRun
from lab.matrix import cells as plan
from lab.matrix.cells import Cell
from lab.matrix.outcome import summary, write_summary
from lab.matrix.run import run
from lab.report.matrix import Matrix
from lab.report.screen import Lasting


def matrix_(options: argparse.Namespace) -> int:
    """`lab matrix`"""
    number, count = plan.parse_shard(options.shard)
    _check(options)
    selected = plan.select(options.scenario, options.platform, options.provider)
    cells = plan.shard(selected.cells, number, count)
    slow = _require(options, cells)
    output = output_file(f"{options.output}/summary.json").parent if options.output else None
    output = output or paths.stamped(paths.state() / "matrix")
    output.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    # JSON alone goes to standard output.
    with Matrix(Lasting(stderr=True) if options.json else None) as screen:
        if slow:
            screen.say(f"virtual machines are emulated: {slow}")
        outcomes, status = run(cells, output, screen, jobs=options.jobs, keep=options.keep)
        seconds = time.monotonic() - began
        data = summary(outcomes, selected.left_out, seconds, options.shard)
        write_summary(output, data)
        screen.print(outcomes, selected.left_out, seconds, str(output))
    if options.json:
        with suppress(BrokenPipeError):  # the exit status tells it all the same
            print_json(data)
    if status == 130:
        print("lab: interrupted", file=sys.stderr)
    return status


def _require(options: argparse.Namespace, cells: Sequence[Cell]) -> str:
    """Raise CannotRun for what no cell could do without; why machines are emulated, if they are."""
    doctors.require(options.provider)
    if options.provider != plan.VIRTUAL:
        return ""
    slow = kvm.missing()
    if slow and not options.emulated:
        raise CannotRun(
            f"virtual machines have no KVM here: {slow}",
            hint="see lab doctor --provider vagrant; --emulated does without, and takes longer",
        )
    wanted = [platforms.load(name) for name in {cell.platform for cell in cells}]
    if any(platform.box and not images.built(platform) for platform in wanted):
        customize.require()
    return slow


def _check(options: argparse.Namespace) -> None:
    """Raise BadInput for what is no option's value, or goes with no other."""
    if options.jobs < 0:
        raise BadInput(f"--jobs {options.jobs}: a number of cells at once, or 0 for what fits")
    if options.provider == providers.AUTO:
        raise BadInput(
            "--provider auto: what a matrix shows must not depend on what its runner happens to "
            f"have; choose one of: {', '.join(providers.names())}"
        )
    providers.load(options.provider)  # it says which there are
    if options.emulated and options.provider != plan.VIRTUAL:
        raise BadInput(f"--emulated is for virtual machines: add --provider {plan.VIRTUAL}")
