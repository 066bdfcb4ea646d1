"""A `lab` that makes no lab: it records its arguments and does what a test's file says.

    FAKE_LAB/calls            its arguments, a line of JSON for each call
    FAKE_LAB/do/SCENARIO      what `lab up` of that scenario does, JSON: {"sections": {"A.1":
                              "passed"}, "exit": 0, "say": "", "hang": false, "kill": false}
    FAKE_LAB/down/NAME        if it is there: the exit status of `lab down NAME`
    FAKE_LAB/go/SCENARIO      awaited by `up` if `do` says "await": true

It leaves what the real one leaves: a folder of the lab, results.jsonl, junit.xml.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from lab import paths
from lab.events import EvidenceCollected, RunEnded, RunStarted, StepEnded, StepStarted, Verdict
from lab.report.junit import JUnit
from lab.report.results import Results

FAKE = Path(os.environ["FAKE_LAB"])
LONGEST = 60.0  # seconds until it ends by itself, whatever is awaited


def main(arguments: list[str]) -> int:
    """As lab.cli.main."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (FAKE / "calls").open("a") as file:
        file.write(json.dumps(arguments) + "\n")
    if arguments[0] == "down":
        return _down(arguments[1])
    if arguments[0] != "up":
        return 2
    scenario, options = arguments[1], dict(zip(arguments[2::2], arguments[3::2], strict=True))
    try:
        made_of = options["--platform"], options["--provider"]
        return _up(Path(scenario).stem, *made_of, options["--name"])
    except KeyboardInterrupt:
        print("lab: interrupted")
        return 130


def _down(name: str) -> int:
    wished = FAKE / "down" / name
    if wished.exists():
        print(f"lab: {name} cannot be removed")
        return int(wished.read_text())
    shutil.rmtree(paths.labs() / name, ignore_errors=True)
    return 0


def _up(scenario: str, platform: str, provider: str, name: str) -> int:
    file = FAKE / "do" / scenario
    do = json.loads(file.read_text()) if file.exists() else {}
    if do.get("say"):
        print(f"lab: {do['say']}", flush=True)
    if do.get("nothing"):
        return int(do["exit"])
    (paths.labs() / name).mkdir(parents=True)
    run = paths.results() / name / f"run-{os.getpid()}"
    run.mkdir(parents=True)
    latest = run.parent / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(run.name)
    sections: dict[str, Verdict] = do.get("sections", {"A.1": "passed"})
    with Results(run / "results.jsonl") as results, JUnit(run / "junit.xml") as junit:
        both = (results, junit)
        started = RunStarted(
            lab=name,
            scenario=scenario,
            title=scenario,
            platform=platform,
            provider=provider,
            sections=tuple(sections),
        )
        for tell in both:
            tell(started)
        if do.get("await") or do.get("hang"):
            _await(None if do.get("hang") else FAKE / "go" / scenario)
        if do.get("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        for section, verdict in sections.items():
            problem = "" if verdict == "passed" else f"{section} went wrong"
            for tell in both:
                tell(StepStarted(section=section, title="A section"))
                if problem:
                    evidence = run / f"evidence-{section}"
                    evidence.mkdir(exist_ok=True)
                    (evidence / "journal").write_text("evidence")
                    tell(EvidenceCollected(section=section, folder=str(evidence)))
                tell(StepEnded(section=section, title="A", verdict=verdict, problem=problem))
        bad = any(verdict != "passed" for verdict in sections.values())
        for tell in both:
            tell(RunEnded(verdict="failed" if bad else "passed", seconds=1.0))
    return int(do.get("exit", bad))


def _await(file: Path | None) -> None:
    end = time.monotonic() + LONGEST
    while time.monotonic() < end and not (file and file.exists()):
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
