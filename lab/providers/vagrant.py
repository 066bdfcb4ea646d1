"""Machines as libvirt virtual machines that Vagrant brings up, on a libvirtd of the lab's own.

Vagrant makes and starts them, by the Vagrantfile of this checkout and a nodes file of the lab;
libvirt does what Vagrant cannot: power, cables. See `lab.providers.libvirtd` for what of a lab is
where. Each machine has two network cards:

    eth0   in a bridge of its own, which has a cable to the lab's switch
    eth1   on the network `management`, which has nothing but the way in: its address is known
           before there is a machine, and no fault that a lab makes reaches it
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import libvirt

from lab import boxes, command, images_disk, kvm, lock
from lab.errors import BadInput, Busy, CannotRun, CommandFailed, LabError
from lab.fields import Family, GuestPlace
from lab.hypervisor import set_link
from lab.model import Machine
from lab.providers import LOCK, MACHINERY, WAIT, Order, libvirtd, network
from lab.providers.choice import crowded, only_containers
from lab.providers.vagrant_nodes import disks, identity, management, network_xml, nodes_file

UP = 1800.0  # seconds for `vagrant up`; three emulated machines take about 100
EMULATED = 3.0  # times longer: an idle one boots in 30 s, and those of a lab boot at once
POOL = "lab"


class Vagrant(network.Switch):
    """The full fidelity: every machine has a kernel of its own."""

    name = "vagrant"

    def up(self, order: Order) -> None:
        from lab.providers.vagrant_program import Program  # python-vagrant looks for vagrant

        if reason := only_containers(order.machines, {}):
            raise BadInput(f"provider vagrant: {reason}", hint="--provider podman")
        if order.lab in libvirtd.labs():
            # Of a lab that is half there nobody knows which half: Vagrant makes a machine in steps
            # and takes up none of them. It has no section done, or it would not come here.
            order.say("its machines are not all there and whole: they are made anew")
            libvirtd.stop(order.lab)
            libvirtd.remove(order.lab)
        if reason := crowded(order.machines):
            raise CannotRun(reason, hint="take other labs down, or use --provider podman")
        with lock.hold(LOCK, MACHINERY, within=WAIT):
            network.create(order.lab, order.machines, virtual=True)
        box = boxes.ensure(order.images)
        libvirtd.start(order.lab)
        top = libvirtd.folder(order.lab)
        _fill_pool(order, box)
        (top / "ssh/ssh_known_hosts").write_text(
            "".join(
                f"{management(machine)} {order.host_keys[node]}\n"
                for node, machine in order.machines.items()
            )
        )
        nodes = top / "nodes.json"
        nodes.write_text(json.dumps(nodes_file(order), indent=2) + "\n")
        with libvirtd.connection(order.lab) as opened:
            if POOL not in opened.listStoragePools():
                opened.storagePoolCreateXML(pool_xml(top / "pool"))
            opened.storagePoolLookupByName(POOL).refresh()
            if "management" not in opened.listNetworks():
                opened.networkCreateXML(network_xml(order.machines))
        program = Program(order.lab, boxes.home(order.images), nodes, order.say)
        try:
            program.bring_up(UP)
        except CommandFailed as error:
            raise LabError(
                f"vagrant could not bring up the machines of {order.lab}: {error}"
                + _consoles(order.lab, order.machines)
            ) from error

    def down(self, lab: str) -> None:
        libvirtd.stop(lab)
        libvirtd.remove(lab)
        network.remove(lab)
        if left := self.leftovers(lab):
            raise LabError(f"of lab {lab} this could not be removed: {', '.join(left)}")
        with suppress(Busy), lock.hold(LOCK, MACHINERY):
            network.remove_folder()

    def labs(self) -> set[str]:
        return libvirtd.labs()

    def leftovers(self, lab: str) -> list[str]:
        found = [f"process {pid}" for pid in libvirtd.processes(lab)]
        there = [path for path in (libvirtd.folder(lab), libvirtd.runtime(lab)) if path.exists()]
        return found + [f"folder {path}" for path in there]

    def running(self, lab: str) -> dict[str, bool]:
        if not libvirtd.revive(lab):
            return {}
        with libvirtd.connection(lab) as opened:
            return {
                one.name(): bool(one.isActive())
                for one in opened.listAllDomains()
                # Vagrant defines a machine first, and then gives it its cards.
                if one.isActive() or one.XMLDesc().count("<interface ") > 1
            }

    def paused(self, lab: str) -> set[str]:
        with libvirtd.connection(lab) as opened:
            found = opened.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED)
            return {one.name() for one in found}

    def power_on(self, lab: str, node: str) -> None:
        network.require(lab)
        _switch(lab, node, on=True)

    def power_off(self, lab: str, node: str) -> None:
        _switch(lab, node, on=False)

    def boot(self, lab: str, node: str) -> str:
        if not self.running(lab).get(node):
            return ""
        # One line for each boot: the initrd writes it (in a box that was fetched a service, early),
        # so a reboot that QEMU survives counts too.
        boots = re.findall(r"^lab boot (\S+)", console(lab, node), re.MULTILINE)
        try:
            pid = (libvirtd.runtime(lab) / f"libvirt/qemu/{node}.pid").read_text().strip()
        except FileNotFoundError:  # its process ended just now
            return ""
        return f"{pid} {boots[-1] if boots else 'starting'}"

    def pace(self) -> float:
        return EMULATED if kvm.missing() else 1.0

    def console(self, lab: str, node: str) -> str:
        return console(lab, node)

    def cable(self, lab: str, node: str, *, plugged: bool) -> None:
        super().cable(lab, node, plugged=plugged)
        with libvirtd.connection(lab) as opened:
            domain = opened.lookupByName(node)
            set_link(domain, _card(domain), up=plugged)

    def guests(self) -> GuestPlace:
        return "beside" if kvm.not_nested() else "inside"

    def identity(self, machine: Machine, number: int, family: Family) -> dict[str, str]:
        return identity(machine, number, family)

    def ssh_options(self, lab: str, _node: str, machine: Machine) -> dict[str, str]:
        inside = network.inside(
            network.namespace(lab),
            ["socat", "-", f"TCP:{management(machine)}:22,connect-timeout=10"],
        )
        return {"ProxyCommand": " ".join(inside)}


def pool_xml(folder: Path) -> str:
    """libvirt's storage pool: one folder."""
    return f'<pool type="dir"><name>{POOL}</name><target><path>{folder}</path></target></pool>'


