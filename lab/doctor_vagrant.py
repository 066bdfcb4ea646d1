"""What the vagrant provider needs of this machine, beyond what lab needs anyway."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace

from lab import customize, fetched, images, kvm, memory, platforms, vagrant_cli
from lab.errors import LabError
from lab.finding import Finding, program
from lab.model import Machine
from lab.platform import Platform

PROVIDER = "vagrant"
PLUGIN = "vagrant-libvirt"  # the plugin's name, and its Debian package's

# program -> the Debian package it is in, and what for
PROGRAMS = {
    "vagrant": ("vagrant", "it makes the virtual machines and starts them"),
    "libvirtd": ("libvirt-daemon-system", "each lab runs one of its own, for its machines alone"),
    "qemu-system-x86_64": ("qemu-system-x86", "a machine is a process of it"),
    "qemu-img": ("qemu-utils", "it makes boxes and the disks of machines"),
    "dnsmasq": ("dnsmasq-base", "libvirt has machines get the address of their way in from it"),
}
MACHINES = 3  # in chapter 5, which has the most that can be virtual machines


def essential() -> list[Finding]:
    """What the provider is of no use without. Takes seconds where Vagrant is: it is asked."""
    programs = [
        program(name, package, why, provider=PROVIDER) for name, (package, why) in PROGRAMS.items()
    ]
    if not shutil.which("vagrant"):
        return [*programs, _plugin(seen="not looked for: vagrant is not installed")]
    return [*programs, _version(), _plugin()]


def useful(known: Sequence[Platform]) -> list[Finding]:
    """What the provider's labs are better with. `known`: the platforms that there are."""
    boxed = [platform for platform in map(platforms.load, platforms.names()) if platform.box]
    found = [_nested(), _memory(), *map(_box, known)]
    return [*found, *map(_optional, customize.programs()), *map(_fetched, boxed)]


def without() -> str:
    """Why the provider is of no use here, as half a sentence; '' where it is of use."""
    lacking = ", ".join(finding.name for finding in essential() if not finding.ok)
    return f"the provider vagrant lacks {lacking}" if lacking else ""


def qemu_img() -> Finding:
    """The one thing that boxes are made with, also for other machines' Vagrant."""
    return program("qemu-img", *PROGRAMS["qemu-img"], provider=PROVIDER)


def _optional(finding: Finding) -> Finding:
    return replace(finding, needed=False, fix=f"install {' '.join(finding.packages)}")


def _version() -> Finding:
    finding = Finding(
        "supported Vagrant", True, True, "", "others are not known to work", "", (), PROVIDER
    )
    try:
        said = vagrant_cli.ask("--version").strip()
        vagrant_cli.check_version(said)
    except LabError as error:
        return replace(finding, ok=False, seen=error.message, why=error.message, fix=error.hint)
    return replace(finding, seen=said)


def _plugin(seen: str = "") -> Finding:
    """Whether the plugin is among those of the machine: a lab's Vagrant sees no user's own."""
    ok = False
    if not seen:
        try:
            found = vagrant_cli.plugins()
            ok = PLUGIN in found
            seen = found.get(PLUGIN, "not among the plugins that every user of Vagrant has")
        except LabError as error:
            seen = error.message
    why = "Vagrant knows of libvirt by it"
    fix = f"lab doctor --fix --provider {PROVIDER}, or install {PLUGIN}"
    return Finding(f"plugin {PLUGIN}", ok, True, seen, why, fix, (PLUGIN,), PROVIDER)


def _nested() -> Finding:
    reason = kvm.not_nested()
    return Finding(
        "nested virtualisation",
        not reason,
        False,
        f"not for virtual machines of a lab: {reason}" if reason else "virtual machines can use it",
        "with it guest1 of chapter 4 runs inside the virtual machine example-host, as in the "
        "book; without it beside that one",
        "a machine whose KVM works, with its module's parameter nested=1",
    )


def _memory() -> Finding:
    free = memory.available()
    own = Machine.model_fields["memory"].default
    each = memory.virtual(own, emulated=bool(kvm.missing()))
    return Finding(
        "memory",
        free >= MACHINES * each,
        False,
        f"{free} MiB are free: room for {max(0, free // each)} virtual machines of {own} MiB, "
        f"each of which takes {each}",
        f"chapter 5 has {MACHINES} of them; containers need far less",
        "take other labs down",
    )


def _box(platform: Platform) -> Finding:
    from lab.providers import choice

    reason = choice.boxless(platform)
    return Finding(
        f"box of {platform.name}",
        not reason,
        False,
        reason or "made",
        "`lab up` without --provider takes virtual machines only where it is",
        f"lab images build {platform.name} --box",
    )


def _fetched(platform: Platform) -> Finding:
    ready, seen = images.built(platform) is not None, "made a node of"
    fix = f"lab images build {platform.name}"
    if not ready:
        seen = "not fetched, or not of today's recipe"
        try:
            fetched.check(platform)
        except LabError as error:
            seen, fix = error.message, error.hint
    return Finding(
        f"box of {platform.name}",
        ready,
        False,
        seen,
        "it is fetched; `lab up` does that where it knows from where",
        fix,
    )
