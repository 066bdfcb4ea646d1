"""Get a file from a web server: whole or not at all, on a disk that has room for it."""

from __future__ import annotations

import errno
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from lab.deadline import Deadline
from lab.errors import CannotRun

STALL = 60.0  # seconds without a byte
WITHIN = 3 * 3600.0  # seconds for all of it
SPARE = 1 << 28  # bytes that stay free
CHUNK = 1 << 20
_UNKNOWN = 1 << 28  # bytes from one line of progress to the next where the size is not known


def download(address: str, file: Path, say: Callable[[str], None]) -> None:
    """Fetch `address` into `file`; `say` gets a line at each tenth of it.

    Raises CannotRun where it does not arrive, or where the disk has no room for it.
    """
    draft = file.with_name(file.name + ".part")
    try:
        with urlopen(address) as answer, draft.open("wb") as out:
            size = int(answer.headers.get("Content-Length") or 0)
            _check_room(file.parent, address, size)
            _copy(answer, out, address, size, say)
        draft.replace(file)
    except (OSError, HTTPException) as error:
        if getattr(error, "errno", 0) == errno.ENOSPC:
            raise CannotRun(
                f"the disk of {file.parent} is full: {address} was not fetched",
                hint="free some room, or set LAB_CACHE to a folder on another disk",
            ) from error
        raise CannotRun(f"{address} broke off: {error}", hint="try again") from error
    finally:
        draft.unlink(missing_ok=True)


def urlopen(address: str, accept: str = "*/*") -> HTTPResponse:
    """The answer of a web server. Raises CannotRun where there is none, or another than 200."""
    request = urllib.request.Request(address, headers={"Accept": accept})
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=STALL)
    except urllib.error.HTTPError as error:
        raise CannotRun(f"{address} cannot be fetched: {error.code} {error.reason}") from error
    except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
        reason = getattr(error, "reason", error)
        raise CannotRun(
            f"{address} cannot be fetched: {reason}", hint="does this machine have a network?"
        ) from error
    return answer


def _check_room(folder: Path, address: str, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + SPARE:
        raise CannotRun(
            f"{address} needs {size + SPARE >> 20} MiB in {folder}, {free >> 20} MiB are free",
            hint="free some room, or set LAB_CACHE to a folder on another disk",
        )


def _copy(
    answer: HTTPResponse, out: BinaryIO, address: str, size: int, say: Callable[[str], None]
) -> None:
    deadline = Deadline(WITHIN)
    step = size // 10 or _UNKNOWN
    got = told = 0
    while chunk := answer.read(CHUNK):
        out.write(chunk)
        got += len(chunk)
        if deadline.over:
            raise CannotRun(f"{address} did not arrive within {WITHIN:g} s", hint="try again")
        if got // step > told:
            told = got // step
            say(f"{got >> 20} MiB" + (f" of {size >> 20}" if size else ""))
    if got < size:
        raise OSError(f"{got} of {size} bytes arrived")