def console(lab: str, node: str) -> str:
    """What a machine wrote to its serial console since its last start; '' if there is nothing."""
    log = libvirtd.folder(lab) / "log/qemu" / f"{node}-console.log"
    return log.read_text(errors="replace") if log.exists() else ""


def _switch(lab: str, node: str, *, on: bool) -> None:
    """Give a machine power or take it. Somebody else may do the same just now: that is well."""
    libvirtd.revive(lab)
    with libvirtd.connection(lab) as opened:
        domain = opened.lookupByName(node)
        try:
            if on and domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()  # whoever stopped it did not come back to it
            elif on:
                domain.create()
            else:
                domain.destroy()
        except libvirt.libvirtError:
            if bool(domain.isActive()) is not on:
                raise


def _consoles(lab: str, nodes: Mapping[str, Machine]) -> str:
    """The last lines of each machine's console, for a message."""
    text = ""
    for node in nodes:
        if tail := console(lab, node).splitlines()[-5:]:
            text += f"\nthe console of {node} ends with:\n  " + "\n  ".join(tail)
    return text


def _fill_pool(order: Order, box: Path) -> None:
    """The disks that are there before Vagrant asks: the box's, and each machine's own. A machine
    gets those as layers, since QEMU locks what may be written to.
    """
    pool = libvirtd.folder(order.lab) / "pool"
    links = {boxes.volume(order.images): box / "box.img", "images": order.images.folder}
    for name, there in links.items():
        (pool / name).unlink(missing_ok=True)
        (pool / name).symlink_to(there)
    layer = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b"]
    for node, seed in order.seeds.items():
        raw = pool / f"{node}.tar"
        raw.touch(mode=0o600)
        raw.write_bytes(seed)
        below = {"packages": order.images.packages_disk, "seed": raw}
        for what in disks(order.machines[node], fetched=order.images.fetched).values():
            disk = pool / f"{node}.{what}"
            if not disk.exists():
                source = below.get(what) or images_disk.ensure(order.images)
                command.run([*layer, str(source), str(disk)], within=60)


def _card(domain: libvirt.virDomain) -> str:
    """The XML of the machine's card on the lab's network."""
    for card in ET.fromstring(domain.XMLDesc()).iter("interface"):
        if card.get("type") == "bridge":
            return ET.tostring(card, encoding="unicode")
    raise CommandFailed(f"{domain.name()} has no card on the lab's network")
