"""The way into a lab: keys of its own, an ssh configuration that trusts only what it knows."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import cast

import pytest

from lab.access import SECRETS, Access
from lab.errors import CannotRun
from lab.model import Entry, Guest, Machine, Scenario, Step
from lab.providers import Provider

SCENARIO = Scenario(
    title="T",
    about="A",
    chapter="4",
    nodes={
        "example-host": Machine(address="192.168.122.100", hypervisor=True),
        "node2": Machine(address="192.168.122.101"),
    },
    guests={"guest1": Guest(host="example-host", address="192.168.122.10")},
    steps=[Step(section="4.1", title="T", expect=[Entry(use={"no_dc": None})])],
)
NODES = ["example-host", "node2", "guest1"]


class FakeProvider:
    """Knows only how a machine is reached."""

    def ssh_options(self, lab: str, node: str, machine: Machine) -> dict[str, str]:
        assert not machine.slim
        return {"ProxyCommand": f"reach {lab} {node}"}


def make(folder: Path, lab: str) -> Access:
    folder.mkdir(exist_ok=True)
    access = Access(folder)
    access.create(lab, SCENARIO, cast(Provider, FakeProvider()))
    return access


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Access:
    return make(tmp_path_factory.mktemp("access") / "my lab", "a")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Access:
    return make(tmp_path_factory.mktemp("access") / "other", "b")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def options(access: Access, node: str) -> dict[str, str]:
    """What OpenSSH itself makes of the configuration."""
    argv = ["ssh", "-G", "-F", str(access.ssh_config), node]
    printed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return dict(line.partition(" ")[::2] for line in printed.splitlines())


def unpack(access: Access, node: str) -> tuple[dict[str, tarfile.TarInfo], dict[str, str]]:
    """The entries of a node's seed, and the content of its files."""
    with tarfile.open(fileobj=io.BytesIO(access.seed(SCENARIO, node))) as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}
        contents = {}
        for name, entry in entries.items():
            if file := tar.extractfile(entry):
                contents[name] = file.read().decode()
    return entries, contents


# On this machine


def test_private_files_are_private(access: Access) -> None:
    keys = access.folder / "keys"
    private = [access.key, access.folder / "secrets.json"]
    private += [keys / node / name for node in NODES for name in ("host", "root")]
    assert {path.name: mode(path) for path in private} == {p.name: 0o600 for p in private}
    assert {mode(keys / node) for node in NODES} == {0o700}


def test_secrets_are_there_and_differ_between_labs(access: Access, other: Access) -> None:
    found = json.loads((access.folder / "secrets.json").read_text())
    assert sorted(found) == sorted(SECRETS) == ["bmc", "hacluster"]
    for name in SECRETS:
        assert access.secret(name) == found[name]
        assert len(access.secret(name)) >= 16  # of 64 characters: 96 bits
        assert access.secret(name) != other.secret(name)


def test_a_bmcs_password_is_one_that_ipmi_can_take(access: Access) -> None:
    assert len(access.secret("bmc").encode()) <= 20


def test_keys_differ_between_labs_and_between_nodes(access: Access, other: Access) -> None:
    keys = [path.read_text() for lab in (access, other) for path in lab.folder.rglob("*.pub")]
    assert len(keys) == 2 * (1 + 2 * len(NODES))
    assert len({key.split()[1] for key in keys}) == len(keys)


