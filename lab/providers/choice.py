"""Which provider a new lab gets: the one that was asked for, or the one that suits.

Virtual machines are the full fidelity, and take long where they are emulated or their box is yet
to be made; containers always do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab import boxes, customize, doctor_vagrant, fetched, images, kvm, memory, platforms
from lab.errors import BadInput, CannotRun
from lab.fleet import named
from lab.model import Guest, Machine, Scenario
from lab.platform import Platform
from lab.providers import AUTO, check

OWN = 768  # MiB that a host of guests needs for itself: system, libvirtd, a cluster node
Reason = Callable[[], str]  # looks, and says what is against virtual machines; '' if nothing is


@dataclass(frozen=True)
class Choice:
    """A provider, and why that one; `why` is empty where it was asked for."""

    provider: str
    why: str = ""


def choice(wish: str, scenario: Scenario, platform: Platform) -> Choice:
    """What a new lab's machines are made of. BadInput for a wish that cannot be, or where none is
    left; CannotRun where a box cannot be fetched, or no machine be made of it.
    """
    check(wish or AUTO)
    if needs := _needs(platform):
        if wish == "podman":
            raise BadInput(
                f"{needs}, and podman has no machines of boxes", hint="--provider vagrant"
            )
        if reason := _impossible(scenario, platform):
            raise BadInput(f"{needs}, but {reason}", hint=f"--platform {platforms.DEFAULT}")
        return _of_box(wish, platform)
    if wish in ("", AUTO):
        return chosen(
            scenario,
            lambda: cramped(scenario, platform),
            kvm.missing,
            doctor_vagrant.without,
            lambda: boxless(platform),
            lambda: crowded(scenario.nodes, scenario.guests),
        )
    if wish == "vagrant" and (reason := _impossible(scenario, platform)):
        raise BadInput(f"provider vagrant: {reason}", hint="--provider podman")
    return Choice(wish)


def nowhere(scenario: Scenario, platform: Platform) -> str:
    """Why the scenario runs on this platform on no machine whatever; '' if it could on some."""
    needs = _needs(platform)
    reason = only_containers(scenario.nodes, scenario.guests)
    return f"{needs}, but {reason}" if needs and reason else ""


def _needs(platform: Platform) -> str:
    """Why the platform is for one provider alone; '' if it is not."""
    if platform.box is None:
        return ""
    return f"{platform.name} starts from the {platform.box.text}: it needs the provider vagrant"


def _impossible(scenario: Scenario, platform: Platform) -> str:
    """Why virtual machines cannot be made of it here, whatever is free; '' if they can."""
    return only_containers(scenario.nodes, scenario.guests) or cramped(scenario, platform)


def _of_box(wish: str, platform: Platform) -> Choice:
    if not images.built(platform):
        customize.require()
        fetched.check(platform)
    if wish == "vagrant":
        return Choice(wish)
    if lacks := doctor_vagrant.without():
        raise CannotRun(
            f"{platform.name} starts from a box, and {lacks}",
            hint="run: lab doctor --fix --provider vagrant",
        )
    return Choice("vagrant", "podman has no machines of boxes")


def chosen(scenario: Scenario, *reasons: Reason) -> Choice:
    """The provider where none was asked for. Later reasons may take long to find: each is asked
    for only if those before it had nothing to say.
    """
    reason = only_containers(scenario.nodes, scenario.guests)
    for look in reasons:
        reason = reason or look()
    if reason:
        return Choice("podman", reason)
    return Choice("vagrant", "KVM works, Vagrant is there, the box too, and there is memory")


def only_containers(machines: Mapping[str, Machine], guests: Mapping[str, Guest]) -> str:
    """Why these can be containers only; '' if they can be virtual machines."""
    if slim := [name for name, machine in machines.items() if machine.slim]:
        return f"slim machines are containers, here {named(slim)}"
    if inner := [name for name, guest in guests.items() if guest.kind == "container"]:
        return (
            f"guests that are containers need images that only podman brings, here {named(inner)}"
        )
    return ""


def cramped(scenario: Scenario, platform: Platform) -> str:
    """Why a host that is a virtual machine has no room for the guests inside it; '' if it has."""
    if kvm.not_nested():
        return ""
    for name, host in scenario.nodes.items():
        guests = [
            memory.of_guest(one.memory, platform.family)
            for one in scenario.guests.values()
            if one.host == name
        ]
        needed = OWN + memory.together([], guests, emulated=bool(kvm.missing()))
        if guests and needed > host.memory:
            return (
                f"{name} has memory: {host.memory}, and with the virtual machines inside it needs "
                f"{needed}"
            )
    return ""


def crowded(machines: Mapping[str, Machine], guests: Mapping[str, Guest] | None = None) -> str:
    """Why this machine's memory has no room for them as virtual machines; '' if it has. `guests`:
    those that would be made later; where they run inside their host it is the host's memory.
    """
    beside = guests.values() if guests and kvm.not_nested() else ()
    needed = memory.together(
        [one.memory for one in machines.values()],
        [one.memory for one in beside],
        emulated=bool(kvm.missing()),
    )
    free = memory.available()
    if needed <= free:
        return ""
    return f"virtual machines would need {needed} MiB of memory, and {free} MiB are free"


def boxless(platform: Platform) -> str:
    """Why there is no box of the platform; '' if there is."""
    built = images.built(platform)
    if built and boxes.made(built):
        return ""
    return f"{platform.name} has no {'box' if built else 'images'} yet"
