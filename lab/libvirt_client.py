"""libvirt's client library in this process: its event loop, which events and keepalive need."""

from __future__ import annotations

import threading
from contextlib import suppress

import libvirt

libvirt.registerErrorHandler(lambda _context, _error: None, None)  # we raise instead of printing
_LOCK = threading.Lock()
_LOOP: list[threading.Thread] = []


def connect(uri: str) -> libvirt.virConnect:
    """A connection that tells events. Raises libvirt.libvirtError."""
    _ensure_loop()
    return libvirt.open(uri)


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
    with suppress(libvirt.libvirtError):
        while True:
            libvirt.virEventRunDefaultImpl()
