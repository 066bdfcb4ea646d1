"""The command line: python -m bench [NAME...] and options, see --help."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from bench.rows import Options, Row, progress, table
from lab import paths
from lab.errors import EXIT_INTERRUPTED, LabError

# Name -> what it measures; each is a module here with `run(options, say) -> list[Row]`.
BENCHMARKS = {
    "help": "how long `lab --help` takes",
    "nodes": "machines ready to be logged in to, and the memory of each",
    "notice": "from a change in the cluster to a wait that returns",
    "boot": "a guest's boot",
    "recovery": "from each fault of 5.6 to the recovery, beside what the cluster must wait anyway",
    "scale": "what many remote nodes cost; numbers beside it say how many: scale 4 16 64",
    "vms": "virtual machines by lab, beside plain vagrant up; a snapshot beside a fresh lab",
    "providers": "the remote walk-through on virtual machines, beside the same on containers",
    "walkthrough": "the guest walk-through, beside a shell script that does the same",
    "matrix": "scenarios side by side, beside the same ones one after the other",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks asked for; a table of what they measured."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    rows: list[Row] = []
    problems: list[str] = []
    status = 0
    asked = Options(
        options.quick, options.until, options.counts, paths.state(), tuple(options.scenario)
    )
    # A state folder of our own: nothing of a benchmark mixes with the labs of whoever runs it.
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        os.environ["LAB_STATE"] = folder
        try:
            for name in options.name or BENCHMARKS:
                progress(f"{name}: {BENCHMARKS[name]}")
                module = import_module(f"bench.{name}")
                try:
                    rows += module.run(asked, progress)
                except LabError as error:
                    problems.append(f"{name}: {error.message}")
                    progress(f"failed: {error.message}")
        except KeyboardInterrupt:
            status = EXIT_INTERRUPTED
    if rows:
        print(table(rows), end="")
    for problem in problems:
        print(f"failed: {problem}")
    if options.json:
        options.json.write_text(json.dumps(_report(rows, problems), indent=2) + "\n")
    return status or (1 if problems else 0)


def _report(rows: list[Row], problems: list[str]) -> dict[str, Any]:
    return {
        "at": time.time(),
        "machine": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "load": os.getloadavg(),
            "python": platform.python_version(),
        },
        "rows": [row.to_json() for row in rows],
        "problems": problems,
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = "\n".join(f"  {name:12} {about}" for name, about in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="How fast the harness is. Nothing is asserted: read the ratios.",
        epilog=f"benchmarks, by default all of them:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="*", metavar="NAME", help="only these benchmarks; for scale, numbers too"
    )
    parser.add_argument("--quick", action="store_true", help="few samples: does it still run?")
    parser.add_argument(
        "--until",
        default="",
        metavar="SECTION",
        help="walkthrough, providers: stop after this section",
    )
    parser.add_argument(
        "--scenario", action="append", default=[], help="matrix: only this one; may be given again"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    options = parser.parse_args(arguments)
    options.counts = tuple(int(name) for name in options.name if name.isdigit())
    options.name = [name for name in options.name if not name.isdigit()]
    if options.counts and "scale" not in options.name:
        parser.error("a number of remote nodes is for the benchmark scale")
    if unknown := [name for name in options.name if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    return options


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
