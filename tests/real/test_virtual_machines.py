"""The vagrant provider: one virtual machine, and what can be done to it and to its lab."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Started, eventually, lab, no_secret
from leftovers import traces

from lab import faults, paths, snapshots
from lab.lab import Lab
from lab.lifecycle import Change, Lifecycle
from lab.providers import libvirtd, network

pytestmark = [pytest.mark.real, pytest.mark.takes(200)]

SCENARIO = {
    "title": "One machine",
    "chapter": "0",
    "about": "One virtual machine, with nothing on it.",
    "nodes": {"node1": {"address": "192.168.122.101", "memory": 768}},
    "steps": [
        {
            "section": "0.1",
            "title": "Reboot",
            "before": [{"package_absent": {"node": "node1", "packages": ["pacemaker"]}}],
            "act": [{"reboot": "node1"}],
            "expect": [
                {"rebooted": "node1"},
                {"ports_closed": {"node": "node1", "ports": ["3121/tcp"]}},
            ],
        },
        {
            "section": "0.2",
            "title": "Not reboot",
            "act": [{"run": {"node": "node1", "command": "true"}}],
            "expect": [{"rebooted": "node1"}],
            "within": "5s",
        },
    ],
}
UP = ["--provider", "vagrant"]
# Where no fault of a lab reaches: the machine's own network, firewall rules, libvirt.
OWN = "ip -br link; ip route; ls /run/libvirt /var/lib/libvirt/images /etc/libvirt 2>&1 || true"


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(SCENARIO, sort_keys=False))
    return file


def _own() -> str:
    return subprocess.run(["sh", "-c", OWN], capture_output=True, text=True, check=True).stdout


def _answers(one: Lab) -> bool:
    """Whether the machine is reached on the lab's network: not by the way in."""
    probe = ["socat", "-u", "OPEN:/dev/null", "TCP:192.168.122.101:22,connect-timeout=2"]
    argv = one.provider.outside(one.name, probe)
    return subprocess.run(argv, capture_output=True, timeout=20).returncode == 0


def test_a_virtual_machine(name: str, scenario: Path) -> None:
    before = _own()
    done = lab("up", str(scenario), "--name", name, *UP)
    assert done.status == 1, done.output  # the second section must not pass
    one = Lab.open(name)
    assert one.record.done == ["0.1"]
    assert "node1 was rebooted" in done.output
    _alone(one)
    _cable(one)
    _power(one)
    _snapshot(one)
    no_secret(name, paths.results() / name / "latest")
    _death(one)
    one.close()
    # The lab's libvirtd hangs: that is said, and nothing of `lab down` needs it.
    pid = (libvirtd.runtime(name) / "libvirtd.pid").read_text()
    os.kill(int(pid), signal.SIGSTOP)
    hangs = lab("status", name, within=120)
    assert hangs.status == 1
    assert f"libvirtd of lab {name} hangs" in hangs.output
    assert pid.strip() in map(str, libvirtd.processes(name))
    assert lab("down", name).status == 0
    assert traces(name) == []
    assert _own() == before


def _alone(one: Lab) -> None:
    """No way out, one key that opens it, and nobody called vagrant."""
    machine = one.machine("node1")
    assert machine.run("ip route show default").stdout == ""
    assert machine.run("getent passwd vagrant").exit == 2
    keys = machine.run("cat /root/.ssh/authorized_keys", check=True).stdout
    assert keys.splitlines()[0] == one.access.key.with_suffix(".pub").read_text().strip()
    assert "vagrant" not in keys


def _cable(one: Lab) -> None:
    assert _answers(one)
    with faults.stands(one, "cut", node="node1"):
        assert not _answers(one)
        # The machine itself sees it, and is reached all the same.
        assert one.machine("node1").run("cat /sys/class/net/eth0/carrier").stdout == "0\n"
    eventually(lambda: _answers(one), 20, "node1 answering again")


def _power(one: Lab) -> None:
    boot = one.boot("node1")
    with faults.stands(one, "power_off", node="node1"):
        assert one.boot("node1") == ""
        assert one.provider.running(one.name) == {"node1": False}
        assert not _answers(one)
    assert one.boot("node1") not in ("", boot)


def _death(one: Lab) -> None:
    """Its process is killed: what libvirtd sees is heard, and is told from an order."""
    ear = Lifecycle(libvirtd.uri(one.name))
    assert ear.listen() == ""
    pid = (libvirtd.runtime(one.name) / "libvirt/qemu/node1.pid").read_text()
    os.kill(int(pid), signal.SIGKILL)
    heard: list[Change] = []

    def off() -> bool:
        heard.extend(ear.heard())
        return any(change.state == "off" for change in heard)

    eventually(off, 20, "libvirtd telling that node1 is off")
    ear.close()
    assert [(one.machine, one.state, one.reason) for one in heard] == [("node1", "off", "failed")]


def _snapshot(one: Lab) -> None:
    machine = one.machine("node1")
    machine.run("echo before > /root/mark", check=True)
    assert lab("snapshot", "save", "here", "--name", one.name).status == 0
    again = lab("snapshot", "save", "here", "--name", one.name)
    assert again.status == 2
    assert "has a snapshot 'here'" in again.output
    machine.run("echo after > /root/mark", check=True)
    one.record.done.append("0.2")
    one.save()
    machine.drop()
    back = lab("snapshot", "restore", "here", "--name", one.name)
    assert back.status == 0, back.output
    assert "after section 0.1" in back.output
    assert Lab.open(one.name).record.done == ["0.1"]
    assert machine.run("cat /root/mark").stdout == "before\n"
    apart = float(machine.run("date +%s.%N").stdout) - time.time()
    assert abs(apart) < 3
    listed: Any = lab("snapshot", "list", "--json", "--name", one.name).json
    assert [(each["name"], each["done"]) for each in listed] == [("here", ["0.1"])]
    assert lab("snapshot", "save", "gone", "--name", one.name).status == 0
    assert lab("snapshot", "delete", "gone", "--name", one.name).status == 0
    again = lab("snapshot", "restore", "gone", "--name", one.name)
    assert "snapshots: here" in again.output
    with libvirtd.connection(one.name) as opened:  # as a save that is killed leaves it
        assert opened.lookupByName("node1").snapshotListNames() == ["here"]
        opened.lookupByName("node1").suspend()
    states: Any = lab("status", one.name, "--json").json
    assert [each["state"] for each in states["machines"]] == ["paused"]
    assert snapshots.go_on(one) == ["node1"]
    assert machine.run("true").exit == 0
    unknown = lab("snapshot", "restore", "there", "--name", one.name)
    assert unknown.status == 2
    assert "snapshots: here" in unknown.output


def test_killed_while_vagrant_is_at_work(name: str, scenario: Path) -> None:
    """`kill -9`; the lab's folder and its network's file gone: `lab down` finds what runs."""
    running = Started("up", str(scenario), "--name", name, *UP)
    running.until(r"Starting domain")
    running.end(signal.SIGKILL)
    assert libvirtd.processes(name)
    assert lab("list").status == 0
    for path in (paths.labs() / name, network.namespace(name)):
        subprocess.run(["umount", str(path)], capture_output=True, timeout=20)
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
    assert lab("down", name).status == 0
    assert traces(name) == []


def test_what_it_cannot(name: str) -> None:
    """A platform that starts from a box, as containers: said at once."""
    done = lab("up", "guest-walkthrough", "--platform", "centos-7", "--name", name)
    assert done.status == 2, done.output
    assert "vagrant" in done.output
