"""Guests beside their host: where their files are, and how the host comes to their libvirtd."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from lab import command, coverage, kvm, paths, platforms, scenario, siblings, vms
from lab import plan as plans
from lab.errors import CommandFailed, LabError
from lab.here import Here
from lab.lab import Lab
from lab.model import Guest
from lab.providers import libvirtd
from lab.siblings import Siblings
from lab.vms import Place, VirtualMachines, domain_xml

GUEST = Guest(host="example-host", address="192.168.122.10")


class Host:
    """The host, as far as it is typed on."""

    name = "example-host"

    def __init__(self) -> None:
        self.typed: list[str] = []

    def run(self, line: str, **_: Any) -> None:
        self.typed.append(line)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What is run on this machine: nothing."""
    found: list[list[str]] = []
    monkeypatch.setattr(command, "run", lambda argv, **_: found.append(list(argv)))
    monkeypatch.setattr(paths, "state", lambda: tmp_path)
    monkeypatch.setattr(siblings, "LEND", 0.3)
    return found


def make(host: Host) -> Siblings:
    return Siblings(cast(Any, host), Path("/labs/a b/ssh"), "a", 2)


def test_a_guest_is_made_where_its_host_is_made(ran: list[list[str]]) -> None:
    place = make(Host()).place
    root = ET.fromstring(domain_xml("guest1", GUEST, place, emulated=True))
    top = str(libvirtd.folder("a"))
    assert ran == []
    assert root.findtext("os/kernel") == f"{top}/pool/images/vmlinuz"
    disks = [one.get("file") for one in root.findall("devices/disk/source")]
    assert disks[0] == f"{top}/pool/guest1.qcow2"
    bridge = root.find("devices/interface/source")
    assert bridge is not None
    assert bridge.get("bridge") == "vm2"  # the one that its host's card is in


def test_by_default_all_is_the_hosts_own() -> None:
    root = ET.fromstring(domain_xml("guest1", GUEST, Place(), emulated=False))
    assert root.findtext("os/kernel") == "/srv/images/vmlinuz"
    bridge = root.find("devices/interface/source")
    assert bridge is not None
    assert bridge.get("bridge") == "br0"


class Maker(Host):
    """A host on which guests are made."""

    def put(self, _content: bytes, path: str, **_: Any) -> None:
        self.typed.append(f"put {path}")


@pytest.mark.parametrize("direct", [True, False])
def test_what_a_guest_starts_from(monkeypatch: pytest.MonkeyPatch, direct: bool) -> None:
    """The platform's own disk and kernel, or the one file of a box that was fetched."""
    defined: list[str] = []
    monkeypatch.setattr(VirtualMachines, "_start", lambda _self, _name, xml: defined.append(xml))
    monkeypatch.setattr(kvm, "missing", lambda: "")
    host = Maker()
    VirtualMachines(cast(Any, host), Path("ssh"), direct=direct).create("guest1", GUEST, b"seed")
    put, layer = host.typed
    assert put == "put /var/lib/libvirt/images/guest1.seed"
    image = "-F raw -b /srv/images/guest.ext4" if direct else "-F qcow2 -b /srv/images/box.img"
    assert image in layer
    root = ET.fromstring(defined[0])
    own = ["guest1.qcow2", "packages.ext4", "guest1.seed"] if direct else [
        "guest1.qcow2",
        "guest1.seed",
    ]  # fmt: skip
    files = [Path(str(one.get("file"))).name for one in root.findall("devices/disk/source")]
    assert files == own
    places = [one.get("dev") for one in root.findall("devices/disk/target")]
    assert places == ["vda", "vdb", "vdc"][: len(own)]
    (seed,) = (one for one in root.findall("devices/disk") if one.findtext("serial"))
    assert seed.findtext("serial") == "lab-seed"
    assert (root.findtext("os/kernel"), root.find("os/boot") is None) == (
        ("/srv/images/vmlinuz", True) if direct else (None, False)
    )
    # Machines of later releases are of one kind, those of earlier ones of another.
    machine = root.find("os/type")
    assert machine is not None
    assert machine.get("machine") == ("q35" if direct else None)


