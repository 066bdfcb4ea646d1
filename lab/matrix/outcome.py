"""How a cell ended, and what of it is collected in one folder:

junit/LAB.xml      each section a test case
reports/LAB.html   the run as one page
logs/LAB.log       what `lab up` and `lab down` printed
evidence/LAB/…     of the sections that failed
summary.json       all outcomes
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lab.errors import LabError
from lab.events import RunEnded, RunStarted, StepEnded, StepStarted
from lab.matrix.cells import PREFIX, Cell, LeftOut
from lab.matrix.work import Work
from lab.report import html, junit, results
from lab.report.history import History, history
from lab.whole import write_json

Ending = Literal["passed", "failed", "error", "interrupted", "not run"]
FOLDERS = ("junit", "reports", "logs", "evidence")
_OURS = f"{PREFIX}*"  # in them; what else is there, in a folder of somebody's, is not ours


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    `passed`: of its sections, so many passed; `section` is the first that did not, `problem` why.
    `evidence`, `results`, `log`: where they lie, '' for what there is not. `left`: its lab is
    there still.
    """

    cell: Cell
    verdict: Ending
    seconds: float = 0.0
    passed: int = 0
    section: str = ""
    problem: str = ""
    evidence: str = ""
    results: str = ""
    log: str = ""
    left: bool = False

    def to_json(self) -> dict[str, Any]:
        """It as plain data."""
        own = {key: value for key, value in asdict(self).items() if key != "cell"}
        cell = self.cell
        return {
            "scenario": cell.scenario,
            "platform": cell.platform,
            "provider": cell.provider,
            "lab": cell.lab,
            "sections": cell.sections,
            **own,
        }


def prepare(output: Path) -> None:
    """Make the folders, and remove what an earlier matrix left in them, and only that."""
    (output / "summary.json").unlink(missing_ok=True)
    for folder in FOLDERS:
        (output / folder).mkdir(parents=True, exist_ok=True)
        for path in (output / folder).glob(_OURS):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def of(work: Work, output: Path) -> Outcome:
    """How a cell that is done ended; its reports are in `output` then."""
    cell = work.cell
    told = History()
    if work.results:
        with suppress(OSError, LabError):  # killed before its first event, or the file is damaged
            told = history(results.read(work.results / "results.jsonl"))
    sections = told.final
    bad = next((one for one in sections if one.outcome not in ("passed", "skipped")), None)
    verdict = _verdict(work)
    section = problem = evidence = ""
    if verdict != "passed":
        if bad and (bad.ended or bad.began):
            section, problem = bad.number, bad.problem
            evidence = bad.evidence[-1] if bad.evidence else ""
        # What is wrong with the lab itself comes first: sections say nothing of it.
        problem = work.problem or problem or _end(work)
        if work.interrupted and not work.problem:
            problem = ""
    outcome = Outcome(
        cell=cell,
        verdict=verdict,
        seconds=work.seconds,
        passed=sum(one.outcome == "passed" for one in sections),
        section=section,
        problem=problem,
        evidence=evidence,
        results=str(work.results or ""),
        log=str(work.log),
        left=work.left,
    )
    return _collected(outcome, output)


def without_a_run(cell: Cell, verdict: Ending, problem: str, output: Path) -> Outcome:
    """The outcome of a cell that could not begin."""
    return _collected(Outcome(cell, verdict, problem=problem), output)


def _verdict(work: Work) -> Ending:
    if work.interrupted:
        return "interrupted"
    if work.status == 0 and not work.problem:
        return "passed"
    return "failed" if work.status == 1 and not work.problem else "error"


def _collected(outcome: Outcome, output: Path) -> Outcome:
    """The outcome once its reports are in `output`; an error if they cannot be: a full disk."""
    try:
        _collect(outcome, output)
    except OSError as error:
        problem = f"its results could not be collected: {error}"
        if outcome.problem:
            problem = f"{outcome.problem}; {problem}"
        return replace(outcome, verdict="error", problem=problem)
    return outcome


def _collect(outcome: Outcome, output: Path) -> None:
    name = outcome.cell.lab
    run = Path(outcome.results) if outcome.results else None
    collected = False
    if run:
        with suppress(OSError, LabError):
            html.write(output / "reports" / f"{name}.html", results.read(run / "results.jsonl"))
        for folder in run.glob("evidence-*"):
            shutil.copytree(folder, output / "evidence" / name / folder.name, dirs_exist_ok=True)
        with suppress(FileNotFoundError):  # `lab up` was killed
            shutil.copyfile(run / "junit.xml", output / "junit" / f"{name}.xml")
            collected = outcome.verdict != "error"
    if not collected:
        _write_junit(outcome, output / "junit" / f"{name}{'.lab' if run else ''}.xml")


def _write_junit(outcome: Outcome, path: Path) -> None:
    """One test case, for a cell whose sections cannot say what went wrong with it."""
    cell, now = outcome.cell, time.time()
    section, title = "lab", cell.text
    began = now - outcome.seconds
    junit.write(
        path,
        [
            RunStarted(
                at=began,
                lab=cell.lab,
                scenario=cell.scenario,
                title=cell.text,
                platform=cell.platform,
                provider=cell.provider,
                sections=(section,),
            ),
            StepStarted(at=began, section=section, title=title),
            StepEnded(
                section=section,
                title=title,
                verdict="error",
                problem=outcome.problem or outcome.verdict,
                harness=outcome.seconds,
            ),
            RunEnded(verdict="error", seconds=outcome.seconds),
        ],
    )


def _end(work: Work) -> str:
    """Why a run ended of which no section tells: what `lab up` said last."""
    if work.status is not None and work.status < 0:
        return f"lab up was killed by {signal.Signals(-work.status).name}"
    return work.last_words()


def summary(
    outcomes: Sequence[Outcome], left_out: Sequence[LeftOut], seconds: float, shard: str
) -> dict[str, Any]:
    """All of it as plain data, as summary.json has it. What was left out belongs to no shard: each
    tells of all of it.
    """
    return {
        "at": time.time(),
        "seconds": seconds,
        "shard": shard,
        "passed": all(outcome.verdict == "passed" for outcome in outcomes),
        "cells": [outcome.to_json() for outcome in outcomes],
        "left_out": [asdict(one) for one in left_out],
    }


def write_summary(output: Path, data: dict[str, Any]) -> None:
    """summary.json, for who looks at it meanwhile too."""
    write_json(output / "summary.json", data, indent=2)
