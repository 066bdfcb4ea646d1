"""A box that was fetched becomes a platform's image: a copy of its disk, made a node of.

boxes/<family>/prepare runs in that copy, by virt-customize: in a small virtual machine of
libguestfs, with a network, and with nothing of this machine but that disk.
"""

from __future__ import annotations

import errno
import json
import lzma
import os
import re
import shlex
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import builds, command, kvm, mirror, paths
from lab.errors import CannotRun, CommandFailed
from lab.finding import Finding, program
from lab.platform import Platform

WITHIN = 3 * 3600.0  # seconds for fetching and preparing, where another one waits for it
PREPARE = 5400.0  # seconds; ten minutes with KVM and a near mirror
CONVERT = 1200.0  # seconds
READ = 300.0  # seconds for a file of the image
ROOM = 10 * 1024**3  # bytes at its peak: the box unpacked, its copy, and what is installed there
MEMORY = 2048  # MiB for what runs in the image; dnf needs more than libguestfs gives by itself

# program -> the Debian package it is in, and what for; and qemu-img, which makes other boxes too.
# It is large, and only who wants such a platform needs it: `lab doctor --fix` leaves it out.
_PROGRAMS = {
    "virt-customize": ("guestfs-tools", "a box that is fetched is made a node of with it"),
    "virt-cat": ("guestfs-tools", "it reads what is in such a node"),
}


def programs() -> list[Finding]:
    """What is needed for boxes that are fetched alone."""
    return [program(name, package, why) for name, (package, why) in _PROGRAMS.items()]


def require() -> None:
    """Raise CannotRun where a box that is fetched cannot be made a node of."""
    disks = program("qemu-img", "qemu-utils", "it copies the disk that is in such a box")
    lacking = [finding for finding in [*programs(), disks] if not finding.ok]
    if lacking:
        packages = sorted({package for finding in lacking for package in finding.packages})
        raise CannotRun(
            "a box that is fetched cannot be made a node of: this machine lacks "
            + ", ".join(finding.name for finding in lacking),
            hint=f"install: {' '.join(packages)}",
        )


def make(platform: Platform, file: Path, work: Path, say: Callable[[str], None]) -> None:
    """Write into `work`: box.img, a node's disk, and versions (package and version, a line each).

    `file`: a box of Vagrant's for libvirt, or a disk image. Raises CannotRun where it is none, or
    where it cannot be made a node of.
    """
    disk = work / "box.img"
    say(f"unpacking {file.name}")
    source = work / "arrived"
    if not _unpack(file, source):
        source.symlink_to(file)
    kind = _kind(source, file)
    _run(["qemu-img", "convert", "-f", kind, "-O", "qcow2", str(source), str(disk)], CONVERT)
    source.unlink()
    (work / "lab.env").write_text(environment(platform))
    env = _settings(work)
    # `prepare` labels the files. A later virt-customize does by itself, or leaves it to the first
    # boot, unless it is told not to.
    relabels = "--no-selinux-relabel" in _run(["virt-customize", "--help"], READ)
    builds.run(
        command_line(platform, work, relabels=relabels),
        work,
        f"preparing the box of {platform.name}",
        say,
        within=PREPARE,
        env=env,
        hint=f"{mirror.setting(platform.name)} (or {mirror.ALL}) is where its packages are from; "
        "`libguestfs-test-tool` tells whether virt-customize works here",
    )
    (work / "lab.env").unlink()
    found = _run(["virt-cat", "--format=qcow2", "-a", str(disk), "/srv/versions"], READ, env)
    (work / "versions").write_text(found)


def command_line(platform: Platform, work: Path, *, relabels: bool) -> list[str]:
    """What is done to work/box.img, in this order. `relabels`: virt-customize would, unasked."""
    return [
        *("virt-customize", "--format", "qcow2", "-a", str(work / "box.img")),
        *("--memsize", str(MEMORY), "--smp", "2", "--network"),
        *("--upload", f"{work / 'lab.env'}:/etc/lab.env"),
        *("--run", str(paths.BOXES / platform.family / "prepare")),
        *("--delete", "/tmp/builder.log"),  # all that `prepare` said
        *(["--no-selinux-relabel"] if relabels else []),
    ]


