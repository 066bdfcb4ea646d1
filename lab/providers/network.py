"""A lab's network: a switch in a network namespace of its own, a namespace for each container.

Nothing of it is in the machine's own network namespace, so two labs can use the same
addresses, and nothing of a lab has a route to anywhere else:

    switch namespace: bridge `lab0` 192.168.122.1/24 ── port1 … portN
    machine namespace: eth0 (or eth0 in bridge `br0`, where the machine runs guests)

A virtual machine has, in place of that namespace, a bridge at the end of its cable, in the
switch namespace: port1 ── wire1 in bridge `vm1`, which its card is plugged into. So the cable and
the machine's part of the network stay what they are when its power goes.

Namespaces are files in /run/lab/net, which is a shared mount so that a mount namespace
made later sees them too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import command
from lab.deadline import Deadline, wait_for
from lab.errors import CannotRun, CommandTimeout
from lab.model import Machine
from lab.paths import RUN
from lab.providers import GATEWAY, PREFIX, Wire

FOLDER = RUN / "net"
AT_ONCE = 8  # machines
# The switch's own, since a bridge otherwise takes a port's: another one when that port leaves it.
ADDRESS = "52:54:00:00:7a:01"


def namespace(lab: str, node: str = "") -> Path:
    """The namespace of a machine, or the switch's where no machine is named."""
    return FOLDER / (f"{lab}.{node}" if node else lab)


def inside(path: Path, argv: Sequence[str]) -> list[str]:
    """A command line that runs `argv` in a network namespace."""
    return ["nsenter", f"--net={path}", "--", *argv]


class Switch:
    """What providers have in common whose machines are cabled to such a switch."""

    if TYPE_CHECKING:  # what each has of its own

        def boot(self, lab: str, node: str) -> str: ...

        def power_on(self, lab: str, node: str) -> None: ...

    def pace(self) -> float:
        return 1.0

    def paused(self, _lab: str) -> set[str]:
        return set()

    def console(self, _lab: str, _node: str) -> str:
        return ""

    def await_reboot(self, lab: str, node: str, before: str, within: float) -> None:
        now = wait_for(lambda: self.boot(lab, node), lambda now: now != before, Deadline(within))
        if now == before:
            raise CommandTimeout(f"{node} was told to reboot and did not within {within:.0f} s")
        if not now:  # a container that reboots ends: starting it is what its power supply would do
            self.power_on(lab, node)

    def cable(self, lab: str, node: str, *, plugged: bool) -> None:
        cable(lab, node, plugged=plugged)

    def partition(self, lab: str, groups: Sequence[Sequence[str]]) -> None:
        partition(lab, groups)

    def wiring(self, lab: str) -> dict[str, Wire]:
        return wiring(lab)

    def add_addresses(self, lab: str, addresses: Sequence[str]) -> None:
        add_addresses(lab, addresses)

    def outside(self, lab: str, argv: Sequence[str]) -> list[str]:
        return inside(namespace(lab), argv)


