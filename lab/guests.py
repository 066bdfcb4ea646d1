"""Virtual machines on a host of the lab, through that host's own libvirtd.

libvirt-python talks to it over the lab's ssh config, so this is the same for every
provider. Section 4.2.1 leaves it to the reader how a guest is made: this is our reading.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import escape

import libvirt

from lab import kvm
from lab.deadline import Deadline, wait_for
from lab.errors import CommandFailed, LabError
from lab.machine import Machine
from lab.model import Guest

IMAGES = "/srv/images"  # the platform's images, as a host of guests has them mounted
DISKS = "/var/lib/libvirt/images"

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "idle",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "in shutdown",
    libvirt.VIR_DOMAIN_SHUTOFF: "shut off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "pmsuspended",
}

libvirt.registerErrorHandler(lambda _context, _error: None, None)  # we raise instead of printing


class Guests:
    """The virtual machines of one host."""

    def __init__(self, host: Machine, ssh: Path) -> None:
        """`ssh`: a program that is OpenSSH with the lab's config."""
        self._host = host
        self._uri = f"qemu+ssh://{host.name}/system?command={ssh}&proxy=netcat&no_tty=1"
        self._connection: libvirt.virConnect | None = None

    def version(self) -> str:
        """libvirtd's version, asked of it just now: `9.0.0`."""
        try:
            number = self._connect().getLibVersion()
        except libvirt.libvirtError as error:
            self.close()
            raise CommandFailed(f"libvirtd on {self._host.name}: {error}") from error
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    def create(self, name: str, guest: Guest, seed: bytes) -> str:
        """Make the guest's disk on the host, define it and start it; what it runs on, in words."""
        self._host.put(seed, f"{DISKS}/{name}.seed", mode=0o600)
        self._host.run(
            f"qemu-img create -q -f qcow2 -F raw -b {IMAGES}/guest.ext4 {DISKS}/{name}.qcow2",
            check=True,
        )
        why_not = kvm.missing()
        try:
            self._connect().defineXML(domain_xml(name, guest, emulated=bool(why_not))).create()
        except libvirt.libvirtError as error:
            raise LabError(f"libvirt could not start {name}: {error}") from error
        return f"emulated by QEMU (TCG): {why_not}" if why_not else "with KVM"

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

    def process(self, name: str) -> str:
        """The QEMU process: its PID and start time, '' if there is none."""
        done = self._host.run(
            f"pid=$(cat /run/libvirt/qemu/{name}.pid) && cut -d' ' -f1,22 /proc/$pid/stat"
        )
        return done.stdout.strip() if done.exit == 0 else ""

    def shut_down(self, name: str, within: float) -> None:
        """Press the guest's power button and wait until it is off."""
        domain = self._domain(name)
        if domain is None:
            raise LabError(f"there is no virtual machine {name} on {self._host.name}")
        if self.state(name) == "running":
            domain.shutdown()
        last = wait_for(lambda: self.state(name), lambda s: s == "shut off", Deadline(within))
        if last != "shut off":
            raise CommandFailed(f"{name} did not shut down within {within:.0f} s; it is {last}")

    def domain(self, name: str) -> libvirt.virDomain:
        """libvirt's handle of a guest that is defined. Raises LabError if there is none."""
        found = self._domain(name)
        if found is None:
            raise LabError(f"there is no virtual machine {name} on {self._host.name}")
        return found

    def console(self, name: str) -> str:
        """All that the guest wrote to its serial console."""
        return self._host.get(_console(name)).decode(errors="replace")

    def close(self) -> None:
        """Drop the connection to libvirtd."""
        if self._connection is not None:
            with suppress(libvirt.libvirtError):  # the host may be gone, and it with the host
                self._connection.close()
            self._connection = None

    def _connect(self) -> libvirt.virConnect:
        if self._connection is None or not self._connection.isAlive():
            try:
                self._connection = libvirt.open(self._uri)
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


def _console(name: str) -> str:
    return f"/var/log/libvirt/qemu/{name}-console.log"


# Kernel words that make an emulated guest boot sooner; none changes what runs in it.
_KERNEL_LINE = (
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
    <cmdline>{_KERNEL_LINE}</cmdline>
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
