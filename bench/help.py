"""How long `lab --help` takes: what one feels at every command."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.rows import Options, Row, Say, summary


def run(options: Options, say: Say) -> list[Row]:
    """Beside a Python that does nothing; the two take turns."""
    script = Path(sys.executable).with_name("lab")
    installed = str(script) if script.exists() else shutil.which("lab")
    ours = [installed, "--help"] if installed else [sys.executable, "-m", "lab.cli", "--help"]
    say(" ".join(ours))
    samples: dict[str, list[float]] = {"lab": [], "python": []}
    for _ in range(5 if options.quick else 20):
        samples["lab"].append(_seconds(ours))
        samples["python"].append(_seconds([sys.executable, "-c", "pass"]))
    return [
        Row(
            "help",
            "lab --help (baseline: python -c pass)",
            statistics.median(samples["lab"]),
            baseline=statistics.median(samples["python"]),
            aim=0.2,
            details={name: summary(series) for name, series in samples.items()},
        )
    ]


def _seconds(argv: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, timeout=30)
    return time.perf_counter() - started
