"""Guests that are containers: libvirt's LXC driver.

A container's root file system is the platform's, as a machine of the podman provider has it,
in a folder of its own on the host. It has its own systemd, network and processes; the kernel is
the host's.
"""

from __future__ import annotations

import shlex
from xml.sax.saxutils import escape

import libvirt

from lab.guests import IMAGES, Guests
from lab.model import Guest

ROOTS = "/var/lib/libvirt/filesystems"
UNPACK = 120.0  # seconds for a root file system

# A machine of a provider gets its network from there; a guest has an address to set itself.
_UNPACK = """set -e
rm -rf {root}; mkdir -p {root}
tar -C {root} --xattrs --xattrs-include='*' -xf {images}/rootfs.tar
tar -C {root} --no-same-owner --overwrite -xf {root}.seed
rm {root}.seed
touch {root}/etc/lab-seeded
systemctl --root={root} enable systemd-networkd.service
"""


class Containers(Guests):
    """The containers of one host."""

    driver = ("lxc", "")
    process_is = "libvirt_lxc process"
    boot_is = "cut -d' ' -f22 /proc/1/stat"  # the boot_id is the kernel's, which all share

    def create(self, name: str, guest: Guest, seed: bytes) -> str:
        root = f"{ROOTS}/{name}"
        self._host.run(f"mkdir -p {ROOTS}", check=True)
        self._host.put(seed, f"{root}.seed", mode=0o600)
        unpack = _UNPACK.format(root=shlex.quote(root), images=IMAGES)
        self._host.run(unpack, within=UNPACK, check=True)
        self._start(name, domain_xml(name, guest))
        return "a container of libvirt's LXC driver"

    def process(self, name: str) -> str:
        return self._started(f"/run/libvirt/lxc/{name}.pid")

    def console(self, name: str) -> str:
        return self._host.get(f"/var/log/libvirt/lxc/{name}.log").decode(errors="replace")

    def _press_power_button(self, domain: libvirt.virDomain) -> None:
        # libvirt would tell an init of the System V kind; to systemd, in a container, this
        # signal is what a power button is to a machine.
        init = f"pgrep --parent $(cat /run/libvirt/lxc/{domain.name()}.pid)"
        self._host.run(f"kill -s RTMIN+4 $({init})", check=True)


def domain_xml(name: str, guest: Guest) -> str:
    """The container's libvirt XML: its init, its root, the packages, a network card on br0."""
    return f"""<domain type="lxc">
  <name>{escape(name)}</name>
  <memory unit="MiB">{guest.memory}</memory>
  <vcpu>{guest.cpus}</vcpu>
  <os><type arch="x86_64">exe</type><init>/sbin/init</init></os>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <filesystem type="mount"><source dir="{ROOTS}/{escape(name)}"/><target dir="/"/></filesystem>
    <filesystem type="mount">
      <source dir="/srv/packages"/><target dir="/srv/packages"/><readonly/>
    </filesystem>
    <interface type="bridge"><source bridge="br0"/><guest dev="eth0"/></interface>
    <console type="pty"/>
  </devices>
</domain>
"""
