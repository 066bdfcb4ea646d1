"""Providers: what machines are made of. A provider knows machines, not clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from lab.errors import BadInput
from lab.fields import Family, GuestPlace
from lab.images import Images
from lab.model import Machine
from lab.paths import RUN

GATEWAY = "192.168.122.1"  # the outside of a lab's network: no node, just where one can look from
PREFIX = 24
LOCK = RUN / "machines.lock"  # held while machines are made or removed; shared: some are in use
MACHINERY = "what makes and removes machines of all labs"  # that lock, in words
WAIT = 1200.0  # seconds for that lock: longer than anybody may hold it, 900 on a busy machine


@dataclass(frozen=True)
class Order:
    """What a lab wants of its provider.

    `seeds` has, for each machine, a tar file with what makes it itself: names, keys. `key` opens
    them all; `host_keys` are the public ones that they show. `say` gets a line of progress.
    """

    lab: str
    machines: dict[str, Machine]
    seeds: dict[str, bytes]
    images: Images
    key: Path
    host_keys: dict[str, str]
    say: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Wire:
    """A machine's cable. `group`: number of its part of a partitioned network, 0 in a whole one
    or for who reaches every part.
    """

    plugged: bool
    group: int = 0


class Provider(Protocol):
    """Machines of one kind. Every call names its lab; a provider keeps nothing in memory."""

    name: str

    def up(self, order: Order) -> None:
        """Bring up every machine of the order that is not there or not running."""

    def down(self, lab: str) -> None:
        """Remove all that there is of a lab. Works on half-made and half-removed labs too."""

    def labs(self) -> set[str]:
        """Every lab of which anything is there."""

    def leftovers(self, lab: str) -> list[str]:
        """What is there of a lab, in words; empty after `down`."""

    def running(self, lab: str) -> dict[str, bool]:
        """Each machine that exists, and whether it has power."""

    def paused(self, lab: str) -> set[str]:
        """The machines that have power and stand still: nothing in them goes on."""

    def power_on(self, lab: str, node: str) -> None:
        """Start a machine that has no power."""

    def power_off(self, lab: str, node: str) -> None:
        """Take the power away: the machine dies at once and without notice."""

    def await_reboot(self, lab: str, node: str, before: str, within: float) -> None:
        """A machine was told to reboot: wait for its end and its next start.

        `before` is what `boot` said earlier. Raises CommandTimeout after `within` seconds.
        """

    def boot(self, lab: str, node: str) -> str:
        """Identity of this boot: another text after each one, '' without power."""

    def pace(self) -> float:
        """How many times longer than on containers things may take; deadlines fit containers."""

    def console(self, lab: str, node: str, /) -> str:
        """What a machine wrote to its console since its start; '' where there is none."""

    def cable(self, lab: str, node: str, *, plugged: bool) -> None:
        """Pull a machine's network cable, or plug it in again."""

    def partition(self, lab: str, groups: Sequence[Sequence[str]]) -> None:
        """Let machines of one group reach no other group; with no groups, join all again."""

    def wiring(self, lab: str) -> dict[str, Wire]:
        """Each machine's cable as it is now."""

    def add_addresses(self, lab: str, addresses: Sequence[str]) -> None:
        """Give the outside of the lab's network these addresses too; those that are there stay."""

    def guests(self) -> GuestPlace:
        """Where virtual machines of its machines run: inside their host, or beside it."""

    def identity(self, machine: Machine, number: int, family: Family, /) -> dict[str, str]:
        """Files, path to content, that a machine of this kind needs in its seed. `number`: of it
        among the lab's machines, from 1.
        """

    def ssh_options(self, lab: str, node: str, machine: Machine, /) -> dict[str, str]:
        """OpenSSH client options that reach a machine whatever its network does."""

    def outside(self, lab: str, argv: Sequence[str]) -> list[str]:
        """A command line that runs `argv` on the lab's network, but on none of its machines."""


DEFAULT = "podman"
AUTO = "auto"  # in place of a provider's name: the one that suits, see lab.providers.choice
# In the order in which they take a lab down: podman's takes the network, too, by which the
# processes of virtual machines are found.
_PROVIDERS = {
    "vagrant": "lab.providers.vagrant:Vagrant",
    "podman": "lab.providers.podman:Podman",
}


def names() -> list[str]:
    """Every provider's name."""
    return sorted(_PROVIDERS)


def every() -> list[Provider]:
    """One of each, in the order in which they take a lab down."""
    return [load(name) for name in _PROVIDERS]


def check(name: str) -> None:
    """Raise BadInput, with the valid choices, unless it is a provider's name or `auto`."""
    if name not in (AUTO, *names()):
        raise BadInput(
            f"there is no provider {name!r}; choose one of: {AUTO}, {', '.join(names())}"
        )


def load(name: str) -> Provider:
    """The provider of that name; BadInput lists the valid ones."""
    if name not in _PROVIDERS:
        raise BadInput(f"there is no provider {name!r}; choose one of: {', '.join(names())}")
    module, _, klass = _PROVIDERS[name].partition(":")
    made: Provider = getattr(import_module(module), klass)()
    return made
