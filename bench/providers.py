"""The remote walk-through on virtual machines, beside the same sections on containers.

From nothing: the machines' start is a part of it, the images and the box are not. 5.6 is left out
unless --until asks for it: most of its time is what the cluster waits.
"""

from __future__ import annotations

import time

from bench import labs
from bench.rows import Options, Row, Say
from lab import boxes, scenario

CHAPTER = "remote-walkthrough"
UNTIL = "5.5"
QUICK = "5.1.2"


def run(options: Options, say: Say) -> list[Row]:
    """One row for the whole, and one for the machines' start."""
    labs.need_vagrant()
    until = options.until or (QUICK if options.quick else UNTIL)
    took = {provider: _chapter(provider, until, say) for provider in ("podman", "vagrant")}
    rows = []
    for what, number in (("machines ready", 0), (f"{CHAPTER} until {until}", 1)):
        baseline, measured = took["podman"][number], took["vagrant"][number]
        text = f"{what} on virtual machines (baseline: on containers)"
        rows.append(Row("providers", text, measured, baseline=baseline))
    return rows


def _chapter(provider: str, until: str, say: Say) -> tuple[float, float]:
    """Seconds until the machines are ready, and until the last section has ended."""
    with labs.fresh(provider, scenario.find(CHAPTER), provider=provider) as lab:
        if provider == "vagrant":
            boxes.ensure(labs.built(lab))
        began = time.monotonic()
        lab.up(say)
        ready = time.monotonic() - began
        labs.run(lab, labs.sections(lab, until), say)
        whole = time.monotonic() - began
    say(f"{provider}: machines in {ready:.1f} s, until {until} in {whole:.1f} s")
    return ready, whole
