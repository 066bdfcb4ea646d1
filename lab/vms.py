"""Guests that are virtual machines: libvirt's QEMU driver."""

from __future__ import annotations

from xml.sax.saxutils import escape

from lab import kvm
from lab.guests import IMAGES, Guests
from lab.model import Guest

DISKS = "/var/lib/libvirt/images"


class VirtualMachines(Guests):
    """The virtual machines of one host."""

    driver = ("qemu", "system")
    process_is = "QEMU process"
    boot_is = "cat /proc/sys/kernel/random/boot_id"

    def create(self, name: str, guest: Guest, seed: bytes) -> str:
        self._host.put(seed, f"{DISKS}/{name}.seed", mode=0o600)
        self._host.run(
            f"qemu-img create -q -f qcow2 -F raw -b {IMAGES}/guest.ext4 {DISKS}/{name}.qcow2",
            check=True,
        )
        why_not = kvm.missing()
        self._start(name, domain_xml(name, guest, emulated=bool(why_not)))
        return f"emulated by QEMU (TCG): {why_not}" if why_not else "with KVM"

    def process(self, name: str) -> str:
        return self._started(f"/run/libvirt/qemu/{name}.pid")

    def console(self, name: str) -> str:
        return self._host.get(_console(name)).decode(errors="replace")


def _console(name: str) -> str:
    return f"/var/log/libvirt/qemu/{name}-console.log"


# Kernel words that make an emulated guest boot sooner; none changes what runs in it.
KERNEL_LINE = (
    "root=/dev/vda rw net.ifnames=0 console=ttyS0 quiet systemd.show_status=no mitigations=off "
    "tsc=reliable no_timer_check nokaslr audit=0 random.trust_cpu=on cryptomgr.notests "
    "8250.nr_uarts=1 nowatchdog no5lvl lsm="
)


def domain_xml(name: str, guest: Guest, *, emulated: bool) -> str:
    """The guest's libvirt XML: a direct kernel boot, three disks, one network card on br0."""
    # QEMU's default cache of translated code is so large that filling it slows a boot down.
    cache = '<tcg><tb-cache unit="MiB">128</tb-cache></tcg>' if emulated else ""
    processor = '<cpu mode="maximum"/>' if emulated else '<cpu mode="host-passthrough"/>'
    return f"""<domain type="{"qemu" if emulated else "kvm"}">
  <name>{escape(name)}</name>
  <memory unit="MiB">{guest.memory}</memory>
  <vcpu>{guest.cpus}</vcpu>
  <os>
    <type arch="x86_64" machine="q35">hvm</type>
    <kernel>{IMAGES}/vmlinuz</kernel>
    <initrd>{IMAGES}/initrd</initrd>
    <cmdline>{KERNEL_LINE}</cmdline>
  </os>
  <features><acpi/><apic/>{cache}</features>
  {processor}
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" cache="unsafe"/>
      <source file="{DISKS}/{escape(name)}.qcow2"/><target dev="vda" bus="virtio"/>
    </disk>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="{IMAGES}/packages.ext4"/><target dev="vdb" bus="virtio"/><readonly/>
    </disk>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="{DISKS}/{escape(name)}.seed"/><target dev="vdc" bus="virtio"/><readonly/>
    </disk>
    <interface type="bridge"><source bridge="br0"/><model type="virtio"/>
      <rom enabled="no"/></interface>
    <serial type="file"><source path="{_console(name)}"/></serial>
    <rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
    <memballoon model="none"/>
  </devices>
</domain>
"""
