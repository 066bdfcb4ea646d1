"""Snapshots of a whole lab: all machines or none, and the lab's record with them."""

from __future__ import annotations

import errno
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import libvirt
import pytest

from lab import faults, paths, snapshots, up
from lab.commands import snapshots as commands
from lab.errors import BadInput, CannotRun, CommandFailed, LabError
from lab.lab import Lab
from lab.providers import libvirtd
from lab.record import Record


@dataclass
class Domain:
    """A machine as libvirt has it; `log` is one for all, so that the order can be told."""

    title: str
    log: list[str]
    on: bool = True
    paused: bool = False
    broken: bool = False
    kept: dict[str, bool] = field(default_factory=dict)

    def name(self) -> str:  # libvirt's names
        return self.title

    def destroy(self) -> None:
        self.on = False

    def undefine(self) -> None:
        self.log.append(f"{self.title} is removed")

    def state(self) -> tuple[int, int]:
        running = libvirt.VIR_DOMAIN_PAUSED if self.paused else libvirt.VIR_DOMAIN_RUNNING
        return (running if self.on else libvirt.VIR_DOMAIN_SHUTOFF, 0)

    def isActive(self) -> bool:
        return self.on

    def suspend(self) -> None:
        self.paused = True
        self.log.append(f"{self.title} pauses")

    def resume(self) -> None:
        self.paused = False
        self.log.append(f"{self.title} goes on")

    def snapshotCreateXML(self, xml: str) -> Any:
        if self.broken:
            raise libvirt.libvirtError("no room")
        name = xml.partition("<name>")[2].partition("<")[0]
        self.kept[name] = self.on
        self.log.append(f"{self.title} is kept")
        return SimpleNamespace(delete=lambda: self.kept.pop(name))

    def snapshotLookupByName(self, name: str) -> Any:
        if name not in self.kept:
            raise libvirt.libvirtError("no such snapshot")
        state = "paused" if self.kept[name] else "shutoff"
        return SimpleNamespace(
            name=name,
            delete=lambda: self.kept.pop(name),
            getXMLDesc=lambda: f"<domainsnapshot><state>{state}</state></domainsnapshot>",
        )

    def revertToSnapshot(self, found: Any, flags: int) -> None:
        if self.broken:
            raise libvirt.libvirtError("it cannot be read")
        paused = bool(flags & libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED)
        assert paused == self.kept[found.name]
        self.on, self.paused = self.kept[found.name], paused
        self.log.append(f"{self.title} is back")


class FakeLab(Lab):
    """The real lab, over machines that are none."""

    def __init__(self, name: str, provider: str = "vagrant") -> None:
        super().__init__(Record(name, "x.yaml", "debian-12", provider, done=["5.1"]))
        self.folder.mkdir(parents=True)
        self.log: list[str] = []
        self.domains = [Domain("node1", self.log), Domain("node2", self.log)]
        self.provider = cast(
            Any,
            SimpleNamespace(name=provider, running=lambda _: {d.title: d.on for d in self.domains}),
        )
        self.scenario = cast(
            Any, SimpleNamespace(names=["node1", "node2"], nodes={"node1": None, "node2": None})
        )

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
    monkeypatch.setattr(libvirtd, "revive", lambda _name: True)
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
    told = ["node1: true", "node1: date --set"]  # logged in first: that takes its time
    assert lab.log == ["node1 is back", "node2 is back", "node1 goes on", *told]
    assert Lab.open("a").record.done == ["5.1"]


def test_where_one_has_nothing_of_it_nothing_is_touched(lab: FakeLab) -> None:
    snapshots.save(lab, "here")
    lab.domains[1].kept.clear()  # made anew since
    lab.log.clear()
    with pytest.raises(CannotRun, match="node2 has nothing of snapshot here any more"):
        snapshots.restore(lab, "here")
    lab.domains.pop()
    with pytest.raises(CannotRun, match="node2 has nothing"):
        snapshots.restore(lab, "here")
    assert lab.log == []


def test_a_guest_made_since_goes(lab: FakeLab) -> None:
    snapshots.save(lab, "here")
    lab.domains.append(Domain("guest1", lab.log))
    lab.log.clear()
    snapshots.restore(lab, "here")
    assert lab.log[:2] == ["guest1 is removed", "node1 is back"]
    assert not lab.domains[-1].on


def test_half_a_restore_is_told_and_what_stood_still_goes_on(lab: FakeLab) -> None:
    snapshots.save(lab, "here")
    lab.record.done.append("5.2")
    lab.domains[1].broken = True
    with pytest.raises(LabError, match="only a part is back in snapshot here: it cannot be read"):
        snapshots.restore(lab, "here")
    assert not lab.domains[0].paused
    assert lab.record.done == ["5.1", "5.2"]


