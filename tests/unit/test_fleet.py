"""Fleets: many machines from a few lines, the word for all of them, and what cannot be."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import bmc, paths, scenario
from lab.access import Access
from lab.errors import BadInput
from lab.fleet import named
from lab.lab import Lab
from lab.model import Scenario
from lab.plan import plan
from lab.platforms import load as load_platform
from lab.providers import containers, slim
from lab.up import Wish, _there

FILE = paths.SCENARIOS / "scale.yaml"
TEXT = """\
title: T
about: A
chapter: "1"
nodes:
  node1: {address: 192.168.122.101}
  node2: {address: 192.168.122.102}
fleet: {prefix: remote, address: 192.168.122.99, count: 4, slim: true}
steps:
  - section: "1.1"
    title: One
    act:
      - run: {node: node1, command: echo fleet}
    expect:
      - nodes_online: {nodes: [node1, fleet]}
"""


def load(folder: Path, count: int | None = None, change: tuple[str, str] = ("", "")) -> Scenario:
    file = folder / "s.yaml"
    assert change[0] in TEXT
    file.write_text(TEXT.replace(*change) if change[0] else TEXT)
    return scenario.load(file, count)


def test_it_is_put_among_the_nodes(tmp_path: Path) -> None:
    """At addresses in a row, but for those that others have."""
    made = load(tmp_path)
    fleet = {name: made.nodes[name] for name in ("remote1", "remote2", "remote3", "remote4")}
    last = [machine.address.rpartition(".")[2] for machine in fleet.values()]
    assert last == ["99", "100", "103", "104"]
    assert all(machine.slim and machine.role == "remote" for machine in fleet.values())
    assert made.cluster_nodes == ["node1", "node2"]
    assert [name for name in made.names if made.is_slim(name)] == list(fleet)


def test_as_many_as_asked_for(tmp_path: Path) -> None:
    assert list(load(tmp_path, 2).nodes) == ["node1", "node2", "remote1", "remote2"]
    assert len(load(tmp_path, 152).nodes) == 154  # up to .252: two BMCs are above


@pytest.mark.parametrize("count", [153, 1000, 0, -1])
def test_more_than_there_is_room_for(tmp_path: Path, count: int) -> None:
    with pytest.raises(BadInput, match=rf"{count} remotes: from 192.168.122.99 .* room for 152"):
        load(tmp_path, count)


def test_a_fleet_with_bmcs_has_half_the_room(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="room for 76"):
        load(tmp_path, 77, (", slim: true", ""))
    made = load(tmp_path, 76, (", slim: true", ""))
    addresses = {made.address(name) for name in made.names}
    assert not addresses & {bmc.address(made, name) for name in made.nodes}


def test_no_address_is_given_twice() -> None:
    made = scenario.load(FILE, 249)
    managed = [name for name, machine in made.nodes.items() if not machine.slim]
    addresses = [made.address(name) for name in made.names]
    addresses += [bmc.address(made, name) for name in managed]
    assert len(set(addresses)) == len(addresses) == 249 + 4
    with pytest.raises(BadInput, match="room for 249"):
        scenario.load(FILE, 250)


def test_a_slim_machine_has_no_bmc(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        bmc.address(load(tmp_path), "remote1")


def test_a_scenario_without_a_fleet() -> None:
    with pytest.raises(BadInput, match="has no fleet, so it cannot have 3 remotes"):
        scenario.load(paths.SCENARIOS / "remote-walkthrough.yaml", 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("node2:", "remote2:"), "s.yaml:7: fleet: remote2 is the name of a node already"),
        (("node2:", "fleet:"), "s.yaml:7: fleet: fleet is the name of a node already"),
        (("prefix: remote", "prefix: remote1"), "s.yaml:7: fleet, prefix: "),
        (("count: 4", "count: 0"), "s.yaml:7: fleet, count: "),
        (
            ("address: 192.168.122.99", "address: 10.0.0.99"),
            "s.yaml:7: fleet: address: 10.0.0.99 is not on the lab's network",
        ),
        (("slim: true", "slim: true, role: cluster"), "s.yaml:7: fleet: "),
        (("count: 4", "count: 153"), "s.yaml:7: fleet: count: 153 remotes: from 192.168.122.99 on"),
        (("fleet: {", "prefleet: {"), "unknown key; did you mean 'fleet'"),
    ],
)
def test_what_a_fleet_cannot_be(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        load(tmp_path, change=change)
    assert says in refused.value.message


@pytest.mark.parametrize("more", ["role: cluster", "role: remote, hypervisor: true"])
def test_slim_is_for_remote_nodes(tmp_path: Path, more: str) -> None:
    with pytest.raises(BadInput, match="slim: such a machine can only be a remote node"):
        load(tmp_path, change=(".102}", f".102, slim: true, {more}}}"))


def test_the_word_stands_for_all_of_them_in_lists_alone(tmp_path: Path) -> None:
    (step,) = plan(load(tmp_path, 2), load_platform("debian-12"))
    (part,) = step.parts
    assert part.expect[0].arguments == {"nodes": ["node1", "remote1", "remote2"]}
    assert part.acts[0].arguments == {"node": "node1", "command": "echo fleet"}


def test_without_a_fleet_the_word_is_no_node(tmp_path: Path) -> None:
    line = "fleet: {prefix: remote, address: 192.168.122.99, count: 4, slim: true}\n"
    with pytest.raises(BadInput, match="there is no node 'fleet'"):
        load(tmp_path, change=(line, ""))


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a", "b"], "a, b"),
        (["r1", "r2", "r3", "r4", "r5"], "r1, r2, r3, r4, r5"),
        (["r1", "r2", "r3", "r4", "r5", "r6"], "r1 … r6"),
        (["n1", *(f"r{n}" for n in range(8, 201)), "x"], "n1, r8 … r200, x"),
        (["r1", "r3", "r5", "r7", "r9"], "r1, r3, r5, r7, r9"),
        (["r1", "s2", "t3", "u4", "v5"], "r1, s2, t3, u4, v5"),
        ([], ""),
    ],
)
def test_names_in_words(names: list[str], text: str) -> None:
    assert named(names) == text


# -- a lab of it ----------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    return Lab.create("big", FILE, "debian-12", "podman", 9)


def test_a_lab_remembers_how_many_it_has(lab: Lab) -> None:
    again = Lab.open("big")
    assert again.scenario.fleet
    assert again.scenario.fleet.count == 9
    assert "remote9" in again.scenario.nodes


def test_another_number_is_another_lab(lab: Lab) -> None:
    with pytest.raises(BadInput, match="is there already, with 9 remotes, not 10"):
        _there("big", FILE, Wish("scale", "big", remotes=10))
    for same in (9, None):
        assert _there("big", FILE, Wish("scale", "big", remotes=same)).record.remotes == 9


def test_older_labs_have_no_number(lab: Lab) -> None:
    file = lab.folder / "lab.json"
    file.write_text(file.read_text().replace(',\n  "remotes": 9', ""))
    assert "remotes" not in file.read_text()
    assert Lab.open("big").record.remotes is None


def test_a_slim_machine_gets_its_identity_and_no_way_to_others(lab: Lab) -> None:
    access = Access(lab.folder)
    provider = cast(Any, SimpleNamespace(ssh_options=lambda *given: {"Slim": str(given[2].slim)}))
    access.create("big", lab.scenario, provider)
    slim_one, full = (access.seed(lab.scenario, name) for name in ("remote1", "node1"))
    assert b"etc/ssh/ssh_host_ed25519_key" in slim_one
    assert b"root/.ssh/id_ed25519" in full
    assert b"root/.ssh/id_ed25519" not in slim_one
    assert "Slim True" in access.ssh_config.read_text().partition("Host remote1\n")[2]


# -- the provider ---------------------------------------------------------------------------


def test_only_machines_with_systemd_take_inotify_instances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "limit"
    limit.write_text("100\n")
    monkeypatch.setattr(containers, "INOTIFY", limit)
    full, slim_one = ({"State": "running", "Labels": one} for one in ({}, {"slim": "true"}))
    monkeypatch.setattr(containers, "listed", lambda: [full] * 8 + [slim_one] * 200)
    containers.check_room(2)
    with pytest.raises(Exception, match="11 machines at once need 110 inotify"):
        containers.check_room(3)


def test_the_way_in_is_through_that_very_machine(tmp_path: Path) -> None:
    """A number that is another process's by now, or nobody's, leads nowhere."""
    pid, other = tmp_path / "pid", tmp_path / "other"
    pid.write_text("self\n")
    other.touch()
    enter = slim.inside(pid, Path("/proc/self/ns/net"), ["true"])
    enter[2] = enter[2].replace("nsenter", "echo")
    done = subprocess.run(enter, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["--", "true"]
    wrong = [*enter[:4], str(other), *enter[5:]]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode
    pid.write_text("999999999\n")
    assert subprocess.run(enter, capture_output=True, check=False).returncode
    pid.unlink()
    assert subprocess.run(enter, capture_output=True, check=False).returncode


class Calls:
    """A podman that has no image and writes down what it is told."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.said: list[str] = []

    def __call__(self, arguments: list[str], *, within: float = 60) -> str:
        from lab.errors import CommandFailed

        self.said.append(arguments[0])
        if arguments[0] in ("image", self.fails):
            raise CommandFailed("no")
        return ""


def test_an_image_that_was_not_made_whole_leaves_nothing() -> None:
    images = cast(Any, SimpleNamespace(platform="p", packages="/packages"))
    whole, broken = Calls(), Calls(fails="run")
    assert slim.image("lab/p:k", images, whole, []) == "lab/p-slim:k"
    assert whole.said == ["image", "rm", "run", "commit", "rm"]
    with pytest.raises(Exception, match="no"):
        slim.image("lab/p:k", images, broken, [])
    assert broken.said == ["image", "rm", "run", "rm"]
