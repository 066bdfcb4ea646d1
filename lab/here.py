"""This machine, where a lab's virtual machines run: as `lab.machine.Machine`, as far as needed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from lab import command
from lab.errors import CommandFailed
from lab.machine import QUICK, Result


class Here:
    """Commands and files of this machine."""

    name = "this machine"

    def run(
        self, line: str, *, within: float = QUICK, stdin: str | None = None, check: bool = False
    ) -> Result:
        """Run a line in a shell here; as Machine.run."""
        started = time.monotonic()
        done = command.run(["sh", "-c", line], within=within, stdin=stdin or "", check=check)
        return Result(line, done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file here."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except OSError as error:
            raise CommandFailed(f"{path} could not be written: {error.strerror}") from error

    def get(self, path: str) -> bytes:
        """Read a file here."""
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise CommandFailed(f"{path} could not be read: {error.strerror}") from error
