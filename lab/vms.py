"""Guests that are virtual machines: libvirt's QEMU driver."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from lab import kvm, memory
from lab.guests import IMAGES, Guests
from lab.here import Here
from lab.machine import Machine
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

    def __init__(self, host: Machine | Here, ssh: Path, *, direct: bool = True) -> None:
        """`direct`: they boot a kernel that is handed over, from a disk that has packages of its
        own beside it. Else from a box that was fetched: box.img is all that there is of images.
        """
        super().__init__(host, ssh)
        self._direct = direct

    def create(self, name: str, guest: Guest, seed: bytes) -> str:
        disk = f"{self.place.disks}/{name}"
        self._host.put(seed, f"{disk}.seed", mode=0o600)
        image, kind = ("guest.ext4", "raw") if self._direct else ("box.img", "qcow2")
        layer = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind]
        layer += ["-b", f"{self.place.images}/{image}", f"{disk}.qcow2"]
        self._host.run(shlex.join(layer), check=True)
        why_not = kvm.missing()
        xml = domain_xml(name, guest, self.place, emulated=bool(why_not), direct=self._direct)
        self._start(name, xml)
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


# Kernel words that make an emulated guest boot sooner, none changes what runs in it; and those
# that bring what goes wrong in it to its console, which is all that is left of one that is lost.
KERNEL_LINE = (
    "root=/dev/vda rw net.ifnames=0 console=ttyS0 quiet systemd.show_status=error "
    "systemd.journald.forward_to_console=1 systemd.journald.max_level_console=warning "
    "mitigations=off tsc=reliable no_timer_check nokaslr audit=0 random.trust_cpu=on "
    "cryptomgr.notests 8250.nr_uarts=1 nowatchdog no5lvl lsm="
)


_KERNEL = f"""
    <type arch="x86_64" machine="q35">hvm</type>
    <kernel>{{images}}/vmlinuz</kernel>
    <initrd>{{images}}/initrd</initrd>
    <cmdline>{KERNEL_LINE}</cmdline>
  """
# The machine that libvirt takes by itself: CentOS 7's knows q35 hardly, release 10's nothing else.
_LOADER = """<type arch="x86_64">hvm</type><boot dev="hd"/>"""
_PACKAGES = """<disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="{images}/packages.ext4"/><target dev="vdb" bus="virtio"/><readonly/>
    </disk>
    """


def domain_xml(
    name: str, guest: Guest, place: Place, *, emulated: bool, direct: bool = True
) -> str:
    """The guest's libvirt XML: a kernel or, where not `direct`, a boot loader; its disk, that of
    its seed, and with a kernel that of the packages; one network card.
    """
    cache = f'<tcg><tb-cache unit="MiB">{memory.CODE}</tb-cache></tcg>' if emulated else ""
    processor = '<cpu mode="maximum"/>' if emulated else '<cpu mode="host-passthrough"/>'
    boot, packages, seed = _KERNEL, _PACKAGES, "vdc"
    if not direct:
        boot, packages, seed = _LOADER, "", "vdb"
    return f"""<domain type="{"qemu" if emulated else "kvm"}">
  <name>{escape(name)}</name>
  <memory unit="MiB">{guest.memory}</memory>
  <vcpu>{guest.cpus}</vcpu>
  <os>{boot.format(images=place.images)}</os>
  <features><acpi/><apic/>{cache}</features>
  {processor}
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" cache="unsafe"/>
      <source file="{place.disks}/{escape(name)}.qcow2"/><target dev="vda" bus="virtio"/>
    </disk>
    {packages.format(images=place.images)}<disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="{place.disks}/{escape(name)}.seed"/><target dev="{seed}" bus="virtio"/>
      <readonly/><serial>lab-seed</serial>
    </disk>
    <interface type="bridge"><source bridge="{place.bridge}"/><model type="virtio"/>
      <rom enabled="no"/></interface>
    <serial type="file"><source path="{place.logs}/{escape(name)}-console.log" append="on"/>
      </serial>
    <rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
    <memballoon model="none"/>
  </devices>
</domain>
"""
