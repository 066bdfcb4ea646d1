"""Boxes that are fetched: agreed upon by their checksum, made nodes of once, kept like the others.

Their programs are small ones that say in `ran` what they were asked.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Web, serving
from typed import typed

from lab import boxes as vagrant_boxes
from lab import catalogue, customize, fetched, images, paths, platforms
from lab.catalogue import Entry
from lab.errors import BadInput, CannotRun
from lab.fetched import Offer
from lab.platform import Platform

PLATFORM = """\
name: made-up
title: Made up
family: redhat
box: {%s, version: "7"}
versions:
  pcs: "0.9"
packages: {pcs: pcs}
base: [firewalld, python3]
repository:
  groups: [[pcs, corosync], [httpd]]
"""
NAMED, IMAGE = "name: some/box", "image: a.qcow2"
GIGABYTES = 41
DISK = b"QFI\xfb" + bytes(20) + (GIGABYTES << 30).to_bytes(8, "big") + b"disk"
PROGRAMS = {
    "qemu-img": """
case $1 in
    info) cat info ;;
    convert) shift 5; cat "$1" > "$2" ;;
esac
""",
    "virt-customize": """
[ "$1" != --help ] || { cat help; exit; }
echo "[   3.4] Running: prepare"
for word; do case $word in
    *:/etc/lab.env) cat "${word%:*}" > lab.env ;;
    */box.img) printf customized >> "$word" ;;
esac; done
[ ! -e broken ] || { echo "no more packages"; exit 1; }
""",
    "virt-cat": "cat versions",
}


class Site:
    """Where the programs are, and what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran_file = folder / "ran"
        for name, code in PROGRAMS.items():
            text = f'#!/bin/sh\ncd {folder}\necho "{name} $*" >> ran\nenv > env-{name}\n{code}'
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.say("help", "  --selinux-relabel  Relabel files\n")
        self.say("info", json.dumps({"format": "qcow2"}))
        self.say("versions", "pcs 0.9.158\nbash 4.2\n")

    def say(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text)

    def ran(self, program: str) -> list[str]:
        lines = self.ran_file.read_text().splitlines() if self.ran_file.exists() else []
        return [line for line in lines if line.startswith(f"{program} ") and "--help" not in line]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    monkeypatch.setattr("lab.builds._CONFINED", ())
    monkeypatch.setattr(customize, "ROOM", 0)
    monkeypatch.setattr(paths, "BOXES", tmp_path / "boxes")
    (tmp_path / "boxes/redhat").mkdir(parents=True)
    (tmp_path / "boxes/redhat/prepare").write_text("#!/bin/sh\n")
    monkeypatch.setattr(catalogue, "look_up", lambda _: pytest.fail("Vagrant was asked"))
    return Site(folder)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as found:
        yield found


Write = Callable[[str], Platform]


@pytest.fixture
def write(site: Site, tmp_path: Path) -> Write:
    assert site.folder.exists()

    def write(start: str) -> Platform:
        folder = tmp_path / "boxes/made-up"
        folder.mkdir(exist_ok=True)
        (folder / "platform.yaml").write_text(PLATFORM % start)
        return platforms.load("made-up")

    return write


