"""A cell that is being done: `lab down` of what an earlier run left, `lab up`, `lab down`.

One process after the other, in sessions of their own: Ctrl-C on the terminal reaches the matrix
alone, which tells its cells. `lab up` is interrupted when the matrix dies, whatever kills it; what
removes a lab is not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from lab import paths
from lab.deadline import Deadline
from lab.errors import LabError
from lab.labs import everything
from lab.matrix.cells import Cell
from lab.report import results

LAB = (sys.executable, "-m", "lab.cli")
_DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")
PATIENCE = 90.0  # seconds for `lab up` to end after it was interrupted
DOWN = 1500.0  # seconds for `lab down`: more than it waits for other labs' machines to be made


class Work:
    """The processes of one cell. Call `done` again and again until it is true.

    `status`: how `lab up` ended, None if it never ran. `problem`: what went wrong beside it.
    `left`: whether the lab is there still. Make it in the main thread: the kernel takes the end
    of the thread that starts a process for the end of its parent.
    """

    def __init__(
        self, cell: Cell, log: Path, *, keep: bool = False, lab: Sequence[str] = LAB
    ) -> None:
        self.cell = cell
        self.log = log
        self.status: int | None = None
        self.problem = ""
        self.left = False
        self.interrupted = False
        self.began = time.monotonic()
        self.seconds = 0.0
        self._keep = keep
        self._lab = lab
        self._latest = paths.results() / cell.lab / "latest"
        self._before = self._run_folder()
        self._out: IO[bytes] = log.open("wb")
        self._deadline: Deadline | None = None
        self._doing = ""
        self._next("clear" if self._there() else "up")

    @property
    def results(self) -> Path | None:
        """The folder of this run's results, once there is one."""
        folder = self._run_folder()
        return None if folder == self._before else folder

    def progress(self) -> tuple[int, str]:
        """How many sections have ended, and the one that is being done."""
        folder = self.results
        if folder is None or self._doing != "up":
            return 0, {"clear": "removing an earlier lab", "down": "lab down"}.get(self._doing, "")
        with suppress(OSError, LabError):
            events = results.read(folder / "results.jsonl")
            ended = sum(event["event"] == "StepEnded" for event in events)
            begun = [event["section"] for event in events if event["event"] == "StepStarted"]
            return ended, begun[-1] if begun else ""
        return 0, ""

    def done(self) -> bool:
        """Go on with what comes next, if something has ended; whether all has."""
        if not self._doing:
            return True
        status = self._process.poll()
        if status is None:
            if self._deadline and self._deadline.over:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            return False
        if self._doing == "clear":
            self._cleared(status)
        elif self._doing == "up":
            self.status, self.seconds = status, time.monotonic() - self.began
            passed = status == 0 and not self.interrupted
            there = self._there()
            self.left = self._keep and not passed and there
            self._next("down" if there and not self.left else "")
        else:
            if status:
                self.left = True
                self.problem = f"lab down {self.cell.lab} ended with {status}"
            self._next("")
        return not self._doing

    def _cleared(self, status: int) -> None:
        if status:
            self.left = True
            self.problem = (
                f"a lab {self.cell.lab} that was there could not be removed (exit status {status})"
            )
        self._next("" if status or self.interrupted else "up")

    def interrupt(self) -> None:
        """End `lab up` as Ctrl-C does; what removes the lab afterwards is not interrupted.

        SIGTERM, since a program that a script runs in the background ignores SIGINT.
        """
        self.interrupted = True
        if self._doing == "up":
            self._deadline = Deadline(PATIENCE)
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def last_words(self) -> str:
        """The last thing that was said in the log: why something did not even begin."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line]
        said = [line for line in lines if line.startswith("lab: ")]
        return (said or lines or ["nothing was said"])[-1].removeprefix("lab: ")

    def _next(self, what: str) -> None:
        self._doing = what
        self._deadline = Deadline(DOWN) if what in ("clear", "down") else None
        if not what:
            self._out.close()
            return
        cell = self.cell
        argv = [*self._lab, "down", cell.lab]
        if what == "up":
            self.began = time.monotonic()
            made_of = ["--platform", cell.platform, "--provider", cell.provider]
            up = ["up", cell.file, *made_of, "--name", cell.lab]
            argv = [*_DIES_WITH_US, *self._lab, *up]
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _there(self) -> bool:
        """Whether anything of the lab is there."""
        try:
            return self.cell.lab in everything()
        except LabError:
            return True  # nobody can tell: `lab down` will say

    def _run_folder(self) -> Path | None:
        return self._latest.resolve() if self._latest.exists() else None
