"""Guests on a host, of every kind, as libvirt and the processes there see them."""

from __future__ import annotations

from lab.arguments import DomainState
from lab.checks import Seen, check
from lab.context import Context
from lab.fields import GuestKind
from lab.vocabulary import GuestName, Node


@check(
    lambda host, kind: (
        f"libvirtd on {host} answers" + (" about containers" if kind == "container" else "")
    )
)
def libvirt_answers(context: Context, host: Node, kind: GuestKind = "vm") -> Seen:
    """A connection to its qemu:///system is accepted (to its lxc:///, if it is asked about
    containers), and it knows its version.
    """
    return Seen(True, f"libvirt {context.lab.guests(host, kind).version()}")


@check("libvirt says that {guest} is {state}")
def domain_state(context: Context, guest: GuestName, state: DomainState) -> Seen:
    """libvirt's word for its state, as `virsh list --all` prints it: running, shut off …"""
    real = context.lab.guests_of(guest).state(guest)
    return Seen(real == state, real)


def _incarnation(context: Context, guest: str) -> dict[str, str]:
    guests = context.lab.guests_of(guest)
    return {
        guests.process_is: guests.process(guest),
        "boot": context.machine(guest).run(guests.boot_is).stdout.strip(),
    }


@check("{guest} was really restarted", remember=_incarnation)
def guest_restarted(context: Context, guest: GuestName, *, before: dict[str, str]) -> Seen:
    """Both its process on the host and its boot are others than before the section: of a virtual
    machine the kernel's boot, of a container that of its own PID 1.
    """
    if unknown := [name for name, value in before.items() if not value]:
        return Seen(False, f"no {' and no '.join(unknown)} before the section")
    guests = context.lab.guests_of(guest)
    process = guests.process(guest)
    if not process or process == before[guests.process_is]:
        return Seen(
            False, f"the same {guests.process_is}" if process else f"no {guests.process_is}"
        )
    now = _incarnation(context, guest)
    changed = [name for name in now if now[name] and now[name] != before[name]]
    same = [name for name in now if name not in changed]
    said = [f"another {name}" for name in changed] + [f"the same {name}" for name in same]
    return Seen(not same, ", ".join(said))


@check("{guest} was not restarted", remember=_incarnation)
def guest_not_restarted(context: Context, guest: GuestName, *, before: dict[str, str]) -> Seen:
    """Its process on the host and its boot are those of before the section's commands."""
    now = _incarnation(context, guest)
    other = [name for name in before if not before[name] or now[name] != before[name]]
    said = [f"another {name}" if now[name] else f"no {name}" for name in other]
    return Seen(not other, ", ".join(said) or "the same")
