"""A file of JSON that is written whole or not at all: killed at any moment, or on a full disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(file: Path, data: Any, *, indent: int | None = None) -> None:
    """Put `data` in place of what `file` has; its folder is there. Raises OSError.

    Who reads meanwhile finds the old text or the new one. Who writes at the same time is kept
    away by a lock of the caller's.
    """
    draft = file.with_name(f".{file.name}.new")
    try:
        draft.write_text(json.dumps(data, indent=indent) + "\n")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
