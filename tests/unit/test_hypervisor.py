"""Guests that are nodes of their own: their power and cable, by their hypervisor."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import libvirt
import pytest

from lab import faults, hypervisor, paths
from lab.auditor import Auditor
from lab.errors import BadInput, CommandFailed
from lab.faults import NotHealed
from lab.lab import Lab
from lab.machine import Result
from lab.record import Record
from lab.scenario import load
from lab.survey import Surveyor
from lab.vms import VirtualMachines

SCENARIO = load(paths.SCENARIOS / "vm-cluster-nodes.yaml")
HOST = "example-host"
CARD = (
    "<interface type='bridge'><mac address='52:54:00:1c:00:01'/><source bridge='br0'/>"
    "<target dev='vnet0'/><model type='virtio'/><alias name='net0'/></interface>"
)
LOG = (  # as `grep -H` prints libvirtd 9.0.0's
    "/var/log/libvirt/qemu/node2.log:2026-11-23 02:51:45.250+0000: starting up libvirt version: "
    "9.0.0, package: 9.0.0-4+deb12u2 (Debian), qemu version: 7.2.15, kernel: 6.1, hostname: x\n"
    "/var/log/libvirt/qemu/node2.log:2026-11-23 03:01:10.500+0000: shutting down, "
    "reason=destroyed\n"
    "/var/log/libvirt/qemu/node1.log:2026-11-23 03:01:10.000+0000: shutting down, "
    "reason=shutdown\n"
    "/var/log/libvirt/qemu/node1.log:2026-11-23 03:01:12.000+0000: shutting down, reason=crashed\n"
)


@dataclass
class Domain:
    """A guest as libvirt has it."""

    active: bool = True
    paused: bool = False
    card: str = CARD
    flags: list[int] = field(default_factory=list)
    stuck: bool = False

    def isActive(self) -> bool:  # libvirt's names
        return self.active

    def create(self) -> None:
        if self.active or self.stuck:
            raise libvirt.libvirtError("it cannot be started")
        self.active = True

    def suspend(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def XMLDesc(self) -> str:
        return f"<domain><devices>{self.card}</devices></domain>"

    def updateDeviceFlags(self, xml: str, flags: int) -> None:
        self.flags.append(flags)
        if not self.stuck:
            self.card = xml


class FakeMachine:
    """The host, whose shell knows the guests' processes; and the guests' log-ins."""

    def __init__(self, lab: FakeLab, name: str) -> None:
        self.lab, self.name = lab, name

    def run(self, command: str, *, check: bool = False, **_: Any) -> Result:
        assert self.name == HOST
        if match := re.fullmatch(r"grep -qa guest=(\w+) /proc/.* && kill \$\(cat .*\)", command):
            self.lab.domains[match[1]].active = False
            return Result(command, 0, "", "", 0.0)
        self.lab.typed.append(command)
        return Result(command, 0, self.lab.printed, "", 0.0)

    def await_login(self, within: float) -> None:
        assert within > 0
        assert self.lab.domains[self.name].active
        assert not self.lab.domains[self.name].paused


class FakeLab(Lab):
    """The real lab, over a libvirt that is none."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Record("a-lab", "x.yaml", "debian-12", "podman"))
        self.folder = folder
        self.scenario = SCENARIO
        self.domains = {"node1": Domain(), "node2": Domain()}
        self.host_on = True
        self.typed: list[str] = []
        self.printed = ""
        self.provider = cast(Any, SimpleNamespace(running=lambda _lab: {HOST: self.host_on}))

    def machine(self, node: str) -> Any:
        return FakeMachine(self, node)

    def guests(self, host: str, kind: str = "vm") -> Any:
        assert kind == "vm"
        return VirtualMachines(self.machine(host), self.folder / "ssh")

    def guests_of(self, guest: str) -> Any:
        domain = self.domains[guest]
        return SimpleNamespace(
            domain=lambda _name: domain,
            process=lambda _name: f"{guest}'s" if domain.active else "",
            state=lambda _name: "paused" if domain.paused else "running",
        )


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLab:
    monkeypatch.setattr(hypervisor, "END", 0.2)
    return FakeLab(tmp_path)


# -- libvirtd's log -------------------------------------------------------------------------


def test_what_was_done_to_power_oldest_first(lab: FakeLab) -> None:
    lab.printed = LOG
    found = [(e["node"], e["action"], e["was"]) for e in hypervisor.log(lab)]
    assert found == [
        ("node2", "on", "off"),
        ("node1", "ended", "on"),  # nobody's order
        ("node2", "off", "on"),
        ("node1", "ended", "on"),
    ]
    (line,) = lab.typed
    assert "/var/log/libvirt/qemu/node1.log /var/log/libvirt/qemu/node2.log" in line


