"""The whole of chapter 4, as a user runs it, without any network."""

from __future__ import annotations

import re
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import OFFLINE, Started, eventually, forget, lab, no_secret

from lab import paths
from lab.report import results

pytestmark = [pytest.mark.real, pytest.mark.takes(300)]

SECTIONS = [
    *(f"4.1.{n}" for n in range(1, 8)),
    *(f"4.2.{n}" for n in range(1, 6)),
    *(f"4.3.{n}" for n in range(1, 6)),
]


def test_walkthrough(name: str) -> None:
    """Up, all 17 sections, a lab to play with, up again, down."""
    done = lab("up", "guest-walkthrough", "--name", name, prefix=OFFLINE)
    assert done.status == 0, done.output
    for section in SECTIONS:
        assert re.search(rf"^{re.escape(section)} .*\bPASS\b", done.output, re.M), done.output

    latest = paths.results() / name / "latest"
    _results(latest)
    no_secret(name, latest)
    _playing(name)

    again = lab("up", "guest-walkthrough", "--name", name)
    assert again.status == 0, again.output
    assert "4.1.1" in again.output.partition("done earlier")[2]

    _cut_short(name)
    inside = _processes_of(name)
    assert any("qemu-system" in command for command in inside.values())
    assert lab("down", name).status == 0
    # Killed they are by then; a kernel takes its time to be done with a large one.
    eventually(lambda: not any(_runs(pid) for pid in inside), 20, "its processes gone")
    assert latest.exists()


def _cut_short(name: str) -> None:
    """Ctrl-C, then kill -9, in the middle of 4.3.4, while the guest is recovered."""
    forget(name, "4.3.4")
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        started = Started("up", "guest-walkthrough", "--name", name)
        started.until("kill -9" if number == signal.SIGINT else "Testing Recovery")
        done = started.end(number)
        assert done.status == status, done.output
        assert "Traceback" not in done.output


def _runs(pid: str) -> bool:
    """Whether there is such a process, and not only what nobody has reaped of it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _processes_of(name: str) -> dict[str, str]:
    """Every process on a machine of the lab, by its network namespace: PID and command line."""
    spaces = {p.stat().st_ino for p in Path("/run/lab/net").iterdir() if p.stem == name}
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/net").stat().st_ino in spaces:
                found[process.name] = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
    return found


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