def test_one_that_was_interrupted_does_not_keep_its_name(lab: FakeLab) -> None:
    snapshots.save(lab, "here")
    (lab.folder / "snapshots" / "here.json").unlink()
    snapshots.save(lab, "here")
    assert snapshots.names(lab) == ["here"]


def test_a_disk_that_is_full_leaves_no_half_of_a_record(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of this one, and the others are as they were."""
    snapshots.save(lab, "here")

    halves: list[str] = []

    def write_half(path: Path, text: str) -> None:
        with path.open("w") as file:
            file.write(text[:9])
        halves.extend(one.name for one in path.parent.glob("*.json"))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", write_half)
        with pytest.raises(CannotRun, match=r"there\.json could not be written: No space left"):
            snapshots.save(lab, "there")
    assert halves == ["here.json"]  # also where the one who writes is killed just then
    assert [one.damaged for one in snapshots.listed(lab)] == [""]
    assert snapshots.names(lab) == ["here"]
    assert [list(domain.kept) for domain in lab.domains] == [["here"], ["here"]]
    assert not any(domain.paused for domain in lab.domains)


@pytest.mark.parametrize("half", ["", '{"name": "he', "[]", '{"at": 1}', '{"at": "then"}'])
def test_a_damaged_record_is_named_and_can_be_deleted(
    lab: FakeLab, half: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.save(lab, "here")
    snapshots.save(lab, "there")
    (lab.folder / "snapshots" / "here.json").write_text(half)
    damaged = {one.name: one.damaged for one in snapshots.listed(lab)}
    assert damaged["there"] == ""
    assert "here.json is damaged: " in damaged["here"]
    monkeypatch.setattr(commands, "opened", lambda _name: lab)
    commands.list_(Namespace(name="a", json=False))
    told = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert told["here"].rstrip().endswith("its record is damaged")
    assert told["there"].rstrip().endswith("after section 5.1")
    with pytest.raises(CannotRun, match=r"here\.json is damaged") as caught:
        snapshots.restore(lab, "here")
    assert "lab snapshot delete here --name a" in caught.value.hint
    with pytest.raises(BadInput, match="has a snapshot 'here'"):
        snapshots.save(lab, "here")
    snapshots.restore(lab, "there")
    snapshots.delete(lab, "here")
    assert snapshots.names(lab) == ["there"]
    assert [list(domain.kept) for domain in lab.domains] == [["there"], ["there"]]


def test_what_a_killed_save_left_can_be_deleted(lab: FakeLab) -> None:
    """It is on no record, and takes room on the disks."""
    lab.domains[1].kept["half"] = True
    with pytest.raises(BadInput, match="no snapshot 'other'; snapshots: none"):
        snapshots.delete(lab, "other")
    snapshots.delete(lab, "half")
    assert lab.domains[1].kept == {}
    with pytest.raises(BadInput, match="no snapshot 'half'"):
        snapshots.delete(lab, "half")


def test_a_name_that_is_none_deletes_no_file(lab: FakeLab) -> None:
    lab.save()
    (lab.folder / "snapshots").mkdir()
    with pytest.raises(BadInput, match="no snapshot"):
        snapshots.delete(lab, "../lab")
    assert (lab.folder / "lab.json").exists()


def test_a_name_that_is_taken_none_or_unknown(lab: FakeLab) -> None:
    snapshots.save(lab, "here")
    with pytest.raises(BadInput, match="has a snapshot 'here'; snapshots: here"):
        snapshots.save(lab, "here")
    with pytest.raises(BadInput, match="not a name"):
        snapshots.save(lab, "../here")
    with pytest.raises(BadInput, match="no snapshot 'there'; snapshots: here"):
        snapshots.restore(lab, "there")


def test_a_name_that_cannot_be_changes_no_machine(lab: FakeLab) -> None:
    snapshots.save(lab, "here")
    lab.domains[0].paused = True
    lab.log.clear()
    for name in ("here", "../here"):
        with pytest.raises(BadInput):
            snapshots.save(lab, name)
    assert lab.domains[0].paused
    assert lab.log == []


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


DEEDS = [snapshots.save, snapshots.restore, snapshots.delete]


@pytest.mark.parametrize("deed", DEEDS)
def test_a_libvirtd_that_was_ended_is_started_again(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch, deed: Any
) -> None:
    """By hand, as the hint for one that hangs says."""
    snapshots.save(lab, "here")
    runs = False
    connected = libvirtd.connection

    def revive(_lab: str) -> bool:
        nonlocal runs
        runs = True
        return True

    def connection(name: str) -> Any:
        assert runs, "nothing answers"
        return connected(name)

    monkeypatch.setattr(libvirtd, "revive", revive)
    monkeypatch.setattr(libvirtd, "connection", connection)
    deed(lab, "there" if deed is snapshots.save else "here")


@pytest.mark.parametrize("deed", DEEDS)
def test_where_there_is_none_any_more(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch, deed: Any
) -> None:
    snapshots.save(lab, "here")
    monkeypatch.setattr(libvirtd, "revive", lambda _name: False)
    with pytest.raises(CannotRun, match="this machine was rebooted"):
        deed(lab, "here")
    assert snapshots.names(lab) == ["here"]


def test_a_snapshot_that_is_deleted(lab: FakeLab) -> None:
    for name in ("here", "there"):
        snapshots.save(lab, name)
    lab.domains[1].kept.pop("here")  # made anew since
    snapshots.delete(lab, "here")
    assert snapshots.names(lab) == ["there"]
    assert [list(domain.kept) for domain in lab.domains] == [["there"], ["there"]]
    with pytest.raises(BadInput, match="no snapshot 'here'; snapshots: there"):
        snapshots.delete(lab, "here")
    assert not any(domain.paused for domain in lab.domains)


def test_one_that_could_not_be_deleted_is_still_there(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.save(lab, "here")

    def refuse() -> None:
        raise libvirt.libvirtError("it is locked")

    def found(_self: Domain, _name: str) -> Any:
        return SimpleNamespace(delete=refuse)

    with monkeypatch.context() as patched:
        patched.setattr(Domain, "snapshotLookupByName", found)
        with pytest.raises(CommandFailed, match="it is locked"):
            snapshots.delete(lab, "here")
    assert snapshots.names(lab) == ["here"]
    snapshots.delete(lab, "here")
    assert snapshots.names(lab) == []


class Killed(BaseException):
    """`kill -9`: nothing of ours runs after it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, deed: Any, *arguments: Any) -> None:
    """Do it with no `finally` that lets machines go on."""
    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "_resume", lambda _domains: None)
        with pytest.raises(Killed):
            deed(*arguments)


