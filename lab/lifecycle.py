"""What a lab's libvirtd tells of its machines' power: on, off, paused, and why.

A BMC knows what it was asked for; libvirtd sees also who ends by itself: a QEMU that crashes, or
that the kernel kills for want of memory. Containers have nobody who sees that.
"""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import CommandTimeout

if TYPE_CHECKING:
    import libvirt

    from lab.lab import Lab

ANSWER = 30.0  # seconds
_STATES = {
    "STARTED": "on",
    "STOPPED": "off",
    "SUSPENDED": "paused",
    "RESUMED": "resumed",
    "CRASHED": "crashed",
}


@dataclass(frozen=True)
class Change:
    """`at`: when, in seconds since 1970. `state`: on, off, paused, resumed or crashed. `reason`:
    libvirt's word for why, say booted, destroyed, shutdown, failed.
    """

    at: float
    machine: str
    state: str
    reason: str


class Lifecycle:
    """Listens to one libvirtd, in libvirt's own thread; losing it never ends a run."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._connection: libvirt.virConnect | None = None
        self._heard: queue.SimpleQueue[Change] = queue.SimpleQueue()

    def listen(self) -> str:
        """See to it that all is heard from now on; why it is not, '' if it is."""
        import libvirt  # the library takes long, and only labs of virtual machines need it

        from lab import libvirt_client

        try:
            if self._connection is None or not self._connection.isAlive():
                self.close()
                self._connection = libvirt_client.connect(self._uri, within=ANSWER)
                self._connection.domainEventRegisterAny(
                    None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._hear, None
                )
        except (libvirt.libvirtError, CommandTimeout) as error:
            return f"what happens to machines is not heard from libvirtd: {error}"
        return ""

    def heard(self) -> list[Change]:
        """What happened since this was asked last, oldest first."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._heard.get_nowait())
        return found

    def close(self) -> None:
        """Listen no more."""
        import libvirt

        if self._connection is not None:
            with suppress(libvirt.libvirtError):
                self._connection.close()
            self._connection = None

    def _hear(
        self, _connection: object, domain: libvirt.virDomain, event: int, detail: int, _: object
    ) -> None:
        if words := _words(event, detail):
            self._heard.put(Change(time.time(), domain.name(), *words))


def of(lab: Lab) -> Lifecycle | None:
    """Who listens to a lab's libvirtd; None for a lab of containers, which has none."""
    if lab.provider.name != "vagrant":
        return None
    from lab.providers import libvirtd

    return Lifecycle(libvirtd.uri(lab.name))


def _words(event: int, detail: int) -> tuple[str, str] | None:
    """A state and a reason, by the names of libvirt's constants; None for what is no state."""
    import libvirt

    prefix = "VIR_DOMAIN_EVENT_"
    for name, state in _STATES.items():
        if event == getattr(libvirt, prefix + name):
            for constant in (one for one in dir(libvirt) if one.startswith(f"{prefix}{name}_")):
                if getattr(libvirt, constant) == detail:
                    reason = constant.removeprefix(f"{prefix}{name}_")
                    return state, reason.lower().replace("_", " ")
            return state, f"reason {detail}"
    return None
