"""Guests on a host of the lab, through that host's own libvirtd: what all kinds have in common.

libvirt-python talks to it over the lab's ssh config, so this is the same for every
provider. Section 4.2.1 leaves it to the reader how a guest is made, and section 6.3 how a
container is: `lab.vms` and `lab.lxc` are our reading.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import libvirt

from lab import libvirt_client
from lab.deadline import Deadline, wait_for
from lab.errors import CommandFailed, CommandTimeout, LabError
from lab.here import Here
from lab.machine import Machine
from lab.model import Guest

ANSWER = 120.0  # seconds until a host's libvirtd answers: an emulated one, with a login before that
IMAGES = "/srv/images"  # the platform's images, as a host of guests has them mounted

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "idle",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "in shutdown",
    libvirt.VIR_DOMAIN_SHUTOFF: "shut off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "pmsuspended",
}


class Guests(ABC):
    """The guests of one kind on one host.

    `process_is`: what libvirt starts on the host for one. `boot_is`: a command that, run in a
    guest, prints what is another text after each of its boots.
    """

    driver: ClassVar[tuple[str, str]]  # of libvirt: the scheme and the path of its URI
    process_is: ClassVar[str]
    boot_is: ClassVar[str]

    def __init__(self, host: Machine | Here, ssh: Path) -> None:
        """`host`: where their files and processes are. `ssh`: OpenSSH with the lab's config."""
        self._host = host
        scheme, path = self.driver
        self._uri = f"{scheme}+ssh://{host.name}/{path}?command={ssh}&proxy=netcat&no_tty=1"
        self._connection: libvirt.virConnect | None = None

    @abstractmethod
    def create(self, name: str, guest: Guest, seed: bytes) -> str:
        """Make what the guest starts from, define it and start it; what it runs on, in words."""

    @abstractmethod
    def process(self, name: str) -> str:
        """The guest's process on the host: its PID and start time, '' if there is none."""

    @abstractmethod
    def console(self, name: str) -> str:
        """What can be had of the guest from outside: what it, or its process, wrote."""

    def lend(self) -> str:
        """See to it that the host's libvirtd is where its guests are; what was done, in words."""
        return "nothing to do"

    def version(self) -> str:
        """libvirtd's version, asked of it just now: `9.0.0`."""
        try:
            number = self._connect().getLibVersion()
        except libvirt.libvirtError as error:
            self.close()
            raise CommandFailed(f"libvirtd on {self._host.name}: {error}") from error
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    def state(self, name: str) -> str:
        """As `virsh list --all` has it, or "undefined"."""
        try:
            domain = self._domain(name)
            return "undefined" if domain is None else _STATES.get(domain.state()[0], "unknown")
        except libvirt.libvirtError as error:
            # VirtualDomain undefines a domain before it creates it: it may go while we look.
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return "undefined"
            raise CommandFailed(f"libvirtd on {self._host.name}: {error}") from error

    def shut_down(self, name: str, within: float) -> None:
        """Press the guest's power button and wait until it is off."""
        domain = self.domain(name)
        if self.state(name) == "running":
            self._press_power_button(domain)
        last = wait_for(lambda: self.state(name), lambda s: s == "shut off", Deadline(within))
        if last != "shut off":
            raise CommandFailed(f"{name} did not shut down within {within:.0f} s; it is {last}")

    def domain(self, name: str) -> libvirt.virDomain:
        """libvirt's handle of a guest that is defined. Raises LabError if there is none."""
        found = self._domain(name)
        if found is None:
            raise LabError(f"there is no guest {name} on {self._host.name}")
        return found

    def close(self) -> None:
        """Drop the connection to libvirtd."""
        if self._connection is not None:
            with suppress(libvirt.libvirtError):  # the host may be gone, and it with the host
                self._connection.close()
            self._connection = None

    def _press_power_button(self, domain: libvirt.virDomain) -> None:
        domain.shutdown()

    def _start(self, name: str, xml: str) -> None:
        try:
            self._connect().defineXML(xml).create()
        except libvirt.libvirtError as error:
            raise LabError(f"libvirt could not start {name}: {error}") from error

    def _started(self, pid: str) -> str:
        """PID and start time of a process on the host, '' if there is none; `pid`: its file."""
        done = self._host.run(f"pid=$(cat {pid}) && cut -d' ' -f1,22 /proc/$pid/stat")
        return done.stdout.strip() if done.exit == 0 else ""

    def _connect(self) -> libvirt.virConnect:
        if self._connection is None or not self._connection.isAlive():
            try:
                self._connection = libvirt_client.connect(self._uri, within=ANSWER)
            except CommandTimeout as error:
                raise CommandTimeout(f"libvirtd on {self._host.name}: {error}") from error
            except libvirt.libvirtError as error:
                raise CommandFailed(f"libvirtd on {self._host.name}: {error}") from error
        return self._connection

    def _domain(self, name: str) -> libvirt.virDomain | None:
        try:
            return self._connect().lookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            self.close()  # a host that was rebooted leaves a dead connection behind
            raise CommandFailed(f"libvirtd on {self._host.name}: {error}") from error
