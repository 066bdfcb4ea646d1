"""What the provider vagrant tells Vagrant and libvirt, and what it reads from a console."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from lab import command, images_disk, kvm, memory, paths
from lab.errors import CannotRun
from lab.fields import Family
from lab.images import Images
from lab.model import Machine
from lab.providers import Order, libvirtd, network, vagrant, vagrant_nodes

NODES = {
    "node1": Machine(address="192.168.122.101", memory=1024),
    "node2": Machine(address="192.168.122.102", memory=2048, cpus=4),
    "host": Machine(address="192.168.122.100", hypervisor=True),
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(kvm, "missing", lambda: "no KVM in a test")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    images = Images("debian-12", "0123456789ab", tmp_path)
    return Order("nemo", NODES, {}, images, tmp_path / "key", {})


# The nodes file


def test_a_node_of_the_nodes_file(order: Order) -> None:
    first, second, _ = vagrant_nodes.nodes_file(order)["nodes"]
    assert (first["name"], first["memory"], first["cpus"]) == ("node1", 1024, 2)
    assert (second["memory"], second["cpus"]) == (2048, 4)
    assert first["bridge"] == network.bridge(1)
    assert second["bridge"] == network.bridge(2)
    assert first["console"] == str(libvirtd.folder("nemo") / "log/qemu/node1-console.log")


def test_every_card_has_an_address_of_its_own(order: Order) -> None:
    nodes = vagrant_nodes.nodes_file(order)["nodes"]
    macs = [node[kind] for node in nodes for kind in ("mac", "management_mac")]
    assert len(set(macs)) == 2 * len(NODES)
    assert all(re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", mac) for mac in macs)


@pytest.mark.parametrize("nests", [True, False])
def test_a_host_has_images_where_its_guests_are_inside(
    order: Order, monkeypatch: pytest.MonkeyPatch, nests: bool
) -> None:
    """A disk of them, and a unit that mounts it; nobody else has either."""
    monkeypatch.setattr(kvm, "not_nested", lambda: "" if nests else "not here")
    assert vagrant.Vagrant().guests() == ("inside" if nests else "beside")
    more = {"vdd": "images"} if nests else {}
    for node in vagrant_nodes.nodes_file(order)["nodes"]:
        host = node["name"] == "host"
        assert node["disks"] == {"vdb": "packages", "vdc": "seed"} | (more if host else {})
        for family in get_args(Family):
            files = vagrant_nodes.identity(NODES[node["name"]], 1, family)
            unit = files.get("etc/systemd/system/srv-images.mount", "")
            assert bool(unit) == (host and nests)
            assert ("context=" in unit) == (host and nests and family == "redhat")


def test_half_a_lab_is_not_in_its_own_way(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has of machines goes first: their memory is its own."""
    did: list[str] = []
    monkeypatch.setattr(libvirtd, "labs", lambda: {"nemo"})
    monkeypatch.setattr(libvirtd, "stop", lambda lab: did.append(f"stop {lab}"))
    monkeypatch.setattr(libvirtd, "remove", lambda lab: did.append(f"remove {lab}"))
    monkeypatch.setattr(vagrant, "crowded", lambda _machines: f"no room after {did}")
    with pytest.raises(CannotRun, match=r"no room after .'stop nemo', 'remove nemo'."):
        vagrant.Vagrant().up(order)


