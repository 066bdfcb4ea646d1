"""The command line: reads it, calls the command, says what went wrong and how it ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from lab import paths, streams
from lab.errors import EXIT_INTERRUPTED, LabError
from lab.grammar import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    streams.mend()
    if not os.environ.get("COLUMNS", "").strip("0"):  # 0: not known, and no width to fold to
        os.environ.pop("COLUMNS", None)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            options = parser().parse_args(given)
            status: int = options.run(options)
        except SystemExit as end:  # --help, --version
            status = int(end.code or 0)
        streams.flush()
        return status
    except KeyboardInterrupt:
        _complain("interrupted", "what is there stays: lab list shows it, lab down removes it")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        streams.flush()
        return 0
    except LabError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except OSError as error:
        if error.errno is None:
            raise
        _unforeseen(error, next(iter(given), ""))
        return 3


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _unforeseen(error: OSError, command: str) -> None:
    """Complain of what the system did not allow, where nobody expected it."""
    try:
        if not error.filename:  # of something that is open: one line more tells whether it is this
            sys.stdout.write("\n")
        streams.flush()
    except OSError as stuck:
        error = OSError(stuck.errno, stuck.strerror, "standard output")
    message, hint = str(error.strerror), ""
    if error.filename:
        message += f" ({error.filename})"
    if setting := paths.setting_of(error.filename):
        message += f", used because of {setting}"
        hint = f"set {setting.partition('=')[0]} to a folder that can be written"
    elif command in ("up", "down", "matrix"):
        hint = "lab down removes what is there of a lab"
    _complain(message, hint)


def _complain(message: str, hint: str = "") -> None:
    print(f"lab: {message}", file=sys.stderr)
    if hint:
        print(f"  try: {hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