def test_made_again_it_stays_the_same(tmp_path: Path) -> None:
    first = make(tmp_path / "lab", "a")
    before = {p: p.read_bytes() for p in first.folder.rglob("*") if p.is_file()}
    make(first.folder, "a")
    assert {p: p.read_bytes() for p in first.folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("node", NODES)
def test_ssh_trusts_known_keys_only(access: Access, node: str) -> None:
    found = options(access, node)
    assert found["stricthostkeychecking"] in ("yes", "true")
    assert found["userknownhostsfile"].strip('"') == str(access.known_hosts)
    assert found["globalknownhostsfile"] == "/dev/null"
    assert found["identitiesonly"] == "yes"
    assert found["identityfile"].strip('"') == str(access.key)
    assert found["user"] == "root"


def test_machines_are_reached_as_the_provider_says(access: Access) -> None:
    for node in SCENARIO.nodes:
        found = options(access, node)
        assert found["proxycommand"] == f"reach a {node}"
        assert "proxyjump" not in found


def test_guests_are_reached_through_their_host(access: Access) -> None:
    found = options(access, "guest1")
    assert found["proxyjump"] == "example-host"
    assert found["hostname"] == "192.168.122.10"
    assert found["hostkeyalias"] == "guest1"


def test_host_keys_are_known_by_name_and_address(access: Access) -> None:
    for name in NODES:
        address = SCENARIO.address(name)
        public = (access.folder / "keys" / name / "host.pub").read_text().split()[1]
        for asked in (name, address):
            argv = ["ssh-keygen", "-F", asked, "-f", str(access.known_hosts)]
            printed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            assert public in printed


# On a machine


@pytest.mark.parametrize("node", NODES)
def test_seed_is_a_tar_with_private_modes(access: Access, node: str) -> None:
    entries, contents = unpack(access, node)
    assert entries["root/.ssh"].isdir()
    modes = {name: entry.mode for name, entry in entries.items()}
    assert modes["root/.ssh"] == 0o700
    for name, content in contents.items():
        private = "PRIVATE KEY" in content or name == "root/.ssh/authorized_keys"
        assert modes[name] == (0o600 if private else 0o644), name
    assert sum("PRIVATE KEY" in content for content in contents.values()) == 2
    assert all(entry.uid == entry.gid == 0 for entry in entries.values())


@pytest.mark.parametrize("node", NODES)
def test_seed_makes_the_machine_this_node(access: Access, node: str) -> None:
    _, contents = unpack(access, node)
    keys = access.folder / "keys" / node
    assert contents["etc/hostname"] == f"{node}\n"
    assert contents["etc/ssh/ssh_host_ed25519_key"] == (keys / "host").read_text()
    assert contents["etc/ssh/ssh_host_ed25519_key.pub"] == (keys / "host.pub").read_text()
    assert contents["root/.ssh/id_ed25519"] == (keys / "root").read_text()
    assert contents["etc/ssh/ssh_known_hosts"] == access.known_hosts.read_text()


@pytest.mark.parametrize("node", NODES)
def test_root_is_let_in_from_this_machine_and_from_every_node(access: Access, node: str) -> None:
    _, contents = unpack(access, node)
    allowed = {line.split()[1] for line in contents["root/.ssh/authorized_keys"].splitlines()}
    roots = [access.folder / "keys" / name / "root.pub" for name in NODES]
    mine = access.key.with_name("id_ed25519.pub")
    assert allowed == {path.read_text().split()[1] for path in [mine, *roots]}


def hosts(access: Access, node: str) -> dict[str, str]:
    _, contents = unpack(access, node)
    lines = [line.split() for line in contents["etc/hosts"].splitlines()]
    return {name: address for address, *names in lines for name in names}


@pytest.mark.parametrize("node", SCENARIO.nodes)
def test_machines_do_not_know_the_guests_since_the_book_adds_them(
    access: Access, node: str
) -> None:
    assert hosts(access, node) == {
        "localhost": "127.0.0.1",
        "example-host": "192.168.122.100",
        "node2": "192.168.122.101",
    }


def test_guest_knows_itself_and_the_machines(access: Access) -> None:
    found = hosts(access, "guest1")
    assert found["guest1"] == "192.168.122.10"
    assert found["example-host"] == "192.168.122.100"


def test_only_guests_are_given_their_address(access: Access) -> None:
    networks = {
        node: [text for name, text in unpack(access, node)[1].items() if "/network/" in name]
        for node in NODES
    }
    assert networks["example-host"] == networks["node2"] == []
    (network,) = networks["guest1"]
    assert "Address=192.168.122.10/24\n" in network


def test_secrets_are_in_no_seed(access: Access) -> None:
    for node in NODES:
        for name in SECRETS:
            assert access.secret(name).encode() not in access.seed(SCENARIO, node)


# In texts


def test_secrets_in_a_text(tmp_path: Path) -> None:
    access = Access(tmp_path)
    (tmp_path / "secrets.json").write_text('{"hacluster": "xyzzy"}')
    assert access.without_secrets("it is xyzzy, xyzzy") == (
        "it is (secret hacluster), (secret hacluster)"
    )
    access.create_secrets()  # a lab of before gets the others
    assert access.without_secrets(f"xyzzy {access.secret('bmc')}") == (
        "(secret hacluster) (secret bmc)"
    )
    (tmp_path / "secrets.json").write_text("{}")  # it is read once: events have many texts
    assert access.without_secrets("xyzzy") == "(secret hacluster)"


def test_no_secrets_yet(tmp_path: Path) -> None:
    access = Access(tmp_path)
    assert access.without_secrets("xyzzy") == "xyzzy"
    (tmp_path / "secrets.json").write_text('{"hacluster": "xyzzy"}')
    assert access.without_secrets("xyzzy") == "(secret hacluster)"


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, '{"bmc": 5}', "\0"])
def test_damaged_passwords_are_named(tmp_path: Path, content: str) -> None:
    access = Access(tmp_path)
    access.create_secrets()
    (tmp_path / "secrets.json").write_text(content)
    for ask in (access.create_secrets, lambda: access.secret("bmc")):
        with pytest.raises(CannotRun, match=r"secrets\.json is damaged: "):
            ask()
