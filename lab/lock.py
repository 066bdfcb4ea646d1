"""Locks between lab processes: kernel locks on files, so a killed holder leaves none behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.deadline import Deadline, wait_for
from lab.errors import Busy


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
            holder = path.read_text().strip() or "another lab process"
            raise Busy(
                f"{what} is in use by {holder}", hint="wait until it has ended, or end it first"
            )
        os.ftruncate(descriptor, 0)  # whoever is named there has ended
        if not shared:
            command = Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode()
            os.pwrite(descriptor, f"process {os.getpid()} ({command.strip()})\n".encode(), 0)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)
