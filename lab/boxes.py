"""Boxes: a platform's guest disk, kernel and initrd as Vagrant's libvirt provider takes them.

A box here is a folder as Vagrant unpacks one; `pack` makes the single file of it. It boots its
kernel directly: there is no partition and no boot loader in it, unless it is made of one that was
fetched; and no key in any. What makes a machine of it comes with the lab's seed.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

from lab import command, lock, paths
from lab.errors import CannotRun, CommandFailed
from lab.images import Images

VERSION = "1.0.0"  # of every box: a home has the one of its images
CONVERT = 600.0  # seconds; about 5 on two cores
_VAGRANTFILE = """\
Vagrant.configure("2") do |config|
  config.vm.provider :libvirt do |libvirt|
    libvirt.kernel = File.join(__dir__, "vmlinuz")
    libvirt.initrd = File.join(__dir__, "initrd")
  end
end
"""


def name(images: Images) -> str:
    """The box's name: `lab/debian-12`."""
    return f"lab/{images.platform}"


def home(images: Images) -> Path:
    """A VAGRANT_HOME that has this box and nothing else."""
    return images.folder / "vagrant"


def folder_name(images: Images) -> str:
    """What Vagrant makes of that name where it must be a file's."""
    return name(images).replace("/", "-VAGRANTSLASH-")


def volume(images: Images) -> str:
    """What vagrant-libvirt calls the box's disk in a storage pool; copied there if missing."""
    return f"{folder_name(images)}_vagrant_box_image_{VERSION}_box.img"


def folder(images: Images) -> Path:
    """Where Vagrant looks for the box in its home."""
    return home(images) / "boxes" / folder_name(images) / VERSION / "libvirt"


def made(images: Images) -> bool:
    """Whether the box is there; half of one is not."""
    return folder(images).exists()


def ensure(images: Images) -> Path:
    """The box, made now if it is not there; its folder. Two callers make it once."""
    box = folder(images)
    if made(images):
        return box
    with lock.hold(
        paths.cache() / f"{images.platform}.lock", f"the box of {images.platform}", within=CONVERT
    ):
        if not made(images):
            draft = images.folder / "box.new"
            shutil.rmtree(draft, ignore_errors=True)  # of one that was killed: we hold the lock
            try:
                _make(images, draft)
                box.parent.mkdir(parents=True, exist_ok=True)
                draft.rename(box)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return box


def pack(images: Images, file: Path) -> None:
    """Write the box as one file, for `vagrant box add`; whole or not at all."""
    box = ensure(images)
    draft = file.with_name(f".{file.name}.new")
    try:
        with tarfile.open(draft, "w:gz", compresslevel=1) as tar:
            for path in sorted(box.iterdir()):
                tar.add(path, path.name)
        draft.replace(file)
    except OSError as error:
        raise CannotRun(f"{file} could not be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def _make(images: Images, box: Path) -> None:
    box.mkdir()
    if images.fetched:
        os.link(images.box_disk, box / "box.img")
        with images.box_disk.open("rb") as content:
            size = int.from_bytes(content.read(32)[24:], "big")  # where qcow2 has it
        _describe(box, size, "")
    else:
        _of_packages(images, box)


def _of_packages(images: Images, box: Path) -> None:
    disk = images.folder / "guest.ext4"
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(box / "box.img")]
    try:
        command.run(convert, within=CONVERT)
    except CommandFailed as error:
        raise CannotRun(f"the box of {images.platform} could not be made: {error}") from error
    for part in ("vmlinuz", "initrd"):
        os.link(images.folder / part, box / part)
    _describe(box, disk.stat().st_size, _VAGRANTFILE)


def _describe(box: Path, size: int, vagrantfile: str) -> None:
    """Write what Vagrant reads of it. `size`: bytes of its disk, as a machine sees that."""
    gigabytes = -(-size // 1024**3)
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": gigabytes}
    (box / "metadata.json").write_text(json.dumps(metadata) + "\n")
    (box / "Vagrantfile").write_text(vagrantfile)
