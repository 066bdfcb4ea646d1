"""A lab: a scenario's machines on a provider, and what of it is on disk.

The folder of a lab, <state>/labs/NAME:

    lab.json        what it is: scenario file, platform, provider; the sections done: see lab.record
    ssh_config …    keys, passwords, the way in: see lab.access
    ssh             a program that is ssh with that config, for libvirt
    faults/         those that stand: see lab.faults
    vms/            of virtual machines: see lab.providers.libvirtd
    snapshots/      see lab.snapshots
    bmc.log         see lab.bmc

Which ones there are, and how one ends: see lab.labs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lab import (
    access,
    bmc,
    hypervisor,
    images,
    memory,
    owner,
    paths,
    platforms,
    providers,
    status,
)
from lab import record as records
from lab.errors import BadInput, LabError, Unreachable
from lab.fields import GuestKind
from lab.fleet import named
from lab.images import Images
from lab.model import Guest, Scenario
from lab.pacemaker import status_command
from lab.platform import Platform
from lab.providers import Order, Provider
from lab.record import Record
from lab.scenario import load as load_scenario
from lab.status import ClusterStatus
from lab.together import on_each

if TYPE_CHECKING:
    from lab.guests import Guests
    from lab.machine import Machine

# Seconds that services may take to stop before a reboot: systemd waits 90 for one that does not,
# and pcsd's two stop one after the other. (On Debian 13 pcsd-ruby does not, now and then.)
STOP = 180.0
BOOT = 120.0  # seconds until a machine answers that was given power, or was told to reboot
GUEST_BOOT = 600.0  # the same of a guest, which may be emulated
STATUS = 10.0  # seconds for crm_mon; one that takes longer is asking daemons that hang
Say = Callable[[str], None]


class Lab:
    """One lab that exists on disk, whether or not its machines run."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.name = record.name
        self.folder = paths.labs() / record.name
        self.access = access.Access(self.folder)
        self.asked = ""  # the cluster node that told the cluster's state last
        self._machines: dict[str, Machine] = {}
        self._guests: dict[tuple[str, GuestKind], Guests] = {}

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario, read from its file. BadInput where that was moved, or has a mistake now."""
        try:
            return load_scenario(Path(self.record.scenario), self.record.remotes)
        except BadInput as error:
            raise BadInput(
                f"the scenario of lab {self.name} cannot be used: {error.message}",
                hint=f"put that file right; lab down {self.name} works without it, and so do "
                "lab ssh and lab exec",
            ) from error

    @cached_property
    def platform(self) -> Platform:
        """What its nodes run, and where their guests do."""
        found = platforms.load(self.record.platform)
        return found.model_copy(update={"guests": self.provider.guests()})

    @cached_property
    def provider(self) -> Provider:
        """What its machines are made of."""
        return providers.load(self.record.provider)

    # -- on disk ---------------------------------------------------------------------------

    @classmethod
    def open(cls, name: str) -> Lab:
        """The lab of that name; BadInput lists the ones there are."""
        if name in records.names():  # else it is none, or a path
            with suppress(FileNotFoundError):
                return cls(records.read(name))
        owner.require_own(name)
        there = ", ".join(records.names()) or "none; `lab up SCENARIO` makes one"
        raise BadInput(f"there is no lab {name!r}; labs: {there}")

    @classmethod
    def create(
        cls, name: str, scenario: Path, platform: str, provider: str, remotes: int | None = None
    ) -> Lab:
        """A new lab, on disk only. Written down before anything of it exists."""
        lab = cls(Record(name, str(scenario.resolve()), platform, provider, remotes=remotes))
        owner.claim(name)
        lab.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lab.save()
        return lab

    def save(self) -> None:
        """Write lab.json."""
        records.write(self.record)

    # -- machines --------------------------------------------------------------------------

    def up(self, say: Say = lambda line: None) -> None:
        """Bring every machine up and wait until each can be logged in to."""
        there = self.provider.running(self.name)
        self.access.create(self.name, self.scenario, self.provider)
        if all(node in there for node in self.scenario.nodes):
            # They keep the images that they were made of, whatever the recipe says by now.
            for node in self.scenario.nodes:
                if not there[node]:
                    say(f"{node} had no power; it is started")
                    self.provider.power_on(self.name, node)
        else:
            built = self._images(say)
            machines = self.scenario.nodes
            family = self.platform.family
            seeds = {
                node: self.access.seed(
                    self.scenario, node, self.provider.identity(machine, number, family), family
                )
                for number, (node, machine) in enumerate(machines.items(), start=1)
            }
            keys = {node: self.access.host_key(node) for node in machines}
            say(f"machines: {named(list(machines))} ({self.provider.name})")
            self.provider.up(Order(self.name, machines, seeds, built, self.access.key, keys, say))
        within = BOOT * self.provider.pace()
        on_each(self, self.scenario.nodes, lambda machine: machine.await_login(within))
        ssh = self.folder / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec ssh -F "{self.access.ssh_config}" "$@"\n')
        ssh.chmod(0o700)
        bmc.ensure(self, say)

    def _images(self, say: Say) -> Images:
        """The platform's images. On record as this lab's before they are looked for: what is there
        then stays, whoever prunes.
        """
        with images.in_use():
            self.record.images = images.key(self.platform)
            self.save()
        built = images.ensure(self.platform, say)
        self.record.images = built.key  # of another recipe, if that was edited meanwhile
        self.save()
        return built

    def machine(self, node: str) -> Machine:
        """The machine of a node, guests included."""
        from lab.machine import Machine  # paramiko takes long to import

        if node not in self._machines:
            self._check(node, self.scenario.names)
            self._machines[node] = Machine(node, self.access.ssh_config, self.access.known_hosts)
        return self._machines[node]

    def require_node(self, node: str) -> None:
        """Raise BadInput for a node that there is not: by the ssh config, once there is one, for
        which the scenario's file need not be there any more.
        """
        self._check(node, self.access.nodes() or self.scenario.names)

    def _check(self, node: str, nodes: Sequence[str]) -> None:
        if node not in nodes:
            raise BadInput(f"lab {self.name} has no node {node!r}; nodes: {', '.join(nodes)}")

    def guests(self, host: str, kind: GuestKind = "vm") -> Guests:
        """The guests of that kind on a host."""
        # These need libvirt's library.
        from lab.lxc import Containers
        from lab.siblings import Siblings
        from lab.vms import VirtualMachines

        if (host, kind) not in self._guests:
            machine, ssh = self.machine(host), self.folder / "ssh"
            found: Guests
            if kind == "container":
                found = Containers(machine, ssh)
            elif self.platform.guests == "inside":
                found = VirtualMachines(machine, ssh, direct=self.platform.is_built)
            else:
                number = list(self.scenario.nodes).index(host) + 1
                found = Siblings(machine, ssh, self.name, number, direct=self.platform.is_built)
            self._guests[host, kind] = found
        return self._guests[host, kind]

    def guests_of(self, guest: str) -> Guests:
        """The guests of its kind on the host that this guest belongs to."""
        found = self.scenario.guests[guest]
        return self.guests(found.host, found.kind)

    def create_guest(self, name: str) -> str:
        """Make a guest as the scenario describes it; what it runs on, in words."""
        guest: Guest = self.scenario.guests[name]
        family = self.platform.family
        guest = guest.model_copy(update={"memory": memory.of_guest(guest.memory, family)})
        seed = self.access.seed(self.scenario, name, family=family)
        return self.guests_of(name).create(name, guest, seed)

    def address(self, node: str) -> str:
        """A node's address on the lab's network."""
        return self.scenario.address(node)

    def boot(self, node: str) -> str:
        """Identity of a node's current boot, '' without power. A guest's is its process: one that
        is rebooted from within keeps it.
        """
        guest = self.scenario.guests.get(node)
        if guest is None:
            return self.provider.boot(self.name, node)
        if not self.provider.running(self.name).get(guest.host):
            return ""
        return self.guests_of(node).process(node)

    def with_power(self) -> list[str]:
        """The machines that have power, and the guests that are nodes of their own and run."""
        running = self.provider.running(self.name)
        machines = [node for node in self.scenario.nodes if running.get(node)]
        return [*machines, *(guest for guest in hypervisor.own(self) if self.boot(guest))]

    def reboot(self, node: str) -> None:
        """Type `reboot` on a machine, and see to it that it has power again."""
        before = self.boot(node)
        machine = self.machine(node)
        # The answer may not make it back before the machine is gone: what counts is that it goes.
        with suppress(Unreachable):
            machine.run("systemctl reboot --no-block", within=20)
        self.close()
        within = BOOT * self.provider.pace()
        self.provider.await_reboot(self.name, node, before, STOP + within)
        machine.await_login(within)

    def power_on(self, node: str) -> None:
        """See to it that a node has power and can be logged in to.

        A guest node gets its power from the cluster, and only that.
        """
        if node in self.scenario.nodes:
            if not self.provider.running(self.name).get(node):
                self.provider.power_on(self.name, node)
        elif node in hypervisor.own(self):
            hypervisor.power_on(self, node)
        machines = self.scenario.nodes
        within = BOOT * self.provider.pace() if node in machines else GUEST_BOOT
        self.machine(node).await_login(within)

    def status(self, node: str = "") -> ClusterStatus:
        """The cluster's state, as a node's crm_mon prints it.

        Without a node, a cluster node is asked: the one that answered last, or else the first
        that does, and one with quorum before one without. Raises what the first one did where
        none answers.
        """
        if node:
            return self._status(node)
        problem: LabError | None = None
        without_quorum: tuple[str, ClusterStatus] | None = None
        for name in self._askable():
            try:
                found = self._status(name)
            except LabError as error:
                problem = problem or error
                continue
            if found.quorum:
                self.asked = name
                return found
            without_quorum = without_quorum or (name, found)
        if without_quorum:  # of a cluster in parts, only one with quorum would know better
            self.asked, found = without_quorum
            return found
        assert problem is not None
        raise problem

    def _askable(self) -> list[str]:
        nodes = self.scenario.cluster_nodes or list(self.scenario.nodes)
        return sorted(nodes, key=lambda name: name != self.asked)

    def _status(self, node: str) -> ClusterStatus:
        done = self.machine(node).run(status_command(self.platform), within=STATUS)
        return status.parse(done.stdout or done.stderr)

    def close(self) -> None:
        """Drop every connection; the machines go on."""
        for guests in self._guests.values():
            guests.close()
        for machine in self._machines.values():
            machine.close()
