"""The whole of chapter 4, as a user runs it, without any network."""

from __future__ import annotations

import re
import signal
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import this_machine
from conftest import OFFLINE, Started, eventually, forget, lab, no_secret, processes_of

from lab import paths
from lab.report import results

pytestmark = [pytest.mark.real, pytest.mark.takes(420)]

RECOVERY = 480.0  # seconds that a lost guest has to be back, as in the scenario
SECTIONS = [
    *(f"4.1.{n}" for n in range(1, 8)),
    *(f"4.2.{n}" for n in range(1, 6)),
    *(f"4.3.{n}" for n in range(1, 6)),
]


def test_walkthrough(name: str) -> None:
    """Up, all 17 sections, a lab to play with, up again, cut short, carried on with, down."""
    before = this_machine.look()
    done = lab("up", "guest-walkthrough", "--name", name, prefix=OFFLINE)
    assert done.status == 0, done.output
    for section in SECTIONS:
        assert re.search(rf"^{re.escape(section)} .*\bPASS\b", done.output, re.M), done.output

    latest = paths.results() / name / "latest"
    _results(latest)
    no_secret(name, latest)
    _playing(name)
    assert this_machine.changes(before) == []  # with a guest that runs

    again = lab("up", "guest-walkthrough", "--name", name)
    assert again.status == 0, again.output
    assert "4.1.1" in again.output.partition("done earlier")[2]

    _cut_short(name)
    inside = processes_of(name)
    assert any("qemu-system" in command for command in inside.values())
    assert lab("down", name).status == 0
    # Killed they are by then; a kernel takes its time to be done with a large one.
    eventually(lambda: not any(_runs(pid) for pid in inside), 20, "its processes gone")
    assert latest.exists()
    assert this_machine.changes(before) == []


def _cut_short(name: str) -> None:
    """Ctrl-C, then kill -9, while 4.3.4 waits for its guest's recovery; then it is done again."""
    forget(name, "4.3.4")
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        started = Started("up", "guest-walkthrough", "--name", name)
        started.until("PASS +node guest1 is lost")
        done = started.end(number)
        assert done.status == status, done.output
        assert "Traceback" not in done.output
        _in_the_middle(results.read(paths.results() / name / "latest" / "results.jsonl"))
        eventually(lambda: _recovered(name), RECOVERY, "guest1 recovered", every=1.0)
        # As the book cleans up; the section begins where no failed action is on record.
        clean_up = lab("exec", "example-host", "--name", name, "--", "pcs resource cleanup guest1")
        assert clean_up.status == 0, clean_up.output
    carried_on = lab("up", "guest-walkthrough", "--name", name, "--until", "4.3.4")
    assert carried_on.status == 0, carried_on.output
    assert re.search(r"^4\.3\.4 .*\bPASS\b", carried_on.output, re.M), carried_on.output


def _in_the_middle(events: list[dict[str, Any]]) -> None:
    """The daemon was killed, the guest lost, and the run ended before it was back."""
    (killed,) = [e for e in events if e["event"] == "CommandEnded"]
    assert (killed["text"], killed["exit"]) == ("kill -9 $(pidof pacemaker-remoted)", 0)
    states = [e["nodes"]["guest1"] for e in events if e["event"] == "ClusterChanged"]
    assert states[-1].startswith("offline")
    assert "StepEnded" not in {e["event"] for e in events}


def _recovered(name: str) -> bool:
    """Whether the cluster has guest1 again: the node, its machine and the connection to it."""
    cluster = lab("status", name, "--json").json["cluster"]
    if "problem" in cluster:  # no answer now
        return False
    active = [cluster["resources"][one] for one in ("vm-guest1", "guest1")]
    back = all(one["role"] == "Started" and not one["failed"] for one in active)
    return back and bool(cluster["nodes"]["guest1"]["online"])


def _runs(pid: int) -> bool:
    """Whether there is such a process, and not only what nobody has reaped of it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _results(folder: Path) -> None:
    events = results.read(folder / "results.jsonl")
    ended = [e for e in events if e["event"] == "StepEnded"]
    assert [e["section"] for e in ended] == SECTIONS
    assert all(e["verdict"] == "passed" for e in ended)
    # The recovery's time line: the guest lost, the failed action, its machine down and up, back.
    recovery = [
        change
        for e in events
        if e["event"] == "ClusterChanged" and e["section"] == "4.3.4"
        for change in e["changes"]
    ]
    lost = recovery.index("node guest1: online → offline")
    back = recovery.index("node guest1: offline → online")
    assert lost < back
    assert any(c.startswith("failed: guest1_monitor_") for c in recovery[: back + 1])
    cases = ET.parse(folder / "junit.xml").getroot().iter("testcase")
    assert [c.get("name", "").split()[0] for c in cases] == SECTIONS
    transcript = (folder / "transcript.txt").read_text()
    assert "kill -9 $(pidof pacemaker-remoted)" in transcript


def _playing(name: str) -> None:
    status = lab("status", name, "--json").json
    assert status["cluster"]["dc"] == "example-host"
    assert status["cluster"]["nodes"]["guest1"]["kind"] == "guest"
    assert status["cluster"]["nodes"]["guest1"]["online"] is True
    assert {m["node"]: m["state"] for m in status["machines"]} == {
        "example-host": "on",
        "guest1": "running",
    }
    assert lab("exec", "guest1", "--name", name, "--", "hostname").output.strip() == "guest1"
    assert lab("exec", "guest1", "--name", name, "--", "exit", "7").status == 7
    # No route out of the lab: the machine's own network is not there.
    routes = lab("exec", "example-host", "--name", name, "--", "ip", "route").output
    assert "default" not in routes
