"""Files from a web server: whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Web, serving

from lab import download as downloads
from lab.deadline import Deadline
from lab.download import download
from lab.errors import CannotRun


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as found:
        yield found


def refused(address: str, file: Path) -> CannotRun:
    with pytest.raises(CannotRun) as caught:
        download(address, file, lambda _: None)
    assert list(file.parent.iterdir()) == []
    return caught.value


def test_it_arrives_and_says_how_far_it_is(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "CHUNK", 1 << 20)
    web.files["/box"] = bytes(range(256)) * (20 << 12)  # 20 MiB
    said: list[str] = []
    download(f"{web.address}/box", tmp_path / "box", said.append)
    assert (tmp_path / "box").read_bytes() == web.files["/box"]
    assert [path.name for path in tmp_path.iterdir()] == ["box"]
    assert said == [f"{number} MiB of 20" for number in range(2, 21, 2)]


def test_one_that_breaks_off(web: Web, tmp_path: Path) -> None:
    web.files["/box"], web.promised["/box"] = b"half", 4
    error = refused(f"{web.address}/box", tmp_path / "box")
    assert f"{web.address}/box broke off: " in error.message
    assert error.hint == "try again"


def test_one_that_is_not_there(web: Web, tmp_path: Path) -> None:
    error = refused(f"{web.address}/box", tmp_path / "box")
    assert error.message == f"{web.address}/box cannot be fetched: 404 Not Found"


def test_no_server(tmp_path: Path) -> None:
    with serving() as web:
        address = web.address
    error = refused(f"{address}/box", tmp_path / "box")
    assert "cannot be fetched: " in error.message
    assert "refused" in error.message
    assert error.hint == "does this machine have a network?"


def test_a_disk_that_has_no_room_is_noticed_before(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/box"] = b"x" * 1000
    free = downloads.SPARE + 999
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, free))
    error = refused(f"{web.address}/box", tmp_path / "box")
    assert f"{web.address}/box needs 256 MiB in {tmp_path}, 256 MiB are free" in error.message
    assert "LAB_CACHE" in error.hint
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, free + 1))
    download(f"{web.address}/box", tmp_path / "box", lambda _: None)


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (OSError(28, "No space left on device"), CannotRun, "is full: http"),
        (TimeoutError("timed out"), CannotRun, "broke off: timed out"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_what_happens_on_the_way_leaves_nothing(
    web: Web,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
    says: str,
) -> None:
    def copy(_answer: Any, out: Any, *_: Any) -> None:
        out.write(b"half")
        assert [path.name for path in tmp_path.iterdir()] == ["box.part"]  # it had begun
        raise error

    web.files["/box"] = b"whole"
    monkeypatch.setattr(downloads, "_copy", copy)
    with pytest.raises(raised, match=says):
        download(f"{web.address}/box", tmp_path / "box", lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_it_has_a_deadline(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "Deadline", lambda _: Deadline(0))
    web.files["/box"] = b"whole"
    assert "did not arrive within" in refused(f"{web.address}/box", tmp_path / "box").message
