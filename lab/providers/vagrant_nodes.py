"""What the virtual machines of a lab are: their disks and cards, and what they read of these.

Cards and disks are the same each time: an address is known before there is a machine.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from lab import boxes, images_disk, kvm, platforms
from lab.fields import Family
from lab.model import Machine
from lab.providers import Order, libvirtd, network, networkd, networkmanager
from lab.vms import KERNEL_LINE

BOOT = 600  # seconds that Vagrant waits for a login
MANAGEMENT = "192.168.121"  # its first three numbers; the fourth is that of the lab's address


def identity(machine: Machine, number: int, family: Family) -> dict[str, str]:
    """Its network, as its family reads it: eth0, in br0 where it has guests; eth1 by DHCP. And what
    mounts that which its guests are made from.
    """
    found = _networkmanager(machine, number) if family == "redhat" else _networkd(machine)
    return found | images_disk.identity(family) if _has_guests_inside(machine) else found


def _networkmanager(machine: Machine, number: int) -> dict[str, str]:
    mac = _mac(number)
    lab = networkmanager.bridged("br0", machine.address, mac)
    if not machine.hypervisor:
        lab = networkmanager.card("eth0", machine.address, mac)
    return lab | networkmanager.management(_management_mac(number))


def _networkd(machine: Machine) -> dict[str, str]:
    card = "br0" if machine.hypervisor else "eth0"
    files = {
        f"{card}.network": networkd.static(card, machine.address),
        "management.network": "[Match]\nName=eth1\n\n[Network]\nDHCP=ipv4\n"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\n\n[DHCPv4]\nClientIdentifier=mac\n"
        "UseHostname=no\nUseDNS=no\n",
    }
    if machine.hypervisor:
        files["br0.netdev"] = "[NetDev]\nName=br0\nKind=bridge\n\n[Bridge]\nForwardDelaySec=0\n"
        files["eth0.network"] = f"[Match]\nName=eth0\n\n[Network]\nBridge=br0\n{networkd.STATIC}"
    found = {f"etc/systemd/network/{name}": content for name, content in files.items()}
    if machine.hypervisor:
        # The socket of a libvirtd that is lent to it is put there again after each break.
        found["etc/ssh/sshd_config.d/lab-libvirt.conf"] = "StreamLocalBindUnlink yes\n"
    return found


def disks(machine: Machine, *, fetched: bool) -> dict[str, str]:
    """What a machine has beside the box's disk, by device. A box that was `fetched` has its
    packages on that; a host of guests inside has what they are made from.
    """
    names = ["seed"] if fetched else ["packages", "seed"]
    if _has_guests_inside(machine):
        names.append("images")
    return {f"vd{letter}": name for letter, name in zip("bcd", names, strict=False)}


def _has_guests_inside(machine: Machine) -> bool:
    return machine.hypervisor and not kvm.not_nested()


def nodes_file(order: Order) -> dict[str, Any]:
    """What the Vagrantfile reads: the machines, and what is the same for all of them."""
    emulated = bool(kvm.missing())
    direct = {} if order.images.fetched else {"kernel_line": KERNEL_LINE}
    log = libvirtd.folder(order.lab) / "log/qemu"
    return {
        "box": boxes.name(order.images),
        "guest": platforms.load(order.images.platform).family,  # as Vagrant calls it, too
        "uri": "qemu:///system",
        "key": str(order.key),
        "driver": "qemu" if emulated else "kvm",
        "cpu_mode": "maximum" if emulated else "host-passthrough",
        "nested": not emulated,
        "boot_timeout": BOOT,
        **direct,
        "management": f"{MANAGEMENT}.0/24",
        "nodes": [
            {
                "name": node,
                "memory": machine.memory,
                "cpus": machine.cpus,
                "bridge": network.bridge(number),
                "mac": _mac(number),
                "management_mac": _management_mac(number),
                "console": str(log / f"{node}-console.log"),
                "disks": disks(machine, fetched=order.images.fetched),
            }
            for number, (node, machine) in enumerate(order.machines.items(), start=1)
        ],
    }


def network_xml(machines: Mapping[str, Machine]) -> str:
    """libvirt's network `management`: it leads nowhere, and gives each card its own address."""
    top = ET.Element("network")
    ET.SubElement(top, "name").text = "management"
    ET.SubElement(top, "bridge", name="management", stp="off", delay="0")
    ET.SubElement(top, "dns", enable="no")
    ip = ET.SubElement(top, "ip", address=f"{MANAGEMENT}.1", netmask="255.255.255.0")
    dhcp = ET.SubElement(ip, "dhcp")
    ET.SubElement(dhcp, "range", start=f"{MANAGEMENT}.2", end=f"{MANAGEMENT}.254")
    for number, machine in enumerate(machines.values(), start=1):
        ET.SubElement(dhcp, "host", mac=_management_mac(number), ip=management(machine))
    return ET.tostring(top, encoding="unicode")


def management(machine: Machine) -> str:
    """A machine's address on the network that is the way in."""
    return f"{MANAGEMENT}.{machine.address.rpartition('.')[2]}"


def _mac(number: int) -> str:
    return f"52:54:00:7a:01:{number:02x}"


def _management_mac(number: int) -> str:
    return f"52:54:00:7a:00:{number:02x}"
