"""results.jsonl: each event of a run as one line of JSON, for programs."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.errors import BadInput
from lab.events import Event, Waiting
from lab.report import Report
from lab.stored import parsed


class Results(Report):
    """Appends each event to a file as a line of JSON, and flushes it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        # An output may hold halves of surrogate pairs (bytes that were no UTF-8). Escaped with
        # a backslash they are valid JSON, and read() gives back what was written.
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")

    def __call__(self, event: Event) -> None:
        """Write one event down."""
        if isinstance(event, Waiting):
            return
        self._file.write(json.dumps(event.to_json(), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """End the file; no event may follow."""
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The events in a results file. A last line that a killed harness cut off is left out."""
    *lines, torn = path.read_bytes().split(b"\n")
    events: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(_parse(line))
        except ValueError as error:
            raise BadInput(f"{path}, line {number}: not an event in JSON: {error}") from error
    with suppress(ValueError):  # nothing after the last line end, or half a line
        events.append(_parse(torn))
    return events


def _parse(line: bytes) -> dict[str, Any]:
    event = parsed(line)
    if not isinstance(event, dict) or "event" not in event:
        raise ValueError("no key 'event'")
    return event


def _cut_torn_line(path: Path) -> None:
    """Remove a half-written last line: what is appended to it could not be read either."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
