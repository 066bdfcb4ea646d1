"""This machine's memory, and what a virtual machine takes of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lab.fields import Family

MEMINFO = Path("/proc/meminfo")
# MiB of a QEMU process beside its machine's memory: its code, heap and threads, page tables, the
# host's side of disks, cards and console. An allowance, and no measure.
QEMU = 128
# MiB of translated code that an emulating QEMU keeps, where it is told a limit: what a guest's boot
# runs through fits in. QEMU's default is so large that filling it slows a boot down.
CODE = 128
# … and where it is told none: QEMU's default (tcg/region.c) is an eighth of the host's memory, at
# most 1 GiB. An emulated Linux fills it in the course of a chapter.
_CODE_PART, _CODE_MOST = 8, 1024


# MiB that a guest has at least, by its platform's family. A scenario's are for Debian's images;
# what a box of Red Hat's family starts, with SELinux and dnf, takes more.
_LEAST = {"debian": 0, "redhat": 1024}


def available() -> int:
    """MiB that new programs can have."""
    return _field("MemAvailable")


def total() -> int:
    """MiB that this machine has."""
    return _field("MemTotal")


def of_guest(own: int, family: Family) -> int:
    """MiB that a guest gets, of which its scenario says `own`."""
    return max(own, _LEAST[family])


def virtual(own: int, *, emulated: bool, limited: bool = False) -> int:
    """MiB that a virtual machine with `own` MiB of memory takes, with its QEMU. `limited`: that was
    told a limit of translated code.
    """
    if not emulated:
        return own + QEMU
    default = min(total() // _CODE_PART, _CODE_MOST)
    return own + QEMU + (CODE if limited else default)


def together(machines: Iterable[int], guests: Iterable[int], *, emulated: bool) -> int:
    """MiB that a lab's virtual machines take, with memory of their own as given. Guests, whose
    QEMU lab describes, are told a limit of translated code; machines, which Vagrant makes, not.
    """
    return sum(virtual(own, emulated=emulated) for own in machines) + sum(
        virtual(own, emulated=emulated, limited=True) for own in guests
    )


def _field(name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", MEMINFO.read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) // 1024
