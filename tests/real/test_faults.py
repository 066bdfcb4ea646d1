"""Each fault on real machines: it breaks what it says, and healing mends just that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import eventually, lab

from lab import faults
from lab.errors import BadInput, CannotRun
from lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.takes(120)]

KEY = "sha256sum /etc/pacemaker/authkey; stat -c '%a %U %G' /etc/pacemaker/authkey"
Broken = Callable[[Lab], bool]


def test_faults(name: str) -> None:
    """On node1 and node2, bare, and remote1 with its daemon: sections 5.1.1 and 5.1.2."""
    done = lab("up", "remote-walkthrough", "--name", name, "--until", "5.1.2")
    assert done.status == 0, done.output
    one = Lab.open(name)
    _each(one)
    _netem(one)
    _survives_a_reboot(one)
    _refused(one)
    one.close()
    _by_hand(name)


def _run(one: Lab, node: str, command: str) -> str:
    return one.machine(node).run(command).stdout.strip()


def _pings(one: Lab, source: str, to: str) -> bool:
    address = one.address(to)
    return one.machine(source).run(f"ping -n -c 1 -W 1 {address}").exit == 0


def _answers(one: Lab) -> bool:
    """Whether remote1 accepts a connection on 3121, tried from node1."""
    return one.machine("node1").run(f"nc -z -w 1 {one.address('remote1')} 3121").exit == 0


def _stopped(one: Lab) -> bool:
    state = _run(one, "remote1", "ps -o stat= -p $(pidof pacemaker-remoted)")
    return state.startswith("T")


def _full(one: Lab) -> bool:
    done = one.machine("remote1").run("head -c 4096 /dev/zero > /var/lib/pacemaker/new")
    _run(one, "remote1", "rm -f /var/lib/pacemaker/new")
    return done.exit != 0 and "No space left" in done.output


def _parted(one: Lab) -> bool:
    assert _pings(one, "node2", "remote1") or not _pings(one, "node1", "remote1")
    return not _pings(one, "node1", "remote1")


def _each(one: Lab) -> None:
    key = _run(one, "remote1", KEY)
    daemon = _run(one, "remote1", "pidof pacemaker-remoted")
    table: list[tuple[str, dict[str, Any], Broken]] = [
        ("freeze", {"node": "remote1", "process": "pacemaker-remoted"}, _stopped),
        (
            "kill",
            {"node": "remote1", "process": "pacemaker-remoted"},
            lambda one: _run(one, "remote1", "pidof pacemaker-remoted") != daemon,
        ),
        (
            "power_off",
            {"node": "node2"},
            lambda one: not one.provider.running(one.name)["node2"],
        ),
        ("cut", {"node": "remote1"}, lambda one: not _pings(one, "node1", "remote1")),
        ("partition", {"groups": [["node1"], ["node2", "remote1"]]}, _parted),
        ("block_port", {"node": "remote1", "port": "3121/tcp"}, lambda one: not _answers(one)),
        ("wrong_authkey", {"node": "remote1"}, lambda one: _run(one, "remote1", KEY) != key),
        ("fill_disk", {"node": "remote1", "folder": "/var/lib/pacemaker"}, _full),
    ]
    # Those two need netem, and `suspend` a virtual machine: see test_vm_nodes.
    elsewhere = {"delay", "loss", "suspend"}
    assert {name for name, _, _ in table} == set(faults.load().words) - elsewhere
    _run(one, "remote1", "echo kept > /var/lib/pacemaker/kept")
    for name, arguments, broken in table:
        assert name == "kill" or not broken(one), name
        with faults.stands(one, name, **arguments) as standing:
            assert broken(one), name
            assert [found.text for found in faults.standing(one)] == [standing.text]
        assert name == "kill" or not broken(one), name
        assert faults.standing(one) == []
    assert _run(one, "remote1", KEY) == key
    assert _run(one, "remote1", "cat /var/lib/pacemaker/kept") == "kept"
    # Healing the key started the daemon anew, and systemd does not wait until it listens.
    eventually(lambda: _answers(one), 30, "remote1 answering on 3121 after its last healing")


def _netem(one: Lab) -> None:
    """Delayed where the kernel can, and where it cannot, said so; either way nothing stays."""
    queue = "tc qdisc show dev eth0"
    before = _run(one, "remote1", queue)
    said = "no netem"
    try:
        with faults.stands(one, "delay", node="remote1", milliseconds=300):
            assert "delay 300ms" in _run(one, "remote1", queue)
    except CannotRun as error:
        said = error.message
    assert "no netem" in said
    assert _run(one, "remote1", queue) == before
    assert faults.standing(one) == []


def _survives_a_reboot(one: Lab) -> None:
    """A blocked port stays blocked when the machine is power-cycled, and heals without power."""
    with faults.stands(one, "block_port", node="remote1", port="3121/tcp"):
        one.provider.power_off(one.name, "remote1")
        one.power_on("remote1")
        assert not _answers(one)
        one.provider.power_off(one.name, "remote1")
    assert one.provider.running(one.name)["remote1"]


def _refused(one: Lab) -> None:
    """What cannot be injected leaves nothing behind."""
    with pytest.raises(BadInput, match="two groups of nodes or more"):
        faults.inject(one, "partition", {"groups": [["node1", "node2"]]})
    assert faults.standing(one) == []


def _by_hand(name: str) -> None:
    given = ["--name", name]
    freeze = ["fault", "inject", "remote1", "freeze", "pacemaker-remoted", *given]
    done = lab(*freeze)
    assert done.status == 0, done.output
    again = lab(*freeze)
    assert again.status == 3
    assert "stands already" in again.output
    parted = lab("fault", "inject", "node1/node2,remote1", "partition", *given)
    assert parted.status == 0, parted.output
    listed = lab("fault", "list", "--json", *given).json
    assert [entry["fault"] for entry in listed] == ["freeze", "partition"]
    assert "is frozen" in lab("status", name).output
    first, second = (str(entry["number"]) for entry in listed)
    wrong = lab("fault", "heal", "1", *given)  # it was healed long ago
    assert wrong.status == 2
    assert f"faults that stand: {first}, {second}" in wrong.output
    assert lab("fault", "heal", first, *given).status == 0
    assert lab("fault", "heal", *given).status == 0
    assert "no fault stands" in lab("fault", "list", *given).output
    nothing = lab("fault", "inject", "remote1", "kill", "no-such-daemon", *given)
    assert nothing.status == 1
    assert lab("fault", "list", "--json", *given).json == []
