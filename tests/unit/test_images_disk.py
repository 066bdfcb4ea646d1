"""The disk of images for hosts that are virtual machines: made once, whole or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import command, guests, images_disk
from lab.errors import CannotRun, CommandFailed
from lab.images import Images


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    folder = tmp_path / "debian-12-0123456789ab"
    folder.mkdir()
    images = Images("debian-12", "0123456789ab", folder)
    for name in images_disk.files(images):
        (folder / name).write_text(f"{name}\n" * 9000)
    with (folder / "guest.ext4").open("ab") as disk:  # as the real one: most of it is a hole
        disk.truncate(1024**3)
        disk.seek(0, 2)
        disk.write(b"the end")
    return images


def ask(disk: Path, request: str) -> bytes:
    argv = ["debugfs", "-R", request, str(disk)]
    return subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout


def test_what_is_on_it(built: Images) -> None:
    """Read back by ext4's own tools."""
    disk = images_disk.ensure(built)
    for name in images_disk.files(built):
        here = (built.folder / name).read_bytes()
        assert ask(disk, f"cat /{name}") == here, name
    said = ask(disk, "stats").decode()
    assert f"volume name:   {images_disk.LABEL}\n" in said
    # What a kernel of the oldest platform (3.10) does not know, it would not mount.
    features = next(line for line in said.splitlines() if "features:" in line).split(":")[1].split()
    assert set(features) <= {
        *("ext_attr", "filetype", "extent", "extents", "flex_bg", "sparse_super", "large_file"),
    }
    subprocess.run(["e2fsck", "-fn", str(disk)], check=True, capture_output=True, timeout=60)


def test_of_a_box_that_was_fetched_it_has_the_disk(built: Images) -> None:
    built.box_disk.write_text("a disk\n")
    assert ask(images_disk.ensure(built), "cat /box.img") == b"a disk\n"
    assert ask(images_disk.ensure(built), "cat /guest.ext4") == b""


def test_it_takes_as_much_room_as_what_is_in_it(built: Images) -> None:
    found = images_disk.ensure(built).stat()
    assert found.st_size > 1024**3
    assert found.st_blocks * 512 < 16 * 1024**2


def test_it_is_made_once(built: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    first = images_disk.ensure(built).stat()
    monkeypatch.setattr(command, "run", None)
    again = images_disk.ensure(built).stat()
    assert (first.st_ino, first.st_mtime) == (again.st_ino, again.st_mtime)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (CommandFailed("mke2fs: no room"), CannotRun)],
)
def test_one_that_is_interrupted_leaves_nothing(
    built: Images,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    before = sorted(built.folder.iterdir())
    (built.folder / "images.new").mkdir()  # of one that was killed

    def run(argv: list[str], **_: Any) -> None:
        Path(argv[-2]).write_bytes(b"half of a disk")
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(command, "run", run)
        with pytest.raises(raised):
            images_disk.ensure(built)
    assert sorted(built.folder.iterdir()) == before
    assert images_disk.ensure(built).exists()  # and holds no lock


def test_images_that_have_no_guest_are_named(built: Images) -> None:
    (built.folder / "guest.ext4").unlink()
    with pytest.raises(
        CannotRun, match=r"disk of debian-12's images could not be made.*guest\.ext4"
    ):
        images_disk.ensure(built)


def test_it_is_mounted_where_guests_are_made() -> None:
    """systemd wants a mount's unit to be called as its place."""
    (unit,) = (name for name in images_disk.identity("debian") if name.endswith(".mount"))
    assert Path(unit).stem == guests.IMAGES.strip("/").replace("/", "-")
    text = images_disk.identity("debian")[unit]
    assert f"\nWhere={guests.IMAGES}\n" in text
    assert f"\nWhat=/dev/disk/by-label/{images_disk.LABEL}\n" in text
    assert "\nOptions=ro," in text
    wanted = images_disk.identity("debian")["etc/systemd/system/libvirtd.service.d/lab-images.conf"]
    for key in ("Wants", "After"):
        assert f"\n{key}={Path(unit).name}\n" in wanted