@pytest.mark.parametrize("nests", [True, False])
def test_each_disk_is_a_layer_of_the_machines_own(
    order: Order, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nests: bool
) -> None:
    monkeypatch.setattr(kvm, "not_nested", lambda: "" if nests else "not here")
    monkeypatch.setattr(images_disk, "ensure", lambda images: images.folder / "images.ext4")
    ran: list[list[str]] = []
    monkeypatch.setattr(command, "run", lambda argv, **_: ran.append(argv))
    pool = libvirtd.folder("nemo") / "pool"
    pool.mkdir(parents=True)
    order.seeds.update(dict.fromkeys(NODES, b"seed"))
    vagrant._fill_pool(order, tmp_path / "box")
    layers = {argv[-1]: argv[-2] for argv in ran}
    wanted = {
        str(pool / f"{node}.{what}"): below
        for node in NODES
        for what, below in (
            ("packages", str(tmp_path / "packages.ext4")),
            ("seed", str(pool / f"{node}.tar")),
        )
    }
    if nests:
        wanted[str(pool / "host.images")] = str(tmp_path / "images.ext4")
    assert layers == wanted


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("no KVM", ("qemu", "maximum", False)), ("", ("kvm", "host-passthrough", True))],
)
def test_with_kvm_and_without(
    order: Order,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    expected: tuple[str, str, bool],
) -> None:
    monkeypatch.setattr(kvm, "missing", lambda: missing)
    found = vagrant_nodes.nodes_file(order)
    assert (found["driver"], found["cpu_mode"], found["nested"]) == expected


def test_the_vagrantfile_reads_what_the_nodes_file_has(order: Order) -> None:
    """All of it and nothing else: a key that is not there is nil in Ruby, and no error."""
    text = (paths.ROOT / "Vagrantfile").read_text()
    found = vagrant_nodes.nodes_file(order)
    assert set(re.findall(r'\blab\["(\w+)"\]', text)) == set(found)
    assert set(re.findall(r'\bnode\["(\w+)"\]', text)) == set(found["nodes"][0])


def boxed(order: Order) -> Order:
    """The same machines, of a box that was fetched."""
    images = Images("centos-7", "0123456789ab", order.images.folder)
    images.box_disk.touch()
    return replace(order, images=images)


def test_a_fetched_box_boots_by_its_boot_loader(order: Order) -> None:
    debian, centos = vagrant_nodes.nodes_file(order), vagrant_nodes.nodes_file(boxed(order))
    assert debian.keys() - centos.keys() == {"kernel_line"}
    assert (debian["guest"], centos["guest"]) == ("debian", "redhat")
    assert (debian["box"], centos["box"]) == ("lab/debian-12", "lab/centos-7")
    text = (paths.ROOT / "Vagrantfile").read_text()
    assert 'libvirt.cmd_line = lab["kernel_line"] if lab["kernel_line"]' in text


