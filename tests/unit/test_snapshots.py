"""Snapshots of a whole lab: all machines or none, and the lab's record with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import libvirt
import pytest

from lab import faults, paths, snapshots
from lab.errors import BadInput, CannotRun, CommandFailed
from lab.lab import Lab, Record
from lab.providers import libvirtd


@dataclass
class Domain:
    """A machine as libvirt has it; `log` is one for all, so that the order can be told."""

    name: str
    log: list[str]
    on: bool = True
    broken: bool = False
    kept: dict[str, bool] = field(default_factory=dict)

    def state(self) -> tuple[int, int]:
        return (libvirt.VIR_DOMAIN_RUNNING if self.on else libvirt.VIR_DOMAIN_SHUTOFF, 0)

    def isActive(self) -> bool:  # libvirt's names
        return self.on

    def suspend(self) -> None:
        self.log.append(f"{self.name} pauses")

    def resume(self) -> None:
        self.log.append(f"{self.name} goes on")

    def snapshotCreateXML(self, xml: str) -> Any:
        if self.broken:
            raise libvirt.libvirtError("no room")
        name = xml.partition("<name>")[2].partition("<")[0]
        self.kept[name] = self.on
        self.log.append(f"{self.name} is kept")
        return SimpleNamespace(delete=lambda: self.kept.pop(name))

    def snapshotLookupByName(self, name: str) -> Any:
        state = "paused" if self.kept[name] else "shutoff"
        return SimpleNamespace(
            name=name, getXMLDesc=lambda: f"<domainsnapshot><state>{state}</state></domainsnapshot>"
        )

    def revertToSnapshot(self, found: Any, flags: int) -> None:
        paused = bool(flags & libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED)
        assert paused == self.kept[found.name]
        self.on = self.kept[found.name]
        self.log.append(f"{self.name} is back")


class FakeLab(Lab):
    """The real lab, over machines that are none."""

    def __init__(self, name: str, provider: str = "vagrant") -> None:
        super().__init__(Record(name, "x.yaml", "debian-12", provider, done=["5.1"]))
        self.folder.mkdir(parents=True)
        self.log: list[str] = []
        self.domains = [Domain("node1", self.log), Domain("node2", self.log)]
        self.provider = cast(
            Any,
            SimpleNamespace(name=provider, running=lambda _: {d.name: d.on for d in self.domains}),
        )
        self.scenario = cast(Any, SimpleNamespace(names=["node1", "node2"]))

    def machine(self, node: str) -> Any:
        def run(line: str, **_: Any) -> None:
            self.log.append(f"{node}: {line.partition('=')[0]}")

        return SimpleNamespace(run=run, drop=lambda: None)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLab:
    monkeypatch.setattr(paths, "state", lambda: tmp_path)
    monkeypatch.setattr(faults, "standing", lambda _lab: [])
    made = FakeLab("a")

    @contextmanager
    def connection(name: str) -> Iterator[Any]:
        assert name == "a"
        try:
            yield SimpleNamespace(listAllDomains=lambda: made.domains)
        except libvirt.libvirtError as error:
            raise CommandFailed(str(error)) from error

    monkeypatch.setattr(libvirtd, "connection", connection)
    return made


def test_all_stand_still_while_they_are_kept(lab: FakeLab) -> None:
    taken = snapshots.save(lab, "here")
    assert taken.done == ("5.1",)
    assert lab.log == [
        "node1 pauses",
        "node2 pauses",
        "node1 is kept",
        "node2 is kept",
        "node1 goes on",
        "node2 goes on",
    ]
    assert snapshots.names(lab) == ["here"]


def test_half_a_lab_is_no_snapshot(lab: FakeLab) -> None:
    lab.domains[1].broken = True
    with pytest.raises(CommandFailed, match="no room"):
        snapshots.save(lab, "here")
    assert [domain.kept for domain in lab.domains] == [{}, {}]
    assert lab.log[-2:] == ["node1 goes on", "node2 goes on"]
    assert snapshots.names(lab) == []


def test_the_record_goes_back_too_and_clocks_do_not(lab: FakeLab) -> None:
    lab.domains[1].on = False
    snapshots.save(lab, "here")
    lab.domains[1].on = True
    lab.record.done.append("5.2")
    lab.log.clear()
    assert snapshots.restore(lab, "here").done == ("5.1",)
    assert lab.log == ["node1 is back", "node2 is back", "node1 goes on", "node1: date --set"]
    assert Lab.open("a").record.done == ["5.1"]


def test_a_name_that_is_taken_none_or_unknown(lab: FakeLab) -> None:
    snapshots.save(lab, "here")
    with pytest.raises(BadInput, match="has a snapshot 'here'; snapshots: here"):
        snapshots.save(lab, "here")
    with pytest.raises(BadInput, match="not a name"):
        snapshots.save(lab, "../here")
    with pytest.raises(BadInput, match="no snapshot 'there'; snapshots: here"):
        snapshots.restore(lab, "there")


@pytest.mark.parametrize("deed", [snapshots.save, snapshots.restore])
def test_not_while_a_fault_stands(lab: FakeLab, monkeypatch: pytest.MonkeyPatch, deed: Any) -> None:
    snapshots.save(lab, "here")
    standing = [SimpleNamespace(text="node1 is cut off")]
    monkeypatch.setattr(faults, "standing", lambda _lab: standing)
    lab.log.clear()
    with pytest.raises(CannotRun, match="node1 is cut off"):
        deed(lab, "here" if deed is snapshots.restore else "there")
    assert lab.log == []


def test_containers_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "state", lambda: tmp_path)
    lab = FakeLab("b", "podman")
    for deed in (snapshots.save, snapshots.restore):
        with pytest.raises(CannotRun, match="made of containers"):
            deed(lab, "here")
