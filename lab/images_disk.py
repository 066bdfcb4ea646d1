"""The disk `images`: what a host makes its guests from, where it is a virtual machine itself.

A host that is a container has the folder of images mounted at /srv/images. One that is a virtual
machine, and runs its guests inside, has there what a guest is made from, on a disk: a layer of its
own, mounted read-only.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab import command, lock, paths
from lab.errors import CannotRun, CommandFailed
from lab.fields import Family
from lab.guests import IMAGES
from lab.images import Images

LABEL = "lab-images"
MAKE = 600.0  # seconds; it is a copy of some 700 MiB
_SPARE = 16  # MiB beside the files, and one for each 64 of theirs: for where their blocks are
# What the kernels of all platforms can read, whatever the default of this machine's mke2fs.
_FEATURES = "none,sparse_super,filetype,extent,large_file,flex_bg"
_UNIT = f"""[Unit]
Description=What guests of this host are made from

[Mount]
What=/dev/disk/by-label/{LABEL}
Where={IMAGES}
Type=ext4
Options=ro,noatime{{context}}
"""
# SELinux keeps QEMU from files without a label, and on a disk that is only read nobody can set one.
_CONTEXT = ',context="system_u:object_r:virt_content_t:s0"'
# By libvirtd, and not at boot: the seed comes when systemd knows what it will start, and libvirtd
# is unknown until it is installed.
# Nor does every box make the devices that libvirt opens (boxes/debian trims what would); of the two
# modules for KVM a processor has one at most.
_WANTED = """[Unit]
Wants=srv-images.mount
After=srv-images.mount

[Service]
ExecStartPre=-/usr/sbin/modprobe --all tun vhost_net kvm_intel kvm_amd
"""


def identity(family: Family) -> dict[str, str]:
    """Files, path to content, by which a host mounts the disk."""
    unit = _UNIT.format(context=_CONTEXT if family == "redhat" else "")
    return {
        "etc/systemd/system/srv-images.mount": unit,
        "etc/systemd/system/libvirtd.service.d/lab-images.conf": _WANTED,
    }


def files(images: Images) -> tuple[str, ...]:
    """What is on the disk: what a guest is made from, see lab.vms."""
    if images.fetched:
        return (images.box_disk.name,)
    return ("guest.ext4", "packages.ext4", "vmlinuz", "initrd")


def ensure(images: Images) -> Path:
    """The disk, made now if it is not there. Two callers make it once."""
    disk = images.folder / "images.ext4"
    if disk.exists():
        return disk
    what = f"the disk of {images.platform}'s images"
    with lock.hold(paths.cache() / f"{images.platform}.lock", what, within=MAKE):
        if not disk.exists():
            draft = images.folder / "images.new"
            shutil.rmtree(draft, ignore_errors=True)  # of one that was killed: we hold the lock
            try:
                _make(images, draft)
                (draft / "disk").rename(disk)
            except (CommandFailed, OSError) as error:
                raise CannotRun(f"{what} could not be made: {error}") from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return disk


def _make(images: Images, draft: Path) -> None:
    tree = draft / "tree"
    tree.mkdir(parents=True)
    names = files(images)
    for name in names:
        os.link(images.folder / name, tree / name)
    size = sum((tree / name).stat().st_size for name in names) >> 20
    # Their holes stay holes: the disk takes as much room as what is in them.
    argv = ["mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-m", "0", "-N", "16", "-O", _FEATURES]
    argv += ["-E", "root_owner=0:0", "-d", str(tree), str(draft / "disk")]
    command.run([*argv, f"{size + size // 64 + _SPARE}M"], within=MAKE)