def test_after_a_save_that_was_killed_machines_go_on(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_xml: str) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(lab.domains[1], "snapshotCreateXML", die, raising=False)
        killed_at(monkeypatch, snapshots.save, lab, "here")
    assert [domain.paused for domain in lab.domains] == [True, True]
    assert snapshots.go_on(lab) == ["node1", "node2"]
    assert [domain.paused for domain in lab.domains] == [False, False]
    assert snapshots.go_on(lab) == []
    lab.domains[0].paused = True
    lab.log.clear()
    snapshots.save(lab, "here")  # it, too, does not keep one that stands as it should be
    assert lab.log[:3] == ["node1 goes on", "node1: true", "node1: date --set"]


def test_what_a_fault_suspends_stays(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    standing = [
        SimpleNamespace(fault="suspend", arguments={"node": "node1"}),
        SimpleNamespace(fault="cut", arguments={"node": "node2"}),
    ]
    monkeypatch.setattr(faults, "standing", lambda _lab: standing)
    for domain in lab.domains:
        domain.paused = True
    assert snapshots.go_on(lab) == ["node2"]
    assert lab.domains[0].paused


def test_after_a_restore_that_was_killed_only_another_one_will_do(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab of two times is none to carry on with."""
    snapshots.save(lab, "here")

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(lab.domains[1], "revertToSnapshot", die, raising=False)
        killed_at(monkeypatch, snapshots.restore, lab, "here")
    assert lab.domains[0].paused
    deeds: list[Any] = [
        lambda: snapshots.go_on(lab),
        lambda: snapshots.save(lab, "there"),
        lambda: snapshots.delete(lab, "here"),
    ]
    for deed in deeds:
        with pytest.raises(CannotRun, match="part of lab a is back in snapshot here") as caught:
            deed()
        assert "lab snapshot restore here --name a" in caught.value.hint
    assert lab.domains[0].paused
    snapshots.restore(lab, "here")
    assert [domain.paused for domain in lab.domains] == [False, False]
    assert snapshots.go_on(lab) == []


def test_lab_up_lets_machines_go_on_first(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "up", lambda _lab, _say: lab.log.append("up"))
    lab.domains[1].paused = True
    told: list[str] = []
    up._bring_up(lab, told.append)
    assert lab.log == ["node2 goes on", "up", "node2: true", "node2: date --set"]
    assert told == ["left standing, now going on: node2"]
    lab.log.clear()
    up._bring_up(lab, told.append)
    assert lab.log == ["up"]
    assert len(told) == 1


def test_a_lab_without_machines_yet_has_nothing_that_stands(
    lab: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirtd, "revive", lambda _name: False)
    monkeypatch.setattr(libvirtd, "connection", None)
    assert snapshots.go_on(lab) == []
