"""A file that is written whole or not at all."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from lab.whole import write_json


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "lab.json"
    write_json(file, {"a": 1})
    write_json(file, {"a": [2]}, indent=2)
    assert json.loads(file.read_text()) == {"a": [2]}
    assert [one.name for one in tmp_path.iterdir()] == ["lab.json"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lab.json"
    write_json(file, {"a": 1})
    real = Path.write_text

    def full(self: Path, text: str, *arguments: Any, **more: Any) -> int:
        real(self, text[:3], *arguments, **more)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_json(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["lab.json"]
