"""Snapshots of a whole lab: every machine at the same moment, its memory and disks, and which
sections were done by then. A workshop goes back to a section in seconds.

    <state>/labs/LAB/snapshots/NAME.json    when it was taken, and after which sections
                              /restoring    the name of one, from when the first machine is put back
                                            until the last one is

What is in the machines is libvirt's: internal snapshots of the disks that Vagrant made. Containers
have none: podman's checkpoints keep the memory of processes, but not mounts, systemd's cgroups
and open connections of a container that is a machine.
"""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import libvirt

from lab import faults, siblings, stored
from lab.errors import BadInput, CannotRun, LabError
from lab.lab import Lab
from lab.machine import Machine
from lab.providers import libvirtd
from lab.stored import Moment
from lab.together import AT_ONCE, on_each
from lab.whole import write_json

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
CLOCK = 20.0  # seconds for setting a machine's clock


@dataclass(frozen=True)
class Snapshot:
    """`at`: when, in seconds since 1970. `done`: the sections that had passed by then. `machines`:
    all that there were, guests beside their host too. `damaged`: why its record cannot be read, ''
    if it can; `at` is when the file was written then, and nothing else is known.
    """

    name: str
    at: Moment
    done: tuple[str, ...]
    machines: tuple[str, ...]
    damaged: str = ""


def save(lab: Lab, name: str) -> Snapshot:
    """Take a snapshot of all machines, paused together meanwhile.

    Raises BadInput for a name that is taken or is none, CannotRun where the provider cannot, or
    where a fault stands: it would stand again after each restore, and nobody would heal it.
    """
    _require(lab)
    if not re.fullmatch(NAME, name):
        raise BadInput(f"{name!r} is not a name for a snapshot: letters, digits, dot, - and _")
    if name in (known := names(lab)):
        raise BadInput(f"lab {lab.name} has a snapshot {name!r}; snapshots: {', '.join(known)}")
    set_clocks(lab, go_on(lab))
    with libvirtd.connection(lab.name) as opened:
        domains = opened.listAllDomains()
        made: list[libvirt.virDomainSnapshot] = []
        with _paused(domains):
            try:
                xml = f"<domainsnapshot><name>{name}</name></domainsnapshot>"
                for domain in domains:
                    _forget(domain, name)  # of one that was interrupted before it was on record
                    made.append(domain.snapshotCreateXML(xml))
                machines = tuple(sorted(domain.name() for domain in domains))
                taken = Snapshot(name, time.time(), tuple(lab.record.done), machines)
                _write(lab, taken)
            except BaseException:  # half of a lab is no snapshot, nor is one that is not on record
                _file(lab, name).unlink(missing_ok=True)
                for one in made:
                    with suppress(libvirt.libvirtError):
                        one.delete()
                raise
    return taken


def restore(lab: Lab, name: str) -> Snapshot:
    """Put every machine back to what it was, and the lab's record with them.

    Clocks are set to the time that it is: a machine does not notice that it was away.
    """
    _require(lab)
    wanted = _known(lab, name)
    lab.close()
    with libvirtd.connection(lab.name) as opened:
        there = {domain.name(): domain for domain in opened.listAllDomains()}
        # All of them first: where one has none, nothing is touched.
        kept = [_kept(there, one, wanted, lab) for one in wanted.machines]
        _restoring(lab).write_text(f"{name}\n")
        try:
            for later in there.keys() - set(wanted.machines):  # guests made since
                _remove(there[later])
            with ThreadPoolExecutor(AT_ONCE) as pool:  # each QEMU reads its memory from its disk
                for done in [
                    pool.submit(domain.revertToSnapshot, snapshot, _flags(snapshot))
                    for domain, snapshot in kept
                ]:
                    done.result()
            siblings.reconnect(lab.name)
        except libvirt.libvirtError as error:
            raise LabError(
                f"of lab {lab.name} only a part is back in snapshot {name}: {error}",
                hint=f"lab snapshot restore {name} --name {lab.name}, again",
            ) from error
        finally:
            _resume([domain for domain, _ in kept])
    lab.record.done = list(wanted.done)
    lab.save()
    _restoring(lab).unlink()
    set_clocks(lab, [node for node, on in lab.provider.running(lab.name).items() if on])
    return wanted


def delete(lab: Lab, name: str) -> None:
    """Forget a snapshot: what libvirt keeps of it, and last that there was one, so that whoever is
    interrupted can do it again. Also what a `save` left that was killed before it was on record,
    and one whose record is damaged. BadInput where nothing is of that name.
    """
    _require_virtual(lab)
    _require_whole(lab)
    with libvirtd.connection(lab.name) as opened:
        had = [_forget(domain, name) for domain in opened.listAllDomains()]
    if name in names(lab):
        _file(lab, name).unlink()
    elif not any(had):
        raise _unknown(lab, name)


def go_on(lab: Lab) -> list[str]:
    """Let the machines go on that somebody left standing, as a `save` does that is killed; their
    names. Those that a fault suspends stay. CannotRun where a `restore` was interrupted: a part of
    such a lab is of another time.
    """
    _require_whole(lab)
    if not libvirtd.revive(lab.name):
        return []
    standing = faults.standing(lab)
    suspended = [one.arguments["node"] for one in standing if one.fault == "suspend"]
    with libvirtd.connection(lab.name) as opened:
        left = [
            domain
            for domain in opened.listAllDomains()
            if domain.name() not in suspended and domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        ]
        _resume(left)
    return [domain.name() for domain in left]


