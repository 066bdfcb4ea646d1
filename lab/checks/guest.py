"""Virtual machines on a host, as libvirt and the processes there see them."""

from __future__ import annotations

from lab.checks import Seen, check
from lab.context import Context
from lab.vocabulary import Node


@check("libvirtd on {host} answers")
def libvirt_answers(context: Context, host: Node) -> Seen:
    """A connection to its qemu:///system is accepted, and it knows its version."""
    return Seen(True, f"libvirt {context.lab.guests(host).version()}")


@check("virtual machine {guest} is {state}")
def domain_state(context: Context, guest: Node, state: str) -> Seen:
    """libvirt's word for its state, as `virsh list --all` prints it: running, shut off …"""
    real = context.lab.guests_of(guest).state(guest)
    return Seen(real == state, real)


def _incarnation(context: Context, guest: str) -> dict[str, str]:
    return {
        "QEMU process": context.lab.guests_of(guest).process(guest),
        "boot": context.machine(guest).run("cat /proc/sys/kernel/random/boot_id").stdout.strip(),
    }


@check("virtual machine {guest} was really restarted", remember=_incarnation)
def guest_restarted(context: Context, guest: Node, *, before: dict[str, str]) -> Seen:
    """Both its QEMU process and its kernel's boot are others than before the section."""
    if unknown := [name for name, value in before.items() if not value]:
        return Seen(False, f"no {' and no '.join(unknown)} before the section")
    process = context.lab.guests_of(guest).process(guest)
    if not process or process == before["QEMU process"]:
        return Seen(False, "the same QEMU process" if process else "no QEMU process")
    now = _incarnation(context, guest)
    changed = [name for name in now if now[name] and now[name] != before[name]]
    same = [name for name in now if name not in changed]
    said = [f"another {name}" for name in changed] + [f"the same {name}" for name in same]
    return Seen(not same, ", ".join(said))


@check("virtual machine {guest} was not restarted", remember=_incarnation)
def guest_not_restarted(context: Context, guest: Node, *, before: dict[str, str]) -> Seen:
    """Its QEMU process and its kernel's boot are those of before the section's commands."""
    now = _incarnation(context, guest)
    other = [name for name in before if not before[name] or now[name] != before[name]]
    said = [f"another {name}" if now[name] else f"no {name}" for name in other]
    return Seen(not other, ", ".join(said) or "the same")
