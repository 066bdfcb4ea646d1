"""What can go wrong, and with which exit code the command line ends.

    LabError                    1
    ├── BadInput                2   the caller's words or files are wrong
    ├── CannotRun               3   this machine, or its state, does not allow it
    │   └── Busy                3   another lab process holds what is needed
    ├── StepFailed              1   a section of the book did not come true
    └── CommandFailed           1   a command on a machine ended otherwise than it should
        ├── CommandTimeout      1   … or not at all before its deadline
        └── Unreachable         1   … or could not be started: no connection

Interrupted runs (Ctrl-C) end with 130; there is no class for it, KeyboardInterrupt is it.
"""

from __future__ import annotations

EXIT_INTERRUPTED = 130


class LabError(Exception):
    """The root: `message` is one clear sentence, `hint` what to try (may be empty)."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(LabError):
    """Names the file, the place in it and the valid choices."""

    exit_code = 2


class CannotRun(LabError):
    """Something that this machine lacks; `lab doctor` says how to get it."""

    exit_code = 3


class Busy(CannotRun):
    """Another process is at work on the same lab or image."""


class StepFailed(LabError):
    """A section failed: its message was already shown line by line."""


class CommandFailed(LabError):
    """A command on a machine failed. `output` is what it had printed (both streams)."""

    def __init__(self, message: str, *, hint: str = "", output: str = "") -> None:
        super().__init__(message, hint=hint)
        self.output = output


class CommandTimeout(CommandFailed):
    """A command did not end before its deadline; the connection was dropped."""


class Unreachable(CommandFailed):
    """No connection to the machine could be had, or it was lost."""
