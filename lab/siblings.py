"""Guests beside their host: where a host is a virtual machine itself and cannot run any.

A virtual machine inside one that is emulated takes minutes to boot. So the host gives its libvirtd
up for the one that it runs on itself: the socket of that one is put in the place of its own, by
the lab's ssh. `qemu:///system`, virsh and VirtualDomain are what they were, and the guest's card is
in the bridge that its host's card is in: a cable that is pulled is pulled for both. What departs:
a guest outlives its host's power.
"""

from __future__ import annotations

import os
import shlex
import signal
from contextlib import suppress
from pathlib import Path

from lab import command
from lab.deadline import Deadline, wait_for
from lab.errors import CommandFailed, LabError
from lab.here import Here
from lab.machine import Machine
from lab.providers import libvirtd, network
from lab.vms import Place, VirtualMachines

LEND = 60.0  # seconds until virsh on the host answers
_SOCKET = "/run/libvirt/libvirt-sock"
# Its own daemon goes for good; the folder of the socket is there after each boot.
_MAKE_WAY = f"""set -e
# It would shut down, at this host's shutdown, whatever the socket leads to by then.
systemctl disable --now libvirt-guests.service
systemctl disable --now libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket
echo 'd /run/libvirt 0755 root root' > /etc/tmpfiles.d/lab-libvirt.conf
mkdir -p /run/libvirt
rm -f {_SOCKET} {_SOCKET}-ro
"""


class Siblings(VirtualMachines):
    """The guests of one host, on the libvirtd of the lab."""

    def __init__(
        self, host: Machine, ssh: Path, lab: str, number: int, *, direct: bool = True
    ) -> None:
        """`number`: of the host among the lab's machines, from 1. `direct`: as of all of them."""
        super().__init__(Here(), ssh, direct=direct)
        self._lab = lab
        self._ssh = ssh
        self._borrower = host
        self._seen_by_host = VirtualMachines(host, ssh)
        self._uri = libvirtd.uri(lab)
        top = libvirtd.folder(lab)
        self.place = Place(
            images=str(top / "pool/images"),
            disks=str(top / "pool"),
            bridge=network.bridge(number),
            sockets=str(libvirtd.runtime(lab) / "libvirt/qemu"),
            logs=str(top / "log/qemu"),
        )

    def version(self) -> str:
        """Of what answers on the host: its own libvirtd, and once that is lent, the lab's."""
        return self._seen_by_host.version()

    def lend(self) -> str:
        """Put the lab's libvirtd in the place of the host's own, and keep it there."""
        host = self._borrower
        if _forwarders(self._lab, host.name):
            return f"{host.name} uses the libvirtd that it runs on itself already"
        self._seen_by_host.close()
        host.run(_MAKE_WAY, within=LEND, check=True)
        forward = f"{_SOCKET}:{libvirtd.runtime(self._lab) / 'libvirt/libvirt-sock'}"
        options = ["-o", "ExitOnForwardFailure=yes", "-N", "-R", forward]
        line = f"while :; do {shlex.join([str(self._ssh), *options, host.name])}; sleep 1; done"
        # In the lab's network, as all that ends with it.
        there = network.inside(network.namespace(self._lab), ["setsid", "-f", "sh", "-c", line])
        command.run(["sh", "-c", f"{shlex.join(there)} </dev/null >/dev/null 2>&1"], within=LEND)

        def answers() -> str:
            try:
                return self.version()
            except CommandFailed as error:
                return f"not yet: {error}"

        seen = wait_for(answers, lambda seen: not seen.startswith("not yet"), Deadline(LEND))
        if seen.startswith("not yet"):
            raise LabError(f"libvirtd could not be lent to {host.name}: {seen}")
        return f"{host.name} uses the libvirtd that it runs on itself, {seen}"

    def close(self) -> None:
        super().close()
        self._seen_by_host.close()


def reconnect(lab: str) -> None:
    """Let every forwarding begin anew: after a time in which its host was somewhere else."""
    for pid in _forwarders(lab):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _forwarders(lab: str, host: str = "") -> list[int]:
    """The processes of ssh that put the lab's libvirtd on a host, by default on any."""
    found = []
    for pid in libvirtd.processes(lab):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            lends = words[0] == "ssh" and any(word.startswith(f"{_SOCKET}:") for word in words)
            if lends and (not host or host in words):
                found.append(pid)
    return found
