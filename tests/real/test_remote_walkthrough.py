"""The whole of chapter 5, as a user runs it, without any network; and what must not pass."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import LAB, OFFLINE, Done, Started, eventually, forget, lab, no_secret
from leftovers import traces

from lab import bmc, paths, scenario
from lab.errors import LabError
from lab.lab import Lab
from lab.model import Part
from lab.report import results

pytestmark = [pytest.mark.real, pytest.mark.takes(600)]

Steps = dict[str, Any]
Make = Callable[[Callable[[Steps], None]], Path]

SECTIONS = [
    *("5.1.1", "5.1.2", "5.2", "5.3.1", "5.3.2", "5.3.3", "5.3.4", "5.3.5"),
    *("5.4", "5.5", "5.6", "5.7"),
]


@pytest.mark.parametrize("altered", ["remote-walkthrough"], indirect=True)
def test_remote_walkthrough(name: str, altered: Make) -> None:
    """Up, all sections with their recoveries, BMCs that live and die with the lab; sabotage."""
    done = lab("up", "remote-walkthrough", "--name", name, prefix=OFFLINE)
    assert done.status == 0, done.output
    for section in SECTIONS:
        assert re.search(rf"^{re.escape(section)} .*\bPASS\b", done.output, re.M), done.output
    latest = paths.results() / name / "latest"
    _recoveries(latest)
    no_secret(name, latest)
    _report(name, latest)
    _bmcs(name)
    _differing_key(name, altered)
    _lying_bmc(name, altered)
    _wrong_plug(name, altered)
    _not_healed(name, altered)
    _killed(name, altered)


def _recoveries(folder: Path) -> None:
    """Every fault of 5.6 has a time line in the right order, and one was not fenced."""
    events = results.read(folder / "results.jsonl")
    lines = [e["phases"] for e in events if e["event"] == "Recovered" and e["section"] == "5.6"]
    whole = [line for line in lines if None not in line.values()]
    (step,) = [
        one
        for one in scenario.load(scenario.find("remote-walkthrough")).steps
        if one.section == "5.6"
    ]
    broken = [part for part in step.parts if part.fault]
    by_hand = [part for part in step.parts if part.act and _awaits_recovery(part)]
    assert len(lines) == len(broken) + len(by_hand)
    assert len(broken) > 5
    assert len(whole) >= 4
    for line in whole:
        assert line["detected"] < line["reintegrated"]
        assert line["fenced"] < line["reintegrated"]
    assert [line for line in lines if line["fenced"] is None]  # a wrong password
    injected = [e["number"] for e in events if e["event"] == "FaultInjected"]
    healed = [e["number"] for e in events if e["event"] == "FaultHealed" and not e["problem"]]
    assert injected == healed
    assert len(injected) == len(broken)
    audits = [e for e in events if e["event"] == "Audited" and e["section"] == "5.6"]
    assert {e["verdict"] for e in audits} == {"passed"}
    assert len(audits) >= 12


def _awaits_recovery(part: Part) -> bool:
    return any("recovery" in entry.use for entry in part.expect)


def _report(name: str, folder: Path) -> None:
    done = lab("report", name)
    assert done.status == 0, done.output
    page = Path(done.output.strip()).read_text()
    assert (folder / "report.html").exists()
    assert page.count("<svg") >= 7
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def _bmcs(name: str) -> None:
    """One listens for each machine, in the lab's namespace and nowhere else; it comes back."""
    listening = "cat /proc/net/udp | awk '{print $2}' | grep ':026F$'"
    inside = ["nsenter", f"--net=/run/lab/net/{name}", "--"]
    own = subprocess.run([*inside, "sh", "-c", listening], capture_output=True, text=True)
    assert len(own.stdout.splitlines()) == 3
    outside = subprocess.run(["sh", "-c", listening], capture_output=True, text=True)
    assert outside.stdout == ""
    pid = int((Path("/run/lab/bmc") / name).read_text())
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not bmc.alive(name), 10, "the BMC is gone")
    again = lab("status", name)
    assert again.status == 0
    assert "BMC" in again.output
    assert bmc.alive(name)


# -- what must fail -------------------------------------------------------------------------


def _fails(done: Done, name: str, reason: str, section: str = "5.6") -> None:
    """The section failed, for that reason."""
    assert done.status == 1, done.output
    events = results.read(paths.results() / name / "latest" / "results.jsonl")
    (ended,) = [e for e in events if e["event"] == "StepEnded" and e["section"] == section]
    assert ended["verdict"] == "failed"
    assert reason in ended["problem"]
    assert any(e["event"] == "EvidenceCollected" for e in events)


def _only(fault: str, within: str) -> Callable[[Steps], None]:
    """Section 5.6 has only its first part with this fault, and less time for it."""

    def change(steps: Steps) -> None:
        part = next(
            part
            for part in steps["5.6"]["parts"]
            if any(fault in one for one in part.get("fault", []))
        )
        steps["5.6"]["parts"] = [part | {"within": within}]

    return change


def _again(name: str, scenario: Path, *patch: str) -> Done:
    """Section 5.6 once more; `patch`: what is changed in the harness itself beforehand."""
    forget(name, "5.6")
    command = [*LAB]
    if patch:
        code = "\n".join([*patch, "import sys; from lab.cli import main; sys.exit(main())"])
        command = [sys.executable, "-c", code]
    return lab("up", str(scenario), "--name", name, "--until", "5.6", command=command)