def box(
    metadata: dict[str, Any] | None = None,
    disk: str = "./box.img",
    vagrantfile: str = "key = 'insecure'",
) -> bytes:
    """A box of Vagrant's, one file."""
    said = {"provider": "libvirt", "format": "qcow2", "virtual_size": GIGABYTES}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (
            ("./metadata.json", json.dumps(said | (metadata or {})).encode()),
            ("./Vagrantfile", vagrantfile.encode()),
            (disk, DISK),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


BOX = box()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def refused(platform: Platform, offer: Offer | None = None) -> CannotRun:
    with pytest.raises(CannotRun) as caught:
        images.ensure(platform, offer=offer)
    assert caught.value.exit_code == 3
    assert images.built(platform) is None
    left = [path.name for path in paths.cache().iterdir() if path.is_dir()]
    assert left in ([], ["fetched"])
    return caught.value


def downloads() -> list[bytes]:
    return [path.read_bytes() for path in fetched.downloads()]


# A build


def test_from_a_file_of_the_users(site: Site, write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    mine = tmp_path / "mine.box"
    mine.write_bytes(BOX)
    said: list[str] = []
    made = images.ensure(platform, said.append, Offer(str(mine), digest(BOX)))
    assert made == images.built(platform)
    assert made.fetched
    assert made.box_disk.read_bytes() == DISK + b"customized"
    assert made.version("pcs") == "0.9.158"
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "box.img",
        "log",
        "manifest.json",
        "versions",
    ]
    assert said == [
        "checking mine.box",
        "making nodes of the Made up that was fetched: once, some ten minutes",
        "unpacking mine.box",
        "Running: prepare",
    ]
    assert mine.read_bytes() == BOX  # only read
    assert downloads() == []
    # Nobody needs it, nor its checksum, from here on.
    mine.unlink()
    assert images.ensure(platform) == made
    assert len(site.ran("virt-customize")) == 1


def test_what_virt_customize_is_told(site: Site, write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(BOX)))
    (line,) = site.ran("virt-customize")
    words = line.split()
    assert words[1:4] == ["--format", "qcow2", "-a"]
    assert words[4].endswith("/box.img")
    order = [words.index(word) for word in ("--upload", "--run", "--delete")]
    assert order == sorted(order)
    assert words[words.index("--run") + 1] == str(paths.BOXES / "redhat" / "prepare")
    assert "--network" in words
    assert "relabel" not in line  # `prepare` does it
    (read,) = site.ran("virt-cat")
    assert read.endswith("/box.img /srv/versions")


def test_a_virt_customize_that_relabels_by_itself_is_told_not_to(
    site: Site, write: Write, tmp_path: Path
) -> None:
    """Where libguestfs has no setfiles, it would leave it to each machine's first boot."""
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    site.say("help", "  --no-selinux-relabel  Do not relabel files\n")
    images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(BOX)))
    (line,) = site.ran("virt-customize")
    assert line.endswith(" --no-selinux-relabel")


def test_prepare_gets_what_it_needs(
    site: Site, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_MIRROR", "http://mirror.test/of-another")
    monkeypatch.setenv("LAB_MIRROR_MADE_UP", "http://mirror.test/it's")
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(BOX)))
    show = '. ./lab.env; echo "$BASE|$REPOSITORY|$LAB_MIRROR"'
    done = subprocess.run(["sh", "-c", show], cwd=site.folder, capture_output=True, text=True)
    assert done.stdout == "firewalld python3|pcs corosync\nhttpd|http://mirror.test/it's\n"


def test_an_image_that_is_no_box_of_vagrants(site: Site, write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    (tmp_path / "a.qcow2").write_bytes(DISK)
    made = images.ensure(platform, offer=Offer(str(tmp_path / "a.qcow2"), digest(DISK)))
    assert made.box_disk.read_bytes() == DISK + b"customized"
    (convert,) = [line for line in site.ran("qemu-img") if " convert " in line]
    assert convert.startswith("qemu-img convert -f qcow2 -O qcow2 ")


def test_the_box_that_vagrant_gets(site: Site, write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    made = images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(BOX)))
    folder = vagrant_boxes.ensure(made)
    assert sorted(path.name for path in folder.iterdir()) == [
        "Vagrantfile",
        "box.img",
        "metadata.json",
    ]
    assert (folder / "Vagrantfile").read_text() == ""  # no kernel, and nothing of the publisher's
    assert json.loads((folder / "metadata.json").read_text())["virtual_size"] == GIGABYTES
    assert (folder / "box.img").stat().st_ino == made.box_disk.stat().st_ino
    packed = tmp_path / "packed.box"
    vagrant_boxes.pack(made, packed)
    with tarfile.open(packed) as tar:
        assert tar.getnames() == ["Vagrantfile", "box.img", "metadata.json"]


# Checksums


def test_without_a_checksum_it_is_fetched_once_and_refused(write: Write, web: Web) -> None:
    platform = write(IMAGE)
    web.files["/a.qcow2"] = BOX
    offer = Offer(f"{web.address}/a.qcow2")
    again = f"lab images build made-up --from {offer.source} --sha256 {digest(BOX)}"
    for _ in range(2):
        error = refused(platform, offer)
        assert f"{offer.source} is {digest(BOX)}, and nobody has said" in error.message
        assert error.hint == f"compare it with what its publisher lists, then: {again}"
    made = images.ensure(platform, offer=Offer(offer.source, digest(BOX)))
    assert web.asked == ["/a.qcow2"]
    assert images.built(platform) == made


