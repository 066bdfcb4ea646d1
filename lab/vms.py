"""Guests that are virtual machines: libvirt's QEMU driver."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from lab import kvm, memory
from lab.guests import IMAGES, Guests
from lab.model import Guest


@dataclass(frozen=True)
class Place:
    """Where the virtual machines of a host are: paths as the libvirtd has them that runs them, and
    the bridge that their cards are in. By default all of it is the host's own.
    """

    images: str = IMAGES
    disks: str = "/var/lib/libvirt/images"
    bridge: str = "br0"
    sockets: str = "/run/libvirt/qemu"
    logs: str = "/var/log/libvirt/qemu"


class VirtualMachines(Guests):
    """The virtual machines of one host."""

    driver = ("qemu", "system")
    process_is = "QEMU process"
    boot_is = "cat /proc/sys/kernel/random/boot_id"
    place = Place()

    def create(self, name: str, guest: Guest, seed: bytes) -> str:
        disk = f"{self.place.disks}/{name}"
        self._host.put(seed, f"{disk}.seed", mode=0o600)
        layer = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"]
        layer += ["-b", f"{self.place.images}/guest.ext4", f"{disk}.qcow2"]
        self._host.run(shlex.join(layer), check=True)
        why_not = kvm.missing()
        self._start(name, domain_xml(name, guest, self.place, emulated=bool(why_not)))
        return f"emulated by QEMU (TCG): {why_not}" if why_not else "with KVM"

    def process(self, name: str) -> str:
        return self._started(shlex.quote(f"{self.place.sockets}/{name}.pid"))

    def console(self, name: str) -> str:
        return self._host.get(f"{self.place.logs}/{name}-console.log").decode(errors="replace")

    def power_log(self, names: Sequence[str]) -> str:
        """The lines of libvirt's logs that say when these guests' processes began and ended."""
        files = shlex.join(f"{self.place.logs}/{name}.log" for name in names)
        return self._host.run(f"grep -aHE ': (starting up|shutting down)' {files}").stdout

    def kill(self, name: str) -> None:
        """End a guest's process, past libvirtd."""
        pid = f"$(cat {shlex.quote(f'{self.place.sockets}/{name}.pid')})"
        # A file that outlived its process may name another one by now.
        self._host.run(f"grep -qa guest={name} /proc/{pid}/cmdline && kill {pid}", check=True)


# Kernel words that make an emulated guest boot sooner; none changes what runs in it.
KERNEL_LINE = (
    "root=/dev/vda rw net.ifnames=0 console=ttyS0 quiet systemd.show_status=no mitigations=off "
    "tsc=reliable no_timer_check nokaslr audit=0 random.trust_cpu=on cryptomgr.notests "
    "8250.nr_uarts=1 nowatchdog no5lvl lsm="
)


def domain_xml(name: str, guest: Guest, place: Place, *, emulated: bool) -> str:
    """The guest's libvirt XML: a direct kernel boot, three disks, one network card."""
    cache = f'<tcg><tb-cache unit="MiB">{memory.CODE}</tb-cache></tcg>' if emulated else ""
    processor = '<cpu mode="maximum"/>' if emulated else '<cpu mode="host-passthrough"/>'
    return f"""<domain type="{"qemu" if emulated else "kvm"}">
  <name>{escape(name)}</name>
  <memory unit="MiB">{guest.memory}</memory>
  <vcpu>{guest.cpus}</vcpu>
  <os>
    <type arch="x86_64" machine="q35">hvm</type>
    <kernel>{place.images}/vmlinuz</kernel>
    <initrd>{place.images}/initrd</initrd>
    <cmdline>{KERNEL_LINE}</cmdline>
  </os>
  <features><acpi/><apic/>{cache}</features>
  {processor}
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" cache="unsafe"/>
      <source file="{place.disks}/{escape(name)}.qcow2"/><target dev="vda" bus="virtio"/>
    </disk>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="{place.images}/packages.ext4"/><target dev="vdb" bus="virtio"/><readonly/>
    </disk>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="{place.disks}/{escape(name)}.seed"/><target dev="vdc" bus="virtio"/><readonly/>
    </disk>
    <interface type="bridge"><source bridge="{place.bridge}"/><model type="virtio"/>
      <rom enabled="no"/></interface>
    <serial type="file"><source path="{place.logs}/{escape(name)}-console.log"/></serial>
    <rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
    <memballoon model="none"/>
  </devices>
</domain>
"""
