"""Connections to a libvirtd: made by a deadline, and given up where nothing answers any more.

Events and keepalive need libvirt's event loop, which runs in a thread.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress

import libvirt

from lab.errors import CommandTimeout

# A call that waits fails when so many questions, so many seconds apart, had no answer. A libvirtd
# that is at work answers them beside it, whatever that takes.
_ASK, _TIMES = 10, 5
libvirt.registerErrorHandler(lambda _context, _error: None, None)  # we raise instead of printing
_LOCK = threading.Lock()
_LOOP: list[threading.Thread] = []
_AGAIN = 1.0  # seconds until the loop goes on after an error, which may be there to stay
_NEVER = threading.Event()


def connect(uri: str, within: float) -> libvirt.virConnect:
    """A connection that tells events. Raises libvirt.libvirtError, and CommandTimeout where nothing
    is heard `within` so many seconds: opening has no deadline of its own.
    """
    _ensure_loop()
    done: queue.SimpleQueue[libvirt.virConnect | libvirt.libvirtError] = queue.SimpleQueue()

    def open_() -> None:
        try:
            done.put(libvirt.open(uri))  # one that comes too late is closed with the queue
        except libvirt.libvirtError as error:
            done.put(error)

    threading.Thread(target=open_, daemon=True).start()
    try:
        opened = done.get(timeout=within)
    except queue.Empty:
        raise CommandTimeout(f"no answer within {within:g} s") from None
    if isinstance(opened, libvirt.libvirtError):
        raise opened
    with suppress(libvirt.libvirtError):  # libvirt's driver for tests has none
        opened.setKeepAlive(_ASK, _TIMES)
    return opened


def _ensure_loop() -> None:
    """Let libvirt's event loop run from now on.

    For as long as the process lives, as a loop cannot be taken back: a connection that was opened
    with one, and is closed when it stands, keeps its socket.
    """
    with _LOCK:
        if _LOOP:
            return
        libvirt.virEventRegisterDefaultImpl()
        _LOOP.append(threading.Thread(target=_run, name="libvirt", daemon=True))
        _LOOP[0].start()


def _run() -> None:
    """Without it no connection hears an event, or notices that nobody answers: it never ends."""
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            _NEVER.wait(_AGAIN)
