"""Boxes: made once, whole or not at all, as Vagrant's libvirt provider takes them."""

from __future__ import annotations

import json
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lab import boxes, command
from lab.errors import CannotRun, CommandFailed
from lab.images import Images


class Converter:
    """Stands in for qemu-img."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.error: BaseException | None = None
        self.takes = 0.0

    def run(self, argv: list[str], **_: Any) -> None:
        self.calls.append(argv)
        Path(argv[-1]).write_bytes(b"half of a disk")
        time.sleep(self.takes)
        if self.error:
            raise self.error
        Path(argv[-1]).write_bytes(b"disk")


@pytest.fixture
def qemu_img(monkeypatch: pytest.MonkeyPatch) -> Converter:
    made = Converter()
    monkeypatch.setattr(command, "run", made.run)
    return made


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    folder = tmp_path / "debian-12-0123456789ab"
    folder.mkdir()
    (folder / "vmlinuz").write_text("kernel")
    (folder / "initrd").write_text("initrd")
    with (folder / "guest.ext4").open("wb") as disk:
        disk.truncate(2 * 1024**3 + 1)
    return Images("debian-12", "0123456789ab", folder)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_in_it(built: Images, qemu_img: Converter) -> None:
    box = boxes.ensure(built)
    assert files(box) == ["Vagrantfile", "box.img", "initrd", "metadata.json", "vmlinuz"]
    assert (box / "box.img").read_bytes() == b"disk"
    metadata = json.loads((box / "metadata.json").read_text())
    # Gigabytes, rounded up: a volume that is smaller than the disk would cut it off.
    assert metadata == {"provider": "libvirt", "format": "qcow2", "virtual_size": 3}
    assert (box / "vmlinuz").stat().st_ino == (built.folder / "vmlinuz").stat().st_ino
    (convert,) = qemu_img.calls
    assert convert[:6] == ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
    assert convert[6] == str(built.folder / "guest.ext4")
    assert "box.new" not in files(built.folder)


def test_where_vagrant_looks_for_it(built: Images, qemu_img: Converter) -> None:
    box = boxes.ensure(built)
    place = box.relative_to(boxes.home(built) / "boxes").parts
    assert place == ("lab-VAGRANTSLASH-debian-12", boxes.VERSION, "libvirt")
    assert boxes.name(built) == "lab/debian-12"
    assert boxes.volume(built).startswith(f"{place[0]}_vagrant_box_image_{boxes.VERSION}_")


def test_it_is_made_once(built: Images, qemu_img: Converter) -> None:
    assert not boxes.made(built)
    assert boxes.ensure(built) == boxes.ensure(built)
    assert boxes.made(built)
    assert len(qemu_img.calls) == 1


def test_two_callers_make_it_once(built: Images, qemu_img: Converter) -> None:
    qemu_img.takes = 0.3
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(boxes.ensure(built))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [boxes.folder(built)] * 3
    assert len(qemu_img.calls) == 1


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (CommandFailed("qemu-img: No space left on device"), CannotRun),
    ],
)
def test_one_that_is_interrupted_leaves_nothing(
    built: Images, qemu_img: Converter, error: BaseException, raised: type[BaseException]
) -> None:
    before = files(built.folder)
    qemu_img.error = error
    with pytest.raises(raised):
        boxes.ensure(built)
    assert files(built.folder) == before
    assert not boxes.made(built)
    qemu_img.error = None
    assert (boxes.ensure(built) / "box.img").read_bytes() == b"disk"  # and holds no lock


def test_what_a_killed_one_left_is_no_box(built: Images, qemu_img: Converter) -> None:
    left = built.folder / "box.new"
    left.mkdir()
    (left / "stale").touch()
    assert "stale" not in files(boxes.ensure(built))
    assert not left.exists()


def test_pack(built: Images, qemu_img: Converter, tmp_path: Path) -> None:
    file = tmp_path / "out" / "mine.box"
    file.parent.mkdir()
    boxes.pack(built, file)
    assert files(file.parent) == ["mine.box"]
    with tarfile.open(file, "r:gz") as tar:
        members = tar.getmembers()
        assert {member.name for member in members} == set(files(boxes.folder(built)))
        assert all(member.isfile() for member in members)  # a link would lead out of it
        kernel = tar.extractfile("vmlinuz")
        assert kernel
        assert kernel.read() == b"kernel"


@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left on device"), CannotRun)],
)
def test_a_file_is_whole_or_not_there(
    built: Images,
    qemu_img: Converter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    out = tmp_path / "out"
    out.mkdir()

    def add(_tar: tarfile.TarFile, _path: Path, name: str) -> None:
        assert files(out) == [".mine.box.new"]  # it had begun
        raise error

    monkeypatch.setattr(tarfile.TarFile, "add", add)
    with pytest.raises(raised):
        boxes.pack(built, out / "mine.box")
    assert files(out) == []