def _mend(name: str) -> None:
    """Everything well again, as it was after the walk-through."""
    assert lab("fault", "heal", "--name", name).status == 0
    one = Lab.open(name)
    for node in one.scenario.nodes:
        one.power_on(node)
    node1 = one.machine("node1")
    node1.run("pcs resource cleanup; pcs stonith cleanup", within=60)

    def well() -> bool:
        try:
            return looked()
        except LabError:  # a machine that boots, a command that takes long: to be asked again
            return False

    def looked() -> bool:
        node1.run("pcs cluster start --all --wait=60", within=90)
        status = one.status("node1")
        place = status.resources["FAKE1"].nodes
        online = all(node.text == "online" for node in status.nodes.values())
        if online and place != ("remote1",):
            # An idle cluster may not notice by itself that something else has become possible.
            node1.run("crm_resource --refresh --resource FAKE1", within=60)
        return online and place == ("remote1",) and not status.failed

    eventually(well, 240, "the cluster is well")
    one.close()


def _differing_key(name: str, altered: Make) -> None:
    """node2 has another key than the others, says 5.3.3; with the right one all is well."""
    record = paths.labs() / name / "lab.json"
    before = record.read_text()
    other = {"run": "dd if=/dev/urandom of=/etc/pacemaker/authkey bs=4096 count=1"}

    def change(steps: Steps) -> None:
        step = steps["5.3.3"]
        step |= {"before": [], "within": "3s"}
        step["book"][2] = other | {"where": "node2"}

    def mend(steps: Steps) -> None:
        steps["5.3.3"]["before"] = []

    forget(name, "5.3.3")
    done = lab("up", str(altered(change)), "--name", name, "--until", "5.3.3")
    reason = "/etc/pacemaker/authkey is the same on node1, node2, remote1; seen: node1"
    _fails(done, name, reason, "5.3.3")
    done = lab("up", str(altered(mend)), "--name", name, "--until", "5.3.3")
    assert done.status == 0, done.output
    record.write_text(before)


_LYING = """
import sys
from lab import bmc_daemon
from lab.providers.podman import Podman
real, said = Podman.running, {}
Podman.power_off = lambda self, lab, node: said.update({node: False})
Podman.power_on = lambda self, lab, node: said.update({node: True})
Podman.running = lambda self, lab: real(self, lab) | said
sys.exit(bmc_daemon.main())
"""


def _lying_bmc(name: str, altered: Make) -> None:
    """A BMC that answers "off" and does nothing: the machine was not restarted, says 5.6."""
    file = Path("/run/lab/bmc") / name
    arguments = Path(f"/proc/{int(file.read_text())}/cmdline").read_text().split("\0")[3:-1]
    bmc.stop(name)
    inside = ["nsenter", f"--net=/run/lab/net/{name}", "--", sys.executable, "-c", _LYING]
    subprocess.run([*inside, *arguments], check=True, timeout=30)  # it goes to the background
    try:
        eventually(lambda: bmc.alive(name), 20, "the lying BMC answers")
        done = _again(name, altered(_only("freeze", "45s")))
        _fails(done, name, "remote1 was rebooted and is up again; seen: still the same boot")
    finally:
        os.kill(int(file.read_text()), signal.SIGKILL)
    eventually(lambda: not bmc.alive(name), 10, "the lying BMC is gone")
    assert lab("status", name).status == 0
    _mend(name)


def _wrong_plug(name: str, altered: Make) -> None:
    """The fence device of remote1 has another machine's plug: that one is fenced, says 5.6."""
    plug = "pcs stonith update fence-remote1 ip={}"
    assert lab("exec", "node1", "--name", name, "--", plug.format("192.168.122.253")).status == 0
    done = _again(name, altered(_only("freeze", "45s")))
    _fails(done, name, "remote1 was fenced; seen: its BMC did nothing")
    right = f"pcs cluster start --all --wait=60; {plug.format('192.168.122.252')}"
    assert lab("exec", "node1", "--name", name, "--", right).status == 0
    _mend(name)


def _not_healed(name: str, altered: Make) -> None:
    """A cable that is not plugged in again: the fault is not healed, says 5.6."""
    patch = (
        "from lab.providers import network",
        "real = network.cable",
        "network.cable = lambda lab, node, *, plugged: plugged or real(lab, node, plugged=False)",
    )
    done = _again(name, altered(_only("cut", "90s")), *patch)
    _fails(done, name, "the cable is still out")
    assert "is pulled" in lab("fault", "list", "--name", name).output
    _mend(name)


def _killed(name: str, altered: Make) -> None:
    """`kill -9` while a fault stands: it is listed, and healed by hand; then by `lab down`."""
    for fault, text in (("freeze", "is frozen"), ("cut", "is pulled")):
        forget(name, "5.6")
        scenario = altered(_only(fault, "90s"))
        started = Started("up", str(scenario), "--name", name, "--until", "5.6")
        started.until(rf"fault .*{text}")
        started.end(signal.SIGKILL)
        assert text in lab("fault", "list", "--name", name).output
        if fault == "freeze":
            healed = lab("fault", "heal", "--name", name)
            assert healed.status == 0, healed.output
            assert "no fault stands" in lab("fault", "list", "--name", name).output
            _mend(name)
    assert lab("down", name).status == 0
    assert traces(name) == []
