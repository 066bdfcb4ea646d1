"""A lab's network by itself: cables, partitions, and what they let through. No machine runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import lock
from lab.model import Machine
from lab.providers import GATEWAY, LOCK, MACHINERY, Wire, network

pytestmark = [
    pytest.mark.real,
    pytest.mark.takes(3),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's"),
]

A, B, C, SWITCH = "192.168.122.101", "192.168.122.102", "192.168.122.103", GATEWAY
MACHINES = {
    "a": Machine(address=A),
    "b": Machine(address=B, hypervisor=True),  # its address is br0's, behind eth0
    "c": Machine(address=C),
}
ADDRESSES = {"a": A, "b": B, "c": C, "switch": SWITCH}
WHOLE = {frozenset((x, y)) for x in ADDRESSES for y in ADDRESSES if x < y}

# Sends one ICMP echo request to each address, and prints those that answered: as `ping`, which
# not every machine has. It asks again until all have answered, or for two
# seconds: who asked in vain before looks for a neighbour once in a second.
PING = """
import socket, struct, sys, time
missing, answered = set(sys.argv[1:]), []
packet = struct.pack("!BBHHH", 8, 0, 0xFFFF - 0x0800 - 0x4C41, 0x4C41, 0)
end = time.monotonic() + 2
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
    s.settimeout(0.1)
    while missing and time.monotonic() < end:
        try:
            for address in missing:
                s.sendto(packet, (address, 0))
            while missing:
                data, (address, _) = s.recvfrom(2048)
                if data[20] == 0 and data[24:26] == b"LA" and address in missing:
                    missing.remove(address)
                    answered.append(address)
        except TimeoutError:
            pass
        except OSError:  # no card, no way
            break
print(*answered)
"""


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """No image is needed here."""


@pytest.fixture(params=["containers", "virtual machines"])
def lab(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a lab of which there is nothing but the network."""
    name = f"unit-net-{os.getpid()}"
    virtual = request.param == "virtual machines"
    try:
        # Held as a provider does: the last lab that goes takes the folder of namespaces along.
        with lock.hold(LOCK, MACHINERY, within=120):
            network.create(name, MACHINES, virtual=virtual)
            network.create(name, MACHINES, virtual=virtual)  # nothing is made twice
        if virtual:
            plug_cards(name)
        yield name
    finally:
        network.remove(name)
    assert network.found(name) == []
    assert name not in network.labs()


def plug_cards(lab: str) -> None:
    """For each virtual machine a namespace whose eth0 is where the machine's card would be."""
    for number, (node, machine) in enumerate(MACHINES.items(), start=1):
        there = network.namespace(lab, node)
        there.touch()
        address = f"ip address add {machine.address}/24 dev eth0; ip link set eth0 up"
        cable = f"link add card{number} master {network.bridge(number)} up type veth peer eth0"
        for argv in (
            ["unshare", f"--net={there}", "ip", "link", "set", "lo", "up"],
            network.inside(network.namespace(lab), ["ip", *cable.split(), "netns", str(there)]),
            network.inside(there, ["sh", "-ec", address]),
        ):
            subprocess.run(argv, check=True, timeout=20)


def reached(lab: str) -> set[frozenset[str]]:
    """Each pair of which both reach the other. One that goes one way only is an error."""
    asking = {}
    for node in ADDRESSES:
        others = [address for other, address in ADDRESSES.items() if other != node]
        where = network.namespace(lab, "" if node == "switch" else node)
        argv = network.inside(where, [sys.executable, "-I", "-S", "-c", PING, *others])
        asking[node] = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    names = {address: node for node, address in ADDRESSES.items()}
    found = set()
    for node, process in asking.items():
        answers, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        found |= {(node, names[address]) for address in answers.split()}
    assert {(y, x) for x, y in found} == found
    return {frozenset(pair) for pair in found}


def link(lab: str, node: str) -> dict[str, Any]:
    """eth0 as the machine itself sees it, with its statistics."""
    argv = ["ip", "-json", "-stats", "-stats", "link", "show", "eth0"]
    line = network.inside(network.namespace(lab, node), argv)
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def sockets(lab: str, node: str) -> str:
    """The TCP ports that are listened on there."""
    argv = network.inside(network.namespace(lab, node), ["ss", "-Hltn"])
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout


def is_virtual(lab: str) -> bool:
    argv = network.inside(network.namespace(lab), ["ip", "link", "show", network.bridge(1)])
    return subprocess.run(argv, capture_output=True, timeout=20).returncode == 0


def pairs(text: str) -> set[frozenset[str]]:
    return {frozenset(pair.split("-")) for pair in text.split()}


def test_a_whole_network(lab: str) -> None:
    assert reached(lab) == WHOLE
    assert network.wiring(lab) == {node: Wire(plugged=True, group=0) for node in MACHINES}


def test_a_pulled_cable(lab: str) -> None:
    assert reached(lab) == WHOLE
    for node in ("a", "b"):
        network.cable(lab, node, plugged=False)
        assert {n: w.plugged for n, w in network.wiring(lab).items()} == {
            other: other != node for other in MACHINES
        }
        assert reached(lab) == {pair for pair in WHOLE if node not in pair}
        if not is_virtual(lab):  # of a virtual machine's card that is libvirt's to say
            assert link(lab, node)["operstate"] == "DOWN"  # the machine knows
        network.cable(lab, node, plugged=False)  # pulled already
        network.cable(lab, node, plugged=True)
        assert reached(lab) == WHOLE
        assert network.wiring(lab)[node] == Wire(plugged=True)


