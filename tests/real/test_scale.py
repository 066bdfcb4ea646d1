"""Chapter 1 with three slim remote nodes: one that has another key is found, and then all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import lab

from lab import paths
from lab.growth import load
from lab.report import results

pytestmark = [pytest.mark.real, pytest.mark.takes(150)]

Steps = dict[str, Any]
Make = Callable[[Callable[[Steps], None]], Path]
KEY = "/etc/pacemaker/authkey"


def ended(name: str) -> dict[str, tuple[str, str]]:
    """Verdict and problem of each section of the last run."""
    events = results.read(paths.results() / name / "latest" / "results.jsonl")
    return {e["section"]: (e["verdict"], e["problem"]) for e in events if e["event"] == "StepEnded"}


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own, here and for each `lab`: what it measures is a point that
    must not take the place of one that was measured in earnest.
    """
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))


@pytest.mark.usefixtures("own_state")  # before `name`, whose last `lab down` needs it still
@pytest.mark.parametrize("altered", ["scale"], indirect=True)
def test_scale(name: str, altered: Make) -> None:
    def up(change: Callable[[Steps], None], *more: str) -> Any:
        return lab("up", str(altered(change)), "--name", name, *more)

    def other_key(steps: Steps) -> None:
        parts = steps["1.4"]["parts"]
        command = f"head -c 4096 /dev/urandom > {KEY}"
        parts[0]["act"].append({"run": {"node": "remote2", "command": command}})
        parts[1]["within"] = "60s"

    def mended(steps: Steps) -> None:
        parts = steps["1.4"]["parts"]
        parts[0]["before"] = []
        again = {"run": {"node": "node1", "command": "pcs resource cleanup remote2"}}
        parts[1]["act"].append(again)

    done = up(other_key, "--remotes", "3", "--until", "1.4")
    assert done.status == 1, done.output
    verdict, problem = ended(name)["1.4"]
    assert verdict == "failed"
    assert "remote1, remote2, remote3 are online as remote nodes" in problem
    assert re.search(r"seen: \d (?:is|are) not: .*\bremote2: ", problem), problem

    # It is a lab of three, whatever the scenario's own number is.
    (it,) = [one for one in lab("list", "--json").json["labs"] if one["name"] == name]
    assert list(it["machines"]) == ["node1", "node2", "remote1", "remote2", "remote3"]
    done = up(mended, "--remotes", "4")
    assert (done.status, "with 3 remotes, not 4" in done.output) == (2, True)

    done = up(mended)
    assert done.status == 0, done.output
    assert {verdict for verdict, _ in ended(name).values()} == {"passed"}
    (point,) = [one for one in load() if one.nodes == 3]
    assert 0 < point.integrate < 900
    assert 3 < point.failover < 900  # Corosync's token alone is 3 s
    assert 1 < point.memory < 30
    assert 0 < point.scheduler < 60
    cib = int(lab("exec", "node1", "--name", name, "--", "cibadmin --query | wc -c").output)
    assert 0.5 < point.cib / cib < 2

    # What is shown of such a machine is that machine's own.
    processes = lab("exec", "remote3", "--name", name, "--", "ps -o comm= -p 1; hostname").output
    assert processes.split() == ["pacemaker-remot", "remote3"]
    there = lab("status", name, "--json").json
    assert {m["node"]: m["bmc"] for m in there["machines"]}["remote3"] == ""
    page = lab("report", name)
    assert "What remote nodes cost" in Path(page.output.strip()).read_text()
    assert json.loads((paths.labs() / name / "lab.json").read_text())["remotes"] == 3