def set_clocks(lab: Lab, machines: Iterable[str]) -> None:
    """Tell machines that stood still what time it is."""

    def tell(machine: Machine) -> None:
        machine.run("true", within=CLOCK, check=True)  # logs in: the clock would be late by that
        machine.run(f"date --set=@{time.time():.3f}", within=CLOCK, check=True)

    on_each(lab, [node for node in machines if node in lab.scenario.names], tell)


def listed(lab: Lab) -> list[Snapshot]:
    """Every snapshot of a lab, oldest first; those whose record is damaged are said to be."""
    found = []
    for path in (lab.folder / "snapshots").glob("*.json"):
        try:
            found.append(stored.read(path, Snapshot, name=path.stem))
        except ValueError as error:
            why = f"{path} is damaged: {error}"
            found.append(Snapshot(path.stem, path.stat().st_mtime, (), (), why))
    return sorted(found, key=lambda one: one.at)


def names(lab: Lab) -> list[str]:
    """Their names, oldest first."""
    return [one.name for one in listed(lab)]


def _write(lab: Lab, taken: Snapshot) -> None:
    """Put it on record, whole or not at all: a snapshot is what fills a disk. CannotRun where that
    cannot be.
    """
    file = _file(lab, taken.name)
    known = {key: value for key, value in asdict(taken).items() if key != "damaged"}
    try:
        file.parent.mkdir(exist_ok=True)
        write_json(file, known)
    except OSError as error:
        raise CannotRun(f"{file} could not be written: {error.strerror}") from error


def _known(lab: Lab, name: str) -> Snapshot:
    for one in listed(lab):
        if one.name == name:
            if one.damaged:
                hint = f"lab snapshot delete {name} --name {lab.name} removes what is left of it"
                raise CannotRun(one.damaged, hint=hint)
            return one
    raise _unknown(lab, name)


def _unknown(lab: Lab, name: str) -> BadInput:
    valid = ", ".join(names(lab)) or "none; `lab snapshot save NAME` takes one"
    return BadInput(f"lab {lab.name} has no snapshot {name!r}; snapshots: {valid}")


def _require(lab: Lab) -> None:
    """Raise CannotRun where the lab has no snapshots, or where a fault stands."""
    _require_virtual(lab)
    if standing := faults.standing(lab):
        raise CannotRun(
            f"a fault stands: {standing[0].text}", hint=f"lab fault heal --name {lab.name}"
        )


def _require_virtual(lab: Lab) -> None:
    """Raise CannotRun where the lab can have no snapshots; its libvirtd runs afterwards."""
    if lab.provider.name != "vagrant":
        raise CannotRun(
            f"lab {lab.name} is made of containers ({lab.provider.name}), and of their memory no "
            "snapshot can be taken",
            hint="lab up --provider vagrant makes one of virtual machines; "
            "here `lab down` and `lab up --until SECTION` lead to the same section",
        )
    if not libvirtd.revive(lab.name):
        raise CannotRun(
            f"the machines of lab {lab.name} are gone: this machine was rebooted, or it has none "
            "yet",
            hint=f"lab status {lab.name}; or lab down {lab.name}, then lab up",
        )


def _require_whole(lab: Lab) -> None:
    """Raise CannotRun where only a part of a lab is back in a snapshot."""
    with suppress(FileNotFoundError):
        name = _restoring(lab).read_text().strip()
        raise CannotRun(
            f"only a part of lab {lab.name} is back in snapshot {name}: that was interrupted",
            hint=f"lab snapshot restore {name} --name {lab.name}, again; or lab down {lab.name}",
        )


def _restoring(lab: Lab) -> Path:
    return lab.folder / "snapshots" / "restoring"


def _file(lab: Lab, name: str) -> Path:
    return lab.folder / "snapshots" / f"{name}.json"


@contextmanager
def _paused(domains: list[libvirt.virDomain]) -> Iterator[None]:
    """Stop the processors of all machines that run, for the block."""
    stopped: list[libvirt.virDomain] = []
    try:
        for domain in domains:
            if domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING:
                domain.suspend()
                stopped.append(domain)
        yield
    finally:
        _resume(stopped)


def _resume(domains: list[libvirt.virDomain]) -> None:
    """Let those that stand still go on; one that cannot does not keep the others."""
    for domain in domains:
        with suppress(libvirt.libvirtError):
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()


def _kept(
    there: Mapping[str, libvirt.virDomain], machine: str, wanted: Snapshot, lab: Lab
) -> tuple[libvirt.virDomain, libvirt.virDomainSnapshot]:
    """A machine and what libvirt kept of it."""
    try:
        if machine in there:
            return there[machine], there[machine].snapshotLookupByName(wanted.name)
    except libvirt.libvirtError:
        pass
    raise CannotRun(
        f"{machine} has nothing of snapshot {wanted.name} any more: the cluster made it anew "
        "since, and what libvirt keeps goes with a machine",
        hint=f"lab snapshot list --name {lab.name}; or lab down {lab.name}, then lab up",
    )


def _remove(domain: libvirt.virDomain) -> None:
    if domain.isActive():
        domain.destroy()
    with suppress(libvirt.libvirtError):  # the cluster's are gone with their process
        domain.undefine()


def _flags(snapshot: libvirt.virDomainSnapshot) -> int:
    """A machine that ran is put back standing still, so that all go on at the same moment."""
    state = ET.fromstring(snapshot.getXMLDesc()).findtext("state")
    paused = libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED if state != "shutoff" else 0
    return int(libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE | paused)


def _forget(domain: libvirt.virDomain, name: str) -> bool:
    """Whether it had one of that name."""
    try:
        found = domain.snapshotLookupByName(name)
    except libvirt.libvirtError:
        return False
    found.delete()
    return True