@pytest.mark.parametrize(("platform", "direct"), [("debian-13", True), ("centos-7", False)])
@pytest.mark.parametrize("place", ["inside", "beside"])
def test_a_labs_guests_are_of_its_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, direct: bool, place: str
) -> None:
    monkeypatch.setattr(paths, "state", lambda: tmp_path)
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr("lab.providers.vagrant.Vagrant.guests", lambda _: place)
    path = scenario.find("guest-walkthrough")
    lab = Lab.create("a", path, platform, "vagrant")
    found = lab.guests("example-host")
    assert isinstance(found, VirtualMachines)
    assert isinstance(found, Siblings) is (place == "beside")
    assert found._direct is direct


def test_lending(ran: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own daemon goes; its socket is the lab's, and comes back if the way breaks."""
    answers: Iterator[str | CommandFailed] = iter(
        [CommandFailed("no socket"), CommandFailed("no socket"), "9.0.0"]
    )

    def version(_self: object) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(vms.VirtualMachines, "version", version)
    host = Host()
    said = make(host).lend()
    assert said == "example-host uses the libvirtd that it runs on itself, 9.0.0"
    (typed,) = host.typed
    assert "systemctl disable --now libvirtd.service" in typed
    (started,) = ran
    line = started[-1]
    assert "while :" in line
    assert "-R /run/libvirt/libvirt-sock:/run/lab/vms/a/libvirt/libvirt-sock" in line
    assert "--net=/run/lab/net/a" in line  # what `lab down` ends


def test_what_does_not_answer_in_time(
    ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(_self: object) -> str:
        raise CommandFailed("no socket")

    monkeypatch.setattr(vms.VirtualMachines, "version", version)
    with pytest.raises(LabError, match="could not be lent to example-host: not yet: no socket"):
        make(Host()).lend()
    assert ran


def test_this_machine(tmp_path: Path) -> None:
    here = Here()
    assert here.run("echo $((6 * 7)); exit 3").stdout == "42\n"
    assert here.run("exit 3").exit == 3
    with pytest.raises(CommandFailed):
        here.run("exit 3", check=True)
    file = tmp_path / "secret"
    here.put(b"kept", str(file), mode=0o600)
    assert (here.get(str(file)), file.stat().st_mode & 0o777) == (b"kept", 0o600)
    with pytest.raises(CommandFailed, match="could not be read"):
        here.get(str(tmp_path / "none"))
    with pytest.raises(CommandFailed, match="could not be written"):
        here.put(b"", str(tmp_path / "none" / "file"))


@pytest.mark.parametrize(
    ("module", "setting", "why"),
    [
        ("kvm_intel", "Y", ""),
        ("kvm_amd", "1", ""),
        ("kvm_intel", "N", "kvm_intel was loaded without nested=1"),
        ("none", "Y", "neither kvm_intel nor kvm_amd says that it nests"),
    ],
)
def test_nesting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, setting: str, why: str
) -> None:
    monkeypatch.setattr(kvm, "missing", lambda: "")
    monkeypatch.setattr(kvm, "MODULES", tmp_path)
    (tmp_path / module / "parameters").mkdir(parents=True)
    (tmp_path / module / "parameters/nested").write_text(f"{setting}\n")
    assert kvm.not_nested() == why
    monkeypatch.setattr(kvm, "missing", lambda: "no vmx")
    assert kvm.not_nested() == "no vmx"


def test_a_section_with_guests_beside_their_host_is_a_plan_of_today_too() -> None:
    platform = platforms.load("debian-12")
    walk = scenario.load(scenario.find("guest-walkthrough"))
    found = {}
    for place in ("inside", "beside"):
        there = platform.model_copy(update={"guests": place})
        (step,) = (one for one in plans.plan(walk, there) if one.section == "4.2.1")
        found[place] = plans.key(step, there)
    assert found["inside"] != found["beside"]
    assert set(found.values()) <= coverage.keys(coverage.planned(["debian-12"]))