def environment(platform: Platform) -> str:
    """What `prepare` reads, as a shell takes it."""
    values = {
        "BASE": " ".join(platform.base),
        "REPOSITORY": "\n".join(" ".join(group) for group in platform.repository.groups),
        "LAB_MIRROR": mirror.of(platform.name),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _settings(work: Path) -> dict[str, str]:
    """libguestfs's: no libvirtd is asked, and no KVM that is there but does not work."""
    settings = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_TMPDIR": str(work)}
    return settings | ({"LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"} if kvm.missing() else {})


def _unpack(box: Path, disk: Path) -> bool:
    """Take the one disk out of a box of Vagrant's; False for what is no such box."""
    try:
        if not tarfile.is_tarfile(box):  # of half a file it may raise what reading one does
            return False
        with tarfile.open(box) as tar:
            members = {os.path.normpath(one.name): one for one in tar.getmembers() if one.isfile()}
            metadata = tar.extractfile(members["metadata.json"])
            assert metadata is not None
            said = json.loads(metadata.read(1 << 20))
            provider = said["provider"]
            disks = [os.path.normpath(one["path"]) for one in said.get("disks", [])] or ["box.img"]
            _check_firmware(box, tar, members.get("Vagrantfile"))
            if provider != "libvirt" or len(disks) != 1:
                raise CannotRun(
                    f"{box} is a box for {provider} with {len(disks)} disks, not one for libvirt "
                    "with one disk"
                )
            content = tar.extractfile(members[disks[0]])
            assert content is not None
            with content, disk.open("wb") as out:
                shutil.copyfileobj(content, out, 1 << 20)
            return True
    except (
        *(tarfile.TarError, EOFError, zlib.error, lzma.LZMAError),
        *(KeyError, ValueError, TypeError),
    ) as error:
        raise CannotRun(f"{box} is no box of Vagrant's: {error}") from error
    except OSError as error:
        full = error.errno == errno.ENOSPC
        raise CannotRun(
            f"{box} could not be unpacked: {error.strerror or error}",
            hint="free some room, or set LAB_CACHE to a folder on another disk" if full else "",
        ) from error


def _check_firmware(box: Path, tar: tarfile.TarFile, vagrantfile: tarfile.TarInfo | None) -> None:
    """Refuse a box that says itself that it boots by UEFI: here machines and guests have a BIOS."""
    content = tar.extractfile(vagrantfile) if vagrantfile else None
    text = content.read(1 << 20).decode(errors="replace") if content else ""
    if found := re.search(r"^[^#\n]*\.(loader|nvram)\s*=", text, re.MULTILINE):
        raise CannotRun(
            f"{box} is a box that boots by UEFI (its Vagrantfile sets {found[1]}), and here "
            "machines boot by BIOS",
            hint="take its publisher's box for BIOS",
        )


def _kind(disk: Path, file: Path) -> str:
    """qcow2 or raw. One that would read other files of this machine is refused."""
    info: dict[str, Any] = json.loads(
        _run(["qemu-img", "info", "--output=json", "--force-share", str(disk)], READ)
    )
    details = info.get("format-specific", {}).get("data", {})
    if info["format"] not in ("qcow2", "raw"):
        raise CannotRun(f"{file} is a disk of the kind {info['format']}, not qcow2 or raw")
    with disk.open("rb") as content:
        start = content.read(512)
    if info["format"] == "raw" and start[510:] != b"\x55\xaa":  # anything else is "raw", too
        raise CannotRun(f"{file} is neither a box of Vagrant's nor a disk that boots")
    if "backing-filename" in info or "data-file" in details:
        raise CannotRun(f"{file} is no disk by itself: it needs another file")
    return str(info["format"])


def _run(argv: list[str], within: float, env: dict[str, str] | None = None) -> str:
    try:
        return command.run(argv, within=within, env=env).stdout
    except CommandFailed as error:
        raise CannotRun(f"the box could not be made a node of: {error}") from error