def create(lab: str, machines: dict[str, Machine], *, virtual: bool = False) -> None:
    """Make the switch, and a cable for each machine that has none yet: to its namespace, or to a
    bridge where it is virtual.
    """
    switch = namespace(lab)
    share_folder()
    if not alive(switch):
        _make(
            switch,
            [
                "link set lo up",
                f"link add lab0 address {ADDRESS} type bridge forward_delay 0 mcast_snooping 0",
                f"address add {GATEWAY}/{PREFIX} dev lab0",
                "link set lab0 up",
            ],
        )
    if virtual:
        there = _ports(lab)
        cables = [
            line
            for number, node in enumerate(machines, start=1)
            if node not in there
            for line in (
                f"link add port{number} type veth peer name wire{number}",
                f"link add {bridge(number)} type bridge forward_delay 0 mcast_snooping 0",
                f"link set wire{number} master {bridge(number)} up",
                f"link set {bridge(number)} up",
                f"link set port{number} alias {node} master lab0 up",
            )
        ]
        _ip(switch, cables)
        return
    mounted = _mounts()
    new = {
        number: node
        for number, node in enumerate(machines, start=1)
        if str(namespace(lab, node)) not in mounted
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for job in [
            pool.submit(_make, namespace(lab, n), ["link set lo up"]) for n in new.values()
        ]:
            job.result()
        cables = [
            line
            for number, node in new.items()
            for line in (
                f"link add port{number} type veth peer name eth0 netns {namespace(lab, node)}",
                f"link set port{number} alias {node} master lab0 up",
            )
        ]
        _ip(switch, cables)
        for job in [
            pool.submit(_ip, namespace(lab, node), _addressing(machines[node]))
            for node in new.values()
        ]:
            job.result()


def _addressing(machine: Machine) -> list[str]:
    address = f"{machine.address}/{PREFIX}"
    if not machine.hypervisor:
        return [f"address add {address} dev eth0", "link set eth0 up"]
    return [
        "link add br0 type bridge forward_delay 0 mcast_snooping 0",
        "link set eth0 master br0 up",
        f"address add {address} dev br0",
        "link set br0 up",
    ]


def bridge(number: int) -> str:
    """The bridge that the card of a virtual machine is in, the machines counted from 1."""
    return f"vm{number}"


def add_addresses(lab: str, addresses: Iterable[str]) -> None:
    """Give the switch these addresses too; those that it has already stay."""
    _ip(namespace(lab), [f"address replace {address}/{PREFIX} dev lab0" for address in addresses])


def cable(lab: str, node: str, *, plugged: bool) -> None:
    """Pull a machine's cable out of the switch, or plug it in."""
    _ip(namespace(lab), [f"link set {_ports(lab)[node]} {'up' if plugged else 'down'}"])


def card(lab: str, node: str, *, on: bool) -> None:
    """Switch a container's network card on or off; its addresses and its cable stay."""
    _ip(namespace(lab, node), [f"link set eth0 {'up' if on else 'down'}"])


def partition(lab: str, groups: Sequence[Sequence[str]]) -> None:
    """Part the network: a bridge for each group, with an uplink to the switch; or join it.

    Uplinks are isolated ports of the switch: what comes from one goes to no other one, but it
    does go to the switch itself and to who is in no group. No machine's link goes down.
    """
    links = _links(lab)
    ports = _ports(lab)
    # Without `arp off`, a port on its way and a group's bridge would answer for the switch.
    lines = [f"link set {port} master lab0 arp off" for port in ports.values()]
    lines += [f"link del {name}" for name in links if name.startswith(("group", "up"))]
    for number, group in enumerate(groups, start=1):
        lines += [
            f"link add group{number} type bridge forward_delay 0 mcast_snooping 0",
            f"link add up{number} type veth peer name down{number}",
            f"link set up{number} master lab0",
            f"link set up{number} type bridge_slave isolated on",
            f"link set group{number} arp off up",
            f"link set down{number} master group{number} arp off up",
            f"link set up{number} arp off up",
            *(f"link set {ports[node]} master group{number}" for node in group),
        ]
    _ip(namespace(lab), lines)


def wiring(lab: str) -> dict[str, Wire]:
    """Each machine's cable: whether it is plugged in, and its part of a partitioned network."""
    links = _links(lab)
    groups = {"lab0": 0} | {f"group{number}": number for number in range(1, len(links))}
    return {
        node: Wire("UP" in links[port]["flags"], groups.get(links[port].get("master", ""), 0))
        for node, port in _ports(lab).items()
    }


def _ports(lab: str) -> dict[str, str]:
    """The switch's port of each machine."""
    return {link["ifalias"]: name for name, link in _links(lab).items() if "ifalias" in link}


def _links(lab: str) -> dict[str, dict[str, Any]]:
    """All that the switch consists of, by name."""
    argv = inside(namespace(lab), ["ip", "-json", "link", "show"])
    found: list[dict[str, Any]] = json.loads(command.run(argv, within=10).stdout)
    return {link["ifname"]: link for link in found}


def remove(lab: str) -> None:
    """Remove every namespace of a lab, with all that is in it."""
    for path in found(lab):
        command.run(["umount", str(path)], within=10, check=False)
        path.unlink(missing_ok=True)


def found(lab: str) -> list[Path]:
    """The namespaces that there are of a lab."""
    if not FOLDER.exists():
        return []
    return [p for p in sorted(FOLDER.iterdir()) if p.name == lab or p.name.startswith(f"{lab}.")]


def labs() -> set[str]:
    """Every lab that has a namespace."""
    if not FOLDER.exists():
        return set()
    return {path.name.partition(".")[0] for path in FOLDER.iterdir()}


def remove_folder() -> None:
    """Undo the shared mount, once no lab is left."""
    if FOLDER.exists() and not any(FOLDER.iterdir()):
        if is_mount(FOLDER):
            command.run(["umount", str(FOLDER)], within=10)
        FOLDER.rmdir()


def share_folder() -> None:
    """Make the folder of namespaces a shared mount, if it is none yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not is_mount(FOLDER):
        command.run(["mount", "--bind", str(FOLDER), str(FOLDER)], within=10)
        command.run(["mount", "--make-shared", str(FOLDER)], within=10)


def _make(path: Path, batch: Sequence[str]) -> None:
    path.touch()
    # Frames between a guest and the wire only pass br0: firewalld is about what the host
    # itself receives. (The setting is one of this namespace; not every kernel has it.)
    filtering = (
        "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 > $f; done"
    )
    command.run(
        ["unshare", f"--net={path}", "sh", "-c", f"ip -batch - && {filtering}"],
        within=20,
        stdin="\n".join(batch) + "\n",
    )


def _ip(path: Path, batch: Iterable[str]) -> None:
    command.run(inside(path, ["ip", "-batch", "-"]), within=60, stdin="\n".join(batch) + "\n")


def alive(path: Path) -> bool:
    """Whether the namespace is there: its file alone is not."""
    return path.exists() and is_mount(path)


def require(lab: str, node: str = "") -> None:
    """Raise CannotRun if the namespace is gone: of a machine, or the switch's."""
    if not alive(namespace(lab, node)):
        raise CannotRun(
            f"the network of lab {lab} is gone: this machine was rebooted since",
            hint=f"lab down {lab}, then lab up",
        )


def is_mount(path: Path) -> bool:
    """Whether something is mounted right there (also where it is a bind of itself)."""
    return str(path) in _mounts()


def _mounts() -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines}