def test_the_time_of_an_entry(lab: FakeLab) -> None:
    (entry,) = hypervisor.parse(LOG.splitlines()[1])
    assert entry["at"] == 1795402870.5
    assert (entry["from"], entry["problem"]) == ("", "")


def test_what_is_no_entry() -> None:
    text = "/var/log/libvirt/qemu/node2.log:-name guest=node2: starting up\ngrep: no such file\n"
    assert hypervisor.parse(text) == []


def test_guest_nodes_are_not_asked_for(lab: FakeLab) -> None:
    lab.scenario = load(paths.SCENARIOS / "guest-walkthrough.yaml")
    assert hypervisor.log(lab) == []
    assert lab.typed == []


def test_logins_that_were_refused_are_those_of_cluster_nodes(lab: FakeLab) -> None:
    lab.printed = "Connection closed by authenticating user root 192.168.122.101 port 1 [preauth]\n"
    assert len(hypervisor.refused_logins(lab, "node2")) == 1
    (line,) = lab.typed
    pattern = re.search(r"grep -E '(.*)'", line)
    assert pattern is not None
    assert re.search(pattern[1], lab.printed)
    assert not re.search(pattern[1], lab.printed.replace(".101", ".1"))


# -- a lab with such guests -----------------------------------------------------------------


def test_power_is_that_of_its_process_and_of_its_host(lab: FakeLab) -> None:
    assert lab.with_power() == [HOST, "node1", "node2"]
    lab.domains["node2"].active = False
    assert lab.with_power() == [HOST, "node1"]
    assert lab.boot("node2") == ""
    lab.host_on = False
    assert lab.with_power() == []
    assert lab.boot("node1") == ""


def test_they_are_audited_like_machines(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def look(_self: Surveyor, nodes: list[str]) -> dict[str, Any]:
        asked.append(list(nodes))
        return {}

    monkeypatch.setattr(Surveyor, "look", look)
    lab.domains["node1"].active = False
    Auditor(lab)
    assert asked == [[HOST, "node2"]]


# -- faults ---------------------------------------------------------------------------------


def injected(lab: FakeLab, name: str, node: str = "node2") -> faults.Standing:
    made = faults.inject(lab, name, {"node": node})
    assert [json.loads(p.read_text())["fault"] for p in lab.folder.glob("faults/*.json")] == [name]
    return made


def test_power_off(lab: FakeLab) -> None:
    made = injected(lab, "power_off")
    assert not lab.domains["node2"].active
    lab.domains["node2"].stuck = True
    with pytest.raises(NotHealed, match="cannot be started"):
        faults.heal(lab, made)
    lab.domains["node2"].stuck = False
    faults.heal(lab, made)
    assert lab.domains["node2"].active
    assert lab.domains["node1"].active


def test_a_process_that_does_not_end(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "boot", lambda _node: "the same")
    with pytest.raises(CommandFailed, match="the process of node2 was told to end and did not"):
        faults.inject(lab, "power_off", {"node": "node2"})


def test_what_was_fenced_meanwhile_is_healed(lab: FakeLab) -> None:
    made = injected(lab, "power_off")
    lab.domains["node2"].active = True
    faults.heal(lab, made)


def test_a_standstill(lab: FakeLab) -> None:
    made = injected(lab, "suspend")
    assert lab.domains["node2"].paused
    faults.heal(lab, made)
    assert not lab.domains["node2"].paused


def test_a_machine_cannot_stand_still(lab: FakeLab) -> None:
    with pytest.raises(BadInput, match="example-host is a machine"):
        faults.inject(lab, "suspend", {"node": HOST})


@pytest.mark.parametrize("name", ["suspend", "power_off", "cut"])
def test_the_clusters_own_guest_nodes_are_left_to_it(lab: FakeLab, name: str) -> None:
    lab.scenario = load(paths.SCENARIOS / "guest-walkthrough.yaml")
    with pytest.raises(BadInput, match="guest1 is a guest; this fault is for machines"):
        faults.inject(lab, name, {"node": "guest1"})


def test_a_cable_is_out_of_the_next_process_too(lab: FakeLab) -> None:
    made = injected(lab, "cut")
    domain = lab.domains["node2"]
    assert not hypervisor.plugged(lab, "node2")
    domain.active = False
    domain.stuck = True
    with pytest.raises(NotHealed, match="the cable is still out"):
        faults.heal(lab, made)
    domain.stuck = False
    faults.heal(lab, made)
    assert hypervisor.plugged(lab, "node2")
    live, config = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
    assert domain.flags == [live | config, config, config]


def test_a_card_keeps_what_it_is(lab: FakeLab) -> None:
    once = hypervisor.with_link(CARD, up=False)
    again = ET.fromstring(hypervisor.with_link(once, up=True))
    assert [child.tag for child in again] == ["mac", "source", "model", "link"]
    assert [link.get("state") for link in again.findall("link")] == ["up"]
