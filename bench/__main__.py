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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from bench.rows import Options, Row, progress, table
from lab import paths, scenario
from lab.errors import EXIT_INTERRUPTED, BadInput, LabError

# Name -> what it measures; each is a module here with `run(options, say) -> list[Row]`.
BENCHMARKS = {
    "help": "how long `lab --help` takes",
    "nodes": "machines ready to be logged in to, and the memory of each",
    "notice": "from a change in the cluster to a wait that returns",
    "boot": "a guest's boot",
    "walkthrough": "the guest walk-through, beside a shell script that does the same",
    "recovery": "from each fault of 5.6 to the recovery, beside what the cluster must wait anyway",
    "scale": "what many remote nodes cost; numbers beside it say how many: scale 4 16 64",
    "vms": "virtual machines by lab, beside plain vagrant up; a snapshot beside a fresh lab",
    "providers": "the remote walk-through on virtual machines, beside the same on containers",
    "matrix": "scenarios side by side, beside the same ones one after the other",
}
# What tells of every lab, needs no Vagrant, and takes minutes where the others take hours.
USUAL = ("help", "nodes", "notice", "boot", "walkthrough")
CHAPTERS = {"walkthrough": "guest-walkthrough", "providers": "remote-walkthrough"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks asked for; a table of what they measured, whatever becomes of others."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    rows: list[Row] = []
    problems: list[str] = []
    status = 0
    asked = Options(
        options.quick,
        options.until,
        options.counts,
        paths.state(),
        tuple(options.scenario),
        options.rounds,
    )
    with _own_state():
        try:
            for name in options.name:
                if problem := _measure(name, asked, rows):
                    problems.append(problem)
                    progress(f"failed: {problem}")
        except KeyboardInterrupt:
            status = EXIT_INTERRUPTED
    if rows:
        print(table(rows), end="")
    if options.json:
        try:
            options.json.write_text(json.dumps(_report(rows, problems), indent=2) + "\n")
        except OSError as error:
            problems.append(f"{options.json}: {error.strerror}")
    for problem in problems:
        print(f"failed: {problem}")
    return status or (1 if problems else 0)


def _measure(name: str, options: Options, rows: list[Row]) -> str:
    """Add a benchmark's rows; why there are none, in one line, or ''."""
    progress(f"{name}: {BENCHMARKS[name]}")
    try:
        rows += import_module(f"bench.{name}").run(options, progress)
    except LabError as error:
        text = f"{error.message}; {error.hint}" if error.hint else error.message
    except Exception as error:  # noqa: BLE001  # the others' numbers are worth no less for it
        text = f"{type(error).__name__}: {error}"
    else:
        return ""
    return f"{name}: {' '.join(text.split())}"


@contextmanager
def _own_state() -> Iterator[None]:
    """A state folder of our own for the block: nothing of a benchmark mixes with the labs of
    whoever runs it.
    """
    before = os.environ.get("LAB_STATE")
    with tempfile.TemporaryDirectory(prefix="lab-bench-", ignore_cleanup_errors=True) as folder:
        os.environ["LAB_STATE"] = folder
        try:
            yield
        finally:
            del os.environ["LAB_STATE"]
            if before is not None:
                os.environ["LAB_STATE"] = before


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
    """What was asked for; what is wrong with it ends the program now, and not in an hour."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.counts = tuple(int(name) for name in options.name if name.isdigit())
    options.name = [name for name in options.name if not name.isdigit()]
    if unknown := [name for name in options.name if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    if options.counts and "scale" not in options.name:
        parser.error("a number of remote nodes is for the benchmark scale")
    options.name = options.name or list(USUAL)
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least one")
    try:
        _check_sections(options.until, options.name)
        for name in options.scenario:
            scenario.find(name)
    except BadInput as error:
        parser.error(error.message)
    if options.json:
        try:
            options.json.open("a").close()
        except OSError as error:
            parser.error(f"--json {options.json}: {error.strerror}")
    return options


def _check_sections(until: str, names: Sequence[str]) -> None:
    if not until:
        return
    chapters = [CHAPTERS[name] for name in names if name in CHAPTERS]
    if not chapters:
        raise BadInput(f"--until is for {' and '.join(CHAPTERS)}")
    for chapter in chapters:
        known = [step.section for step in scenario.load(scenario.find(chapter)).steps]
        if until not in known:
            raise BadInput(f"--until: {chapter} has no section {until}, but: {', '.join(known)}")


def _parser() -> argparse.ArgumentParser:
    lines = {name: f"  {name:12} {about}" for name, about in BENCHMARKS.items()}
    usual = "\n".join(lines[name] for name in USUAL)
    others = "\n".join(line for name, line in lines.items() if name not in USUAL)
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="How fast the harness is. Nothing is asserted: read the ratios.",
        epilog=f"benchmarks, by default these:\n{usual}\nand by name, as they take long:\n{others}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="*", metavar="NAME", help="only these benchmarks; for scale, numbers too"
    )
    parser.add_argument("--quick", action="store_true", help="few samples: does it still run?")
    parser.add_argument(
        "--rounds",
        type=int,
        default=1,
        metavar="N",
        help="nodes, walkthrough: measure both ways N times in turn (1 unless said otherwise)",
    )
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
    return parser


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
