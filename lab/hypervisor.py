"""What a hypervisor does to the virtual machines on it, and what it writes down of their power.

For guests that are nodes of their own (chapter 6): a machine of the provider has a BMC and a
cable, these have a hypervisor. libvirtd keeps a log of each one, /var/log/libvirt/qemu/NAME.log:
when its process was started, and why it ended. "destroyed" is what somebody asked libvirtd for,
say a fence agent; anything else is the process's own end.
"""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from lab.deadline import Deadline, wait_for
from lab.errors import CommandFailed

if TYPE_CHECKING:
    import libvirt

    from lab.lab import Lab
    from lab.vms import VirtualMachines

# Since OpenSSH 9.8 a process of another name writes down who was let in.
_SSHD = "-t sshd -t sshd-session"
END = 20.0  # seconds until a process that was told to end has ended
_LINE = re.compile(
    r"^(?:.*/)?(?P<node>[^/:]+)\.log:(?P<at>[\d-]+ [\d:.]+\+\d{4}): "
    r"(?P<what>starting up|shutting down)(?:.*reason=(?P<reason>\w+))?"
)


def log(lab: Lab, *nodes: str) -> list[dict[str, Any]]:
    """What was done to the power of these guests, oldest first; by default of all that are nodes
    of their own. As lab.bmc.log: at, node, action, was, from, problem. `action` is "on", "off"
    (by somebody's order) or "ended"; for whom libvirtd does not know: `from` is "".
    """
    hosts: dict[str, list[str]] = {}
    for node in nodes or own(lab):
        hosts.setdefault(lab.scenario.guests[node].host, []).append(node)
    found = []
    for host, guests in hosts.items():
        found += parse(_machines(lab, host).power_log(guests))
    return sorted(found, key=lambda entry: entry["at"])


def own(lab: Lab) -> list[str]:
    """The guests that are nodes of their own: no cluster manages their power."""
    return [name for name, guest in lab.scenario.guests.items() if guest.role != "guest"]


def parse(lines: str) -> list[dict[str, Any]]:
    """Entries of `log` from what `grep -H` printed of libvirtd's logs."""
    found = []
    for line in lines.splitlines():
        if not (match := _LINE.match(line)):
            continue
        started = match["what"] == "starting up"
        ordered = match["reason"] == "destroyed"
        found.append(
            {
                "at": datetime.strptime(match["at"], "%Y-%m-%d %H:%M:%S.%f%z").timestamp(),
                "node": match["node"],
                "action": "on" if started else "off" if ordered else "ended",
                "was": "off" if started else "on",
                "from": "",
                "problem": "",
            }
        )
    return found


def refused_logins(lab: Lab, node: str) -> list[str]:
    """What sshd on a guest's host wrote of cluster nodes that it did not let in, a line each."""
    addresses = "|".join(re.escape(lab.address(name)) for name in lab.scenario.cluster_nodes)
    pattern = shlex.quote(f"authenticating user \\S+ ({addresses}) ")
    host = lab.machine(lab.scenario.guests[node].host)
    done = host.run(f"journalctl --no-pager --output=cat {_SSHD} | grep -E {pattern}")
    return done.stdout.splitlines()


def power_off(lab: Lab, node: str) -> None:
    """The guest dies at once and without notice.

    By its process, and not through libvirtd, so that libvirtd's log tells this from fencing.
    """
    _machines(lab, lab.scenario.guests[node].host).kill(node)
    if wait_for(lambda: lab.boot(node), lambda boot: not boot, Deadline(END)):
        raise CommandFailed(f"the process of {node} was told to end and did not")


def power_on(lab: Lab, node: str) -> None:
    """Start the guest, unless somebody else does or did."""
    with _domain(lab, node) as domain:
        if not domain.isActive():
            domain.create()


def suspend(lab: Lab, node: str) -> None:
    """The guest's processors stop where they are; its process stays."""
    with _domain(lab, node) as domain:
        domain.suspend()


def resume(lab: Lab, node: str) -> None:
    """Let them go on, if they still stand."""
    if lab.guests_of(node).state(node) == "paused":
        with _domain(lab, node) as domain:
            domain.resume()


def cable(lab: Lab, node: str, *, plugged: bool) -> None:
    """Pull the guest's network cable or plug it in: also of the process that it has next."""
    with _domain(lab, node) as domain:
        set_link(domain, _card(domain), up=plugged)


def plugged(lab: Lab, node: str) -> bool:
    """Whether the guest's cable is in."""
    with _domain(lab, node) as domain:
        link = ET.fromstring(_card(domain)).find("link")
    return link is None or link.get("state") != "down"


def set_link(domain: libvirt.virDomain, card: str, *, up: bool) -> None:
    """Plug a card of a virtual machine in or out (`card`: its XML): also of the process that it has
    next.
    """
    flags = _EVERYWHERE if domain.isActive() else _NEXT
    domain.updateDeviceFlags(with_link(card, up=up), flags)


def with_link(card: str, *, up: bool) -> str:
    """A network card's XML with its cable in or out, and without what only one process has."""
    found = ET.fromstring(card)
    for name in ("link", "target", "alias"):
        for old in found.findall(name):
            found.remove(old)
    ET.SubElement(found, "link", state="up" if up else "down")
    return ET.tostring(found, encoding="unicode")


# libvirt.VIR_DOMAIN_AFFECT_CONFIG and _LIVE: a plan is made without libvirt's library.
_NEXT = 2
_EVERYWHERE = 1 | _NEXT


def _card(domain: libvirt.virDomain) -> str:
    """The guest's one network card."""
    card = ET.fromstring(domain.XMLDesc()).find("devices/interface")
    assert card is not None, "lab.guests gives each guest one"
    return ET.tostring(card, encoding="unicode")


def _machines(lab: Lab, host: str) -> VirtualMachines:
    """The virtual machines of a host."""
    return cast("VirtualMachines", lab.guests(host))


@contextmanager
def _domain(lab: Lab, node: str) -> Iterator[libvirt.virDomain]:
    """libvirt's handle of the guest; what libvirt complains of is a LabError."""
    import libvirt  # the library takes long, and a plan does not need it

    try:
        yield lab.guests_of(node).domain(node)
    except libvirt.libvirtError as error:
        raise CommandFailed(f"{node}, by its hypervisor: {error}") from error