def test_disks_beyond_the_boxs(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's fstab and seed know theirs by their place, the others theirs by its serial."""
    host = NODES["host"]
    monkeypatch.setattr(kvm, "not_nested", lambda: "not here")
    assert vagrant_nodes.disks(host, fetched=False) == {"vdb": "packages", "vdc": "seed"}
    assert vagrant_nodes.disks(host, fetched=True) == {"vdb": "seed"}
    monkeypatch.setattr(kvm, "not_nested", lambda: "")
    assert vagrant_nodes.disks(host, fetched=True) == {"vdb": "seed", "vdc": "images"}
    assert vagrant_nodes.disks(NODES["node1"], fetched=True) == {"vdb": "seed"}
    assert vagrant_nodes.nodes_file(boxed(order))["nodes"][0]["disks"] == {"vdb": "seed"}
    assert 'serial: "lab-#{disk}"' in (paths.ROOT / "Vagrantfile").read_text()


def test_what_is_put_where_vagrant_takes_it_from(
    order: Order, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[list[str]] = []
    monkeypatch.setattr("lab.command.run", lambda argv, **_: made.append(argv))
    pool = libvirtd.folder("nemo") / "pool"
    pool.mkdir(parents=True)
    seeds = {"node1": b"seed"}
    vagrant._fill_pool(replace(order, seeds=seeds), tmp_path)
    assert [Path(argv[-1]).name for argv in made] == ["node1.packages", "node1.seed"]
    made.clear()
    vagrant._fill_pool(replace(boxed(order), seeds=seeds), tmp_path)
    assert [Path(argv[-1]).name for argv in made] == ["node1.seed"]


# libvirt's XML


def test_the_management_network(order: Order) -> None:
    top = ET.fromstring(vagrant_nodes.network_xml(NODES))
    assert top.findtext("name") == "management"
    assert top.find("forward") is None  # it leads nowhere
    assert [host.attrib for host in top.iter("host")] == [
        {"mac": node["management_mac"], "ip": f"192.168.121.{last}"}
        for node, last in zip(
            vagrant_nodes.nodes_file(order)["nodes"], (101, 102, 100), strict=True
        )
    ]
    assert vagrant_nodes.nodes_file(order)["management"] == "192.168.121.0/24"


def test_the_pool() -> None:
    top = ET.fromstring(vagrant.pool_xml(Path("/some/pool")))
    assert (top.get("type"), top.findtext("name")) == ("dir", vagrant.POOL)
    assert top.findtext("target/path") == "/some/pool"
    assert f'storage_pool_name = "{vagrant.POOL}"' in (paths.ROOT / "Vagrantfile").read_text()


# Room


def test_without_room_nothing_is_made(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 4095)
    with pytest.raises(CannotRun, match=r"need \d+ MiB of memory, and 4095 MiB are free") as caught:
        vagrant.Vagrant().up(order)
    assert "--provider podman" in caught.value.hint
    assert not libvirtd.folder("nemo").exists()


# The identity of a boot


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with power, QEMU's process 77; its console's log."""
    running = {"node1": True}
    monkeypatch.setattr(vagrant.Vagrant, "running", lambda _self, _lab: running)
    pid = libvirtd.runtime("nemo") / "libvirt/qemu/node1.pid"
    pid.parent.mkdir(parents=True)
    pid.write_text("77\n")
    log = libvirtd.folder("nemo") / "log/qemu/node1-console.log"
    log.parent.mkdir(parents=True)
    log.touch()
    return log


def boot() -> str:
    return vagrant.Vagrant().boot("nemo", "node1")


def test_a_boot_is_another_one_when_the_initrd_says_so(machine: Path) -> None:
    seen = [boot()]
    assert seen == ["77 starting"]
    for number in (1, 2):
        with machine.open("a") as console:
            console.write(f"[    0.0] Linux\r\nlab boot {number}{number}-id\r\n[    9.9] login:")
        seen.append(boot())
    assert seen == ["77 starting", "77 11-id", "77 22-id"]


def test_a_boot_is_another_one_when_qemu_is(machine: Path) -> None:
    machine.write_text("lab boot 11-id\n")
    before = boot()
    (libvirtd.runtime("nemo") / "libvirt/qemu/node1.pid").write_text("78\n")
    assert boot() not in ("", before)


@pytest.mark.parametrize("line", ["not lab boot 11\n", "lab boots 11\n", " lab boot 11\n"])
def test_other_lines_of_a_console_are_no_boot(machine: Path, line: str) -> None:
    machine.write_text(f"lab boot first\n{line}")
    assert boot() == "77 first"


def test_what_is_no_utf8_on_a_console_does_no_harm(machine: Path) -> None:
    machine.write_bytes(b"\xff\xfe\nlab boot 11\n")
    assert boot() == "77 11"


def test_without_power_there_is_no_boot(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write_text("lab boot 11-id\n")
    monkeypatch.setattr(vagrant.Vagrant, "running", lambda _self, _lab: {"node1": False})
    assert boot() == ""


# A machine's own network


def test_a_machines_address_is_on_the_card_that_the_book_means() -> None:
    plain = vagrant_nodes.identity(NODES["node1"], 1, "debian")
    assert "Address=192.168.122.101/24" in plain["etc/systemd/network/eth0.network"]
    assert not any("br0" in name for name in plain)
    host = vagrant_nodes.identity(NODES["host"], 3, "debian")
    assert "Address=192.168.122.100/24" in host["etc/systemd/network/br0.network"]
    assert "\nAddress=" not in host["etc/systemd/network/eth0.network"]
    assert "Bridge=br0" in host["etc/systemd/network/eth0.network"]
    for files in (plain, host):
        assert "DHCP=ipv4" in files["etc/systemd/network/management.network"]