@pytest.mark.parametrize("ours", [True, False])
def test_another_checksum_than_the_one_that_was_said(
    write: Write, web: Web, tmp_path: Path, ours: bool
) -> None:
    platform = write(IMAGE)
    web.files["/a.qcow2"] = BOX
    (tmp_path / "mine.box").write_bytes(BOX)
    source = f"{web.address}/a.qcow2" if ours else str(tmp_path / "mine.box")
    error = refused(platform, Offer(source, "b" * 64))
    assert f"the SHA-256 of {source} is {digest(BOX)}, and was to be {'b' * 64}" in error.message
    assert ("the download was removed" in error.message) is ours
    assert downloads() == []
    assert (tmp_path / "mine.box").exists()


def test_the_platforms_own_checksum(write: Write, web: Web) -> None:
    web.files["/a.qcow2"] = BOX
    offer = Offer(f"{web.address}/a.qcow2")
    assert "was to be" in refused(write(f"{IMAGE}, checksum: {'b' * 64}"), offer).message
    platform = write(f"{IMAGE}, checksum: {digest(BOX)}")
    with pytest.raises(BadInput, match=r"platform\.yaml has another checksum of the image a"):
        images.ensure(platform, offer=Offer(offer.source, "b" * 64))
    assert images.ensure(platform, offer=offer)


