"""Keyfiles: what NetworkManager makes of a machine's cards, and that it takes the files at all."""

from __future__ import annotations

import io
import tarfile
from configparser import ConfigParser
from pathlib import Path

from lab.access import Access
from lab.model import Entry, Guest, Machine, Scenario, Step
from lab.providers import networkmanager, vagrant_nodes
from lab.providers.podman import Podman

HOST = Machine(address="192.168.122.100", hypervisor=True)
NODE = Machine(address="192.168.122.101")
LAB, WAY_IN = "52:54:00:7a:01:02", "52:54:00:7a:00:02"  # of the second machine


def read(files: dict[str, str]) -> dict[str, ConfigParser]:
    """Each connection by its id; every file is one."""
    found = {}
    for path, content in files.items():
        assert path.startswith(networkmanager.FOLDER + "/")
        assert path.endswith(".nmconnection")
        parsed = ConfigParser(interpolation=None)
        parsed.read_string(content)
        found[parsed["connection"]["id"]] = parsed
    return found


def test_a_machine_without_guests() -> None:
    found = read(vagrant_nodes.identity(NODE, 2, "redhat"))
    assert set(found) == {"eth0", "management"}
    card = found["eth0"]
    assert card["connection"]["type"] == "ethernet"
    assert card["ethernet"]["mac-address"] == LAB
    assert dict(card["ipv4"]) == {
        "method": "manual",
        "address1": "192.168.122.101/24",
        "never-default": "true",
    }


def test_a_host_of_guests_has_its_address_on_the_bridge() -> None:
    found = read(vagrant_nodes.identity(HOST, 2, "redhat"))
    assert set(found) == {"br0", "br0-port", "management"}
    bridge, port = found["br0"], found["br0-port"]
    assert (bridge["connection"]["type"], bridge["connection"]["interface-name"]) == (
        "bridge",
        "br0",
    )
    assert bridge["bridge"]["stp"] == "false"  # it would forward nothing for half a minute
    assert bridge["ipv4"]["address1"] == "192.168.122.100/24"
    assert port["ethernet"]["mac-address"] == LAB
    assert (port["connection"]["master"], port["connection"]["slave-type"]) == ("br0", "bridge")
    assert "ipv4" not in port


def test_the_way_in_gets_its_address_from_libvirt_and_nothing_else() -> None:
    card = read(vagrant_nodes.identity(NODE, 2, "redhat"))["management"]
    assert card["ethernet"]["mac-address"] == WAY_IN
    assert card["ipv4"]["method"] == "auto"
    assert (card["ipv4"]["never-default"], card["ipv4"]["ignore-auto-dns"]) == ("true", "true")


def test_cards_are_those_that_vagrant_makes() -> None:
    """Of the same numbers, and each in one profile."""
    macs = [
        one["ethernet"]["mac-address"]
        for number, machine in ((1, HOST), (2, NODE))
        for one in read(vagrant_nodes.identity(machine, number, "redhat")).values()
        if "ethernet" in one
    ]
    assert sorted(macs) == sorted(
        f"52:54:00:7a:{kind}:{number:02x}" for kind in ("00", "01") for number in (1, 2)
    )


def test_profiles_have_identities_of_their_own() -> None:
    found = read(vagrant_nodes.identity(HOST, 2, "redhat")).values()
    assert len({one["connection"]["uuid"] for one in found}) == 3


def test_families_do_not_mix() -> None:
    for machine in (HOST, NODE):
        assert not any("systemd" in path for path in vagrant_nodes.identity(machine, 1, "redhat"))
        assert not any(
            "NetworkManager" in path for path in vagrant_nodes.identity(machine, 1, "debian")
        )
        assert Podman().identity(machine, 1, "debian") == {}


SCENARIO = Scenario(
    title="T",
    about="A",
    chapter="4",
    nodes={"example-host": HOST},
    guests={"guest1": Guest(host="example-host", address="192.168.122.10")},
    steps=[Step(section="4.1", title="T", expect=[Entry(use={"no_dc": None})])],
)


class Reached:
    """A provider of which only that is asked."""

    def ssh_options(self, *_: object) -> dict[str, str]:
        return {}


def test_seeds(tmp_path: Path) -> None:
    """A keyfile that others may read is ignored; systemd-networkd could not read a private file."""
    access = Access(tmp_path)
    access.create("nemo", SCENARIO, Reached())  # type: ignore[arg-type]
    for family, mode in (("redhat", 0o600), ("debian", 0o644)):
        identity = vagrant_nodes.identity(HOST, 1, family)  # type: ignore[arg-type]
        of_both = {}
        for node, added in (("example-host", identity), ("guest1", {})):
            seed = access.seed(SCENARIO, node, added, family)  # type: ignore[arg-type]
            with tarfile.open(fileobj=io.BytesIO(seed)) as tar:
                entries = {one.name: one for one in tar.getmembers()}
                network = {path for path in entries if "/system-connections/" in path}
                network |= {path for path in entries if "/network/" in path}
                assert {entries[path].mode for path in network} == {mode}
                of_both[node] = network
        assert len(of_both["example-host"]) == (3 if family == "redhat" else 4)
        assert len(of_both["guest1"]) == 1
    guest = access.seed(SCENARIO, "guest1", family="redhat")
    assert b"address1=192.168.122.10/24\n" in guest
    assert b"mac-address" not in guest  # it has one card, and libvirt says which address that has
