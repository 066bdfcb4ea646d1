"""The standard streams of this process, which may be closed, full, or of few letters."""

from __future__ import annotations

import io
import os
import sys


def mend() -> None:
    """See to it that there are standard streams, and that no letter is missing in them.

    A closed one (`>&-`) is opened on nothing: else the next file that is opened is taken for it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def flush() -> None:
    """Print what is not printed yet. Where that cannot be, nothing more is printed; raises OSError
    unless the reader is gone.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, "standard output") from error
