"""Locks between lab processes: kernel locks on files, so a killed holder leaves none behind."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.deadline import Deadline, wait_for
from lab.errors import Busy

LOCKS = Path("/proc/locks")
_HINT = "wait until that process has ended, or end it (kill, and its number), then try again"


@contextmanager
def hold(path: Path, what: str, *, within: float = 0.0, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path` while the block runs.

    Waits `within` seconds for another holder; then raises Busy, which says who holds
    `what`. The holder may remove the file: who waited for it then takes the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = -1
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX

    def take() -> bool:
        nonlocal descriptor
        if descriptor < 0:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return True
        os.close(descriptor)  # the file that we hold was removed meanwhile
        descriptor = -1
        return take()

    try:
        if not wait_for(take, bool, Deadline(within)):
            waited = f", after {within:.0f} s of waiting" if within >= 1 else ""
            raise Busy(f"{what} is in use by {_holders(path)}{waited}", hint=_HINT)
        os.ftruncate(descriptor, 0)  # whoever is named there has ended
        if not shared:
            os.pwrite(descriptor, f"{_named(os.getpid())}\n".encode(), 0)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _holders(path: Path) -> str:
    """Who holds a lock. One who has it alone wrote that down; of those who share it the kernel
    knows, as long as the one who took it lives.
    """
    found: list[str] = []
    with suppress(OSError):  # the lock's file went just now, or this kernel does not tell
        if alone := path.read_text().strip():
            return alone
        shared = rf"FLOCK +\w+ +READ +(\d+) +\S+:{path.stat().st_ino} "
        found = re.findall(shared, LOCKS.read_text())
    named = []
    for pid in dict.fromkeys(found):
        with suppress(OSError):  # it ended just now
            named.append(_named(int(pid)))
    return " and ".join(named) or "another lab process"


def _named(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return f"process {pid} ({command.strip()})"