def test_a_box_with_a_name(write: Write, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no word of the user's where its publisher lists a checksum."""
    platform = write(NAMED)
    web.files["/box"] = BOX
    entry = Entry(f"{web.address}/box", "b" * 64)
    monkeypatch.setattr(catalogue, "look_up", lambda _: entry)
    assert "was to be bbb" in refused(platform).message
    entry = Entry(f"{web.address}/box", "")
    error = refused(platform)
    assert error.hint.endswith(f"lab images build made-up --sha256 {digest(BOX)}")
    entry = Entry(f"{web.address}/box", digest(BOX))
    assert images.ensure(platform).fetched
    assert web.asked == ["/box"] * 2


def test_the_users_checksum_goes_before_the_publishers(
    write: Write, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/box"] = BOX
    monkeypatch.setattr(catalogue, "look_up", lambda _: Entry(f"{web.address}/box", digest(BOX)))
    assert "was to be bbb" in refused(write(NAMED), Offer(sha256="b" * 64)).message


# Where it is from


def test_an_image_that_only_the_user_knows(
    write: Write, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = write(IMAGE)
    for call in (lambda: images.ensure(platform), lambda: fetched.check(platform)):
        with pytest.raises(CannotRun, match=r"where the image a\.qcow2 is, only you") as caught:
            call()
        assert "lab images build made-up --from FILE_OR_ADDRESS" in caught.value.hint
        assert "set LAB_MIRROR_MADE_UP to" in caught.value.hint
    web.files["/files/a.qcow2"] = BOX
    monkeypatch.setenv("LAB_MIRROR", f"{web.address}/debian/")
    monkeypatch.setenv("LAB_MIRROR_MADE_UP", f"{web.address}/files/")
    fetched.check(platform)
    assert images.ensure(platform, offer=Offer(sha256=digest(BOX))).fetched


def test_a_platform_whose_packages_are_on_no_mirror(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = write(f"{NAMED}, mirror: true")
    with pytest.raises(CannotRun, match="in no mirror that its box knows") as caught:
        fetched.check(platform)
    assert "set LAB_MIRROR_MADE_UP to" in caught.value.hint
    assert "in no mirror" in refused(platform).message  # before anything is fetched
    for setting in ("LAB_MIRROR", "LAB_MIRROR_MADE_UP"):
        with monkeypatch.context() as patch:
            patch.setenv(setting, "http://mirror.test")
            fetched.check(platform)


def test_a_file_that_is_not_there(write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    with pytest.raises(BadInput, match="there is no file ") as caught:
        images.ensure(platform, offer=Offer(str(tmp_path / "nothing")))
    assert caught.value.hint == "--from takes a file, or an address of http or https"


def test_a_file_that_was_moved_since(write: Write, tmp_path: Path) -> None:
    """Nobody typed --from this time."""
    platform = write(IMAGE)
    mine = tmp_path / "mine.box"
    mine.write_bytes(BOX)
    images.ensure(platform, offer=Offer(str(mine), digest(BOX)))
    (tmp_path / "boxes/redhat/prepare").write_text("#!/bin/sh\n# more\n")
    fetched.check(platform)
    mine.unlink()
    for call in (lambda: images.ensure(platform), lambda: fetched.check(platform)):
        with pytest.raises(CannotRun, match=f"made-up was made of the file {mine}, and") as caught:
            call()
        assert caught.value.hint == "lab images build made-up --from FILE_OR_ADDRESS"


def test_a_next_recipe_needs_no_word_of_the_users(
    site: Site, write: Write, web: Web, tmp_path: Path
) -> None:
    platform = write(IMAGE)
    web.files["/a.qcow2"] = BOX
    first = images.ensure(platform, offer=Offer(f"{web.address}/a.qcow2", digest(BOX)))
    (tmp_path / "boxes/redhat/prepare").write_text("#!/bin/sh\n# more\n")
    second = images.ensure(platform)
    assert first.key != second.key
    assert web.asked == ["/a.qcow2"]
    for path in fetched.downloads():
        path.unlink()
    (tmp_path / "boxes/redhat/prepare").write_text("#!/bin/sh\n# and more\n")
    assert images.ensure(platform).fetched
    assert web.asked == ["/a.qcow2"] * 2
    assert len(site.ran("virt-customize")) == 3


def test_another_box_is_another_set(write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    keys = []
    for number, content in enumerate((BOX, box({"more": 1}))):
        (tmp_path / f"{number}.box").write_bytes(content)
        offer = Offer(str(tmp_path / f"{number}.box"), digest(content))
        keys.append(images.ensure(platform, offer=offer).key)
    assert len(set(keys)) == 2
    # The first one again is there, and is the current one again.
    again = images.ensure(platform, offer=Offer(str(tmp_path / "0.box"), digest(BOX)))
    assert again.key == keys[0]
    assert images.key(platform) == keys[0]


def test_what_was_agreed_upon_is_of_one_source(write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(BOX)))
    other = box({"more": 1})
    (tmp_path / "other.box").write_bytes(other)
    with pytest.raises(CannotRun, match=f"is {digest(other)}, and nobody has said"):
        images.ensure(platform, offer=Offer(str(tmp_path / "other.box")))
    assert images.built(platform)  # as before


# What goes wrong


@pytest.mark.parametrize("how", ["fails", "Ctrl-C"])
def test_a_new_box_that_fails_leaves_the_platform_the_last_one(
    site: Site, write: Write, tmp_path: Path, how: str
) -> None:
    platform = write(IMAGE)
    mine, other = tmp_path / "mine.box", tmp_path / "other.box"
    mine.write_bytes(BOX)
    other.write_bytes(box({"more": 1}))
    made = images.ensure(platform, offer=Offer(str(mine), digest(BOX)))
    agreed = fetched.agreed(platform)
    offer = Offer(str(other), digest(other.read_bytes()))
    site.say("broken", "")

    def say(line: str) -> None:
        if how == "Ctrl-C" and line.startswith("Running"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt if how == "Ctrl-C" else CannotRun):
        images.ensure(platform, say, offer)
    assert fetched.agreed(platform) == agreed
    assert images.built(platform) == made == images.ensure(platform)
    (site.folder / "broken").unlink()
    assert images.ensure(platform, offer=offer) == images.built(platform) != made


def test_versions_that_the_platform_does_not_say(site: Site, write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    site.say("versions", "pcs 0.10.1\n")
    error = refused(platform, Offer(str(tmp_path / "mine.box"), digest(BOX)))
    assert error.message == (
        "boxes/made-up/platform.yaml:6 says pcs 0.9, but the mirror has pcs 0.10.1"
    )


def test_a_preparation_that_fails_says_why(site: Site, write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    site.say("broken", "")
    error = refused(platform, Offer(str(tmp_path / "mine.box"), digest(BOX)))
    assert error.message.startswith("preparing the box of made-up failed; it last said:")
    assert error.message.endswith("no more packages")
    assert "LAB_MIRROR_MADE_UP (or LAB_MIRROR)" in error.hint


@pytest.mark.parametrize(
    ("content", "info", "says"),
    [
        (box({"provider": "virtualbox"}), {}, "is a box for virtualbox with 1 disks, not one for"),
        (box({"disks": [{"path": "a"}, {"path": "b"}]}), {}, "for libvirt with 2 disks, not"),
        (box(disk="other.img"), {}, "is no box of Vagrant's: 'box.img'"),
        (BOX[: len(BOX) // 2], {}, "is no box of Vagrant's: "),
        (BOX[:20], {}, "is no box of Vagrant's: Compressed file ended before"),
        *(
            (box(vagrantfile=text), {}, f"boots by UEFI (its Vagrantfile sets {word}), and here")
            for word, text in (
                ("loader", "x do |libvirt|\n  libvirt.loader = '/usr/share/OVMF/code.fd'\nend\n"),
                ("nvram", "x { |libvirt| libvirt.nvram='/a' }"),
            )
        ),
        (BOX, {"format": "vmdk"}, "is a disk of the kind vmdk, not qcow2 or raw"),
        (BOX, {"backing-filename": "/etc/shadow"}, "is no disk by itself: it needs another file"),
        (
            BOX,
            {"format-specific": {"data": {"data-file": "/etc/shadow"}}},
            "is no disk by itself: it needs another file",
        ),
        (b"<html>moved</html>", {"format": "raw"}, "is neither a box of Vagrant's nor a disk that"),
    ],
)
def test_what_no_node_can_be_made_of(
    site: Site, write: Write, tmp_path: Path, content: bytes, info: dict[str, Any], says: str
) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(content)
    site.say("info", json.dumps({"format": "qcow2", **info}))
    assert says in refused(platform, Offer(str(tmp_path / "mine.box"), digest(content))).message
    assert site.ran("virt-customize") == []


def test_a_box_that_only_mentions_uefi(write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    content = box(vagrantfile="# libvirt.loader = '/a'\nlibvirt.bootloader_arguments = ''\n")
    (tmp_path / "mine.box").write_bytes(content)
    assert images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(content)))


def test_a_disk_of_a_box_may_have_another_name(write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    content = box({"disks": [{"path": "first.img"}]}, disk="first.img")
    (tmp_path / "mine.box").write_bytes(content)
    made = images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(content)))
    assert made.box_disk.read_bytes().startswith(DISK)


def test_a_disk_that_has_no_room(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    monkeypatch.setattr(customize, "ROOM", 1 << 60)
    error = refused(platform, Offer(str(tmp_path / "mine.box"), digest(BOX)))
    assert "building made-up needs 1099511627776 MiB in " in error.message

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(customize, "ROOM", 0)
    monkeypatch.setattr("shutil.copyfileobj", full)
    error = refused(platform, Offer(str(tmp_path / "mine.box"), digest(BOX)))
    assert "could not be unpacked: No space left on device" in error.message
    assert "LAB_CACHE" in error.hint


def test_interrupted_it_leaves_nothing(write: Write, web: Web) -> None:
    platform = write(IMAGE)
    web.files["/a.qcow2"] = BOX

    def say(line: str) -> None:
        if line.startswith("Running"):
            raise KeyboardInterrupt

    offer = Offer(f"{web.address}/a.qcow2", digest(BOX))
    with pytest.raises(KeyboardInterrupt):
        images.ensure(platform, say, offer)
    assert [path.name for path in paths.cache().iterdir() if path.is_dir()] == ["fetched"]
    assert downloads() == [BOX]  # whole
    assert images.ensure(platform, offer=offer)  # no lock is held


def test_two_at_once_fetch_and_build_once(site: Site, write: Write, web: Web) -> None:
    platform = write(IMAGE)
    web.files["/a.qcow2"] = BOX
    offer = Offer(f"{web.address}/a.qcow2", digest(BOX))
    found: list[images.Images] = []
    threads = [
        threading.Thread(target=lambda: found.append(images.ensure(platform, offer=offer)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    assert web.asked == ["/a.qcow2"]
    assert len(site.ran("virt-customize")) == 1


def test_a_record_that_is_damaged_is_none(write: Write, tmp_path: Path) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    made = images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(BOX)))
    (fetched.folder() / "made-up.json").write_text("{")
    assert images.built(platform) is None
    assert images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(BOX))) == made


# The command line


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return typed(capsys, "images", *arguments)


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.doctor.require", lambda *_: None)
    monkeypatch.setattr("lab.doctor.require_box", lambda: None)


@pytest.mark.parametrize("why_not", ["", "no vmx here"])
def test_a_kvm_that_does_not_work_is_not_tried(
    site: Site, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why_not: str
) -> None:
    monkeypatch.setattr("lab.kvm.missing", lambda: why_not)
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    images.ensure(platform, offer=Offer(str(tmp_path / "mine.box"), digest(BOX)))
    for program in ("virt-customize", "virt-cat"):
        env = (site.folder / f"env-{program}").read_text()
        assert "LIBGUESTFS_BACKEND=direct\n" in env
        assert ("LIBGUESTFS_BACKEND_SETTINGS=force_tcg\n" in env) is bool(why_not)


@pytest.mark.usefixtures("ready")
def test_build_makes_the_box_too(
    write: Write,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform = write(IMAGE)
    (tmp_path / "mine.box").write_bytes(BOX)
    monkeypatch.chdir(tmp_path)
    words = ["build", "made-up", "--from", "mine.box"]
    status, _, err = run(capsys, *words)
    assert status == 3
    assert f"--from {tmp_path}/mine.box --sha256 {digest(BOX)}" in err
    status, out, _ = run(capsys, *words, "--sha256", digest(BOX).upper())
    assert status == 0
    made = images.built(platform)
    assert made
    assert "made-up: built in" in out
    assert f"box lab/made-up: made, {vagrant_boxes.folder(made)}" in out
    assert run(capsys, "build", "made-up")[1].splitlines()[0].startswith("made-up: there already")


@pytest.mark.usefixtures("ready", "site")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "x"], "--from and --sha256 are of one box: name one platform"),
        (["debian-12", "--sha256", "a" * 64], "name one platform that starts from one, of made-up"),
        (["made-up", "debian-12", "--from", "x"], "name one platform that starts from one, of"),
        (["made-up", "--from", "ftp://a/b"], "--from takes a file, or an address of http or https"),
        (["made-up", "--sha256", "abc"], "--sha256 takes 64 hexadecimal digits, and 'abc' is none"),
    ],
)
def test_bad_words(
    write: Write,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    write(IMAGE)
    other = tmp_path / "boxes/debian-12"
    other.mkdir()
    text = (PLATFORM % NAMED).replace("name: made-up", "name: debian-12")
    text = text.replace('box: {name: some/box, version: "7"}', "suite: none")
    (other / "platform.yaml").write_text(text)
    status, out, err = run(capsys, "build", *words)
    assert (status, out) == (2, "")
    assert says in err


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("words", [["build", "made-up"], ["export", "made-up", "made-up.box"]])
def test_without_virt_customize_nothing_is_fetched(
    write: Write,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    write(NAMED)  # and the site fails the test where Vagrant is asked
    lacking = {"virt-customize", "virt-cat"}
    monkeypatch.setattr("shutil.which", lambda name: None if name in lacking else f"/bin/{name}")
    status, _, err = run(capsys, *words)
    assert status == 3
    assert "this machine lacks virt-customize, virt-cat" in err
    assert "install: guestfs-tools" in err


def test_prune(site: Site, write: Write, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a next recipe needs stays; with everything, it is fetched again when it is needed."""
    from lab import cache

    assert site.folder.exists()
    platform = write(IMAGE)
    for name in ("/a.qcow2", "/b.qcow2"):
        web.files[name] = BOX
        refused(platform, Offer(f"{web.address}{name}"))
    images.ensure(platform, offer=Offer(f"{web.address}/a.qcow2", digest(BOX)))
    half = fetched.folder() / "made-up.0123.download.part"
    half.touch()
    kept = [path.name for path in fetched.downloads() if fetched.current(platform, path)]
    assert len(kept) == 1
    fates = cache._downloads(False, dry_run=True)
    assert len(fates) == len(downloads()) == 3
    cache._downloads(False, dry_run=False)
    assert [path.name for path in fetched.downloads()] == kept
    assert [fate.kept for fate in cache._downloads(False, dry_run=False)] != [""]
    cache._downloads(True, dry_run=False)
    assert downloads() == []
    assert images.built(platform)
