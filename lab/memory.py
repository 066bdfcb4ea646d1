"""This machine's memory."""

from __future__ import annotations

import re
from pathlib import Path


def available() -> int:
    """MiB that new programs can have."""
    text = Path("/proc/meminfo").read_text()
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    assert match is not None
    return int(match[1]) // 1024