@pytest.mark.parametrize(
    ("groups", "apart", "wired"),
    [
        ([["a"], ["b"]], "a-b", {"a": 1, "b": 2, "c": 0}),
        ([["b"], ["a", "c"]], "a-b b-c", {"a": 2, "b": 1, "c": 2}),
        ([["a"], ["b"], ["c"]], "a-b a-c b-c", {"a": 1, "b": 2, "c": 3}),
    ],
)
def test_a_partition(lab: str, groups: list[list[str]], apart: str, wired: dict[str, int]) -> None:
    """Who is in no group reaches both, and the switch is reached by all."""
    assert reached(lab) == WHOLE  # so that the switch knows everybody's place beforehand
    changes = {node: link(lab, node)["stats64"]["tx"]["carrier_changes"] for node in MACHINES}
    network.partition(lab, groups)
    assert network.wiring(lab) == {node: Wire(True, group) for node, group in wired.items()}
    assert reached(lab) == WHOLE - pairs(apart)
    network.partition(lab, [])
    assert network.wiring(lab) == {node: Wire(plugged=True, group=0) for node in MACHINES}
    assert reached(lab) == WHOLE
    for node in MACHINES:  # no machine noticed anything of its own cable
        assert link(lab, node)["operstate"] == "UP"
        assert link(lab, node)["stats64"]["tx"]["carrier_changes"] == changes[node]


# A server that takes one connection and says so; and a client that says whether it ever hears of
# the server's end.
SERVER = """
import socket
listener = socket.create_server(("", 3121))
connection = listener.accept()
print(flush=True)
input()
"""
CLIENT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 3121), timeout=10)
print(flush=True)
input()
connection.settimeout(1)
try:
    print("ended" if connection.recv(1) == b"" else "said something")
except TimeoutError:
    print("silence")
except ConnectionError:
    print("ended")
"""


@pytest.mark.parametrize("node", ["a", "b"])
@pytest.mark.parametrize("power", [True, False])
def test_without_power_a_machine_says_nothing_more(lab: str, node: str, power: bool) -> None:
    if is_virtual(lab):
        pytest.skip("a virtual machine has a kernel of its own, and that ends with it")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    there, python = network.namespace(lab, node), [sys.executable, "-I", "-S", "-c"]
    with subprocess.Popen(network.inside(there, [*python, SERVER]), **pipes) as server:
        deadline = time.monotonic() + 10
        while "3121" not in sockets(lab, node):
            assert time.monotonic() < deadline
        argv = network.inside(network.namespace(lab, "c"), [*python, CLIENT, ADDRESSES[node]])
        with subprocess.Popen(argv, **pipes) as client:
            for process in (client, server):
                assert process.stdout
                assert process.stdout.readline() == "\n"
            if not power:
                network.card(lab, node, on=False)
            server.kill()
            server.wait()
            said, _ = client.communicate("\n", timeout=20)
    assert said.strip() == ("ended" if power else "silence")
    assert reached(lab) == (WHOLE if power else {pair for pair in WHOLE if node not in pair})
    network.card(lab, node, on=True)
    assert reached(lab) == WHOLE


def test_the_switch_has_an_address_of_its_own(lab: str) -> None:
    """One that is a port's too is taken for that port's, in a group that the port is in."""
    argv = network.inside(network.namespace(lab), ["ip", "-json", "link", "show"])
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20)
    links = {link["ifname"]: link["address"] for link in json.loads(done.stdout)}
    assert links.pop("lab0") == network.ADDRESS
    assert network.ADDRESS not in links.values()


def test_a_partition_after_another(lab: str) -> None:
    """What was parted otherwise before leaves nothing behind."""
    network.partition(lab, [["a"], ["b"], ["c"]])
    network.partition(lab, [["a", "b"], ["c"]])
    assert reached(lab) == WHOLE - pairs("a-c b-c")
    network.partition(lab, [["c"], ["b"]])
    assert {n: w.group for n, w in network.wiring(lab).items()} == {"a": 0, "b": 2, "c": 1}
    assert reached(lab) == WHOLE - pairs("b-c")
    network.partition(lab, [])
    assert reached(lab) == WHOLE


def test_a_cable_in_a_partitioned_network(lab: str) -> None:
    network.partition(lab, [["a"], ["b", "c"]])
    network.cable(lab, "b", plugged=False)
    assert network.wiring(lab) == {"a": Wire(True, 1), "b": Wire(False, 2), "c": Wire(True, 2)}
    assert reached(lab) == pairs("a-switch c-switch")
    network.cable(lab, "b", plugged=True)
    assert reached(lab) == WHOLE - pairs("a-b a-c")


def test_addresses_of_the_switch_in_every_part(lab: str) -> None:
    """As the BMCs: they have a network of their own in a real data centre."""
    bmc = "192.168.122.254"
    network.add_addresses(lab, [bmc])
    network.add_addresses(lab, [bmc])
    network.partition(lab, [["a"], ["b"]])
    for node in MACHINES:
        argv = [sys.executable, "-I", "-S", "-c", PING, bmc]
        line = network.inside(network.namespace(lab, node), argv)
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20)
        assert done.stdout == f"{bmc}\n", node


def test_another_labs_network_is_another_one(lab: str) -> None:
    other = f"{lab}-b"
    try:
        network.create(other, MACHINES)
        network.partition(lab, [["a"], ["b"]])
        network.cable(lab, "c", plugged=False)
        assert reached(other) == WHOLE
        network.remove(lab)  # its name is the beginning of the other's: that one stays
        assert network.found(lab) == []
        assert reached(other) == WHOLE
    finally:
        network.remove(other)
