"""Which cluster node is asked for the cluster's state."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import paths
from lab.errors import CommandTimeout, LabError, Unreachable
from lab.lab import STATUS, Lab
from lab.status import NoStatus

XML = """<pacemaker-result><summary>
<current_dc present="true" name="{}" with_quorum="true"/></summary><nodes/>
<resources/></pacemaker-result>"""
OLD = XML.replace("pacemaker-result", "crm_mon")
NOT_RUNNING = """<pacemaker-result><status code="102" message="Not connected"/>
</pacemaker-result>"""


class Cluster:
    """Two cluster nodes and a remote one. Each answers with itself as DC, or not at all."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.answers: dict[str, str | Exception] = {
            node: XML.format(node) for node in ("node1", "node2", "remote1")
        }
        self.asked: list[str] = []
        self.commands: list[str] = []

    def machine(self, node: str) -> Any:
        def run(command: str, *, within: float) -> Any:
            assert within == STATUS
            self.asked.append(node)
            self.commands.append(command)
            answer = self.answers[node]
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(stdout=answer, stderr="")

        return SimpleNamespace(run=run)

    def asks(self) -> list[str]:
        """The nodes that were asked for one state."""
        self.asked.clear()
        self.lab.status()
        return list(self.asked)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    scenario = paths.SCENARIOS / "remote-walkthrough.yaml"
    made = Cluster(Lab.create("nemo", scenario, "debian-12", "podman"))
    monkeypatch.setattr(made.lab, "machine", made.machine)
    return made


def test_the_first_one_at_first(cluster: Cluster) -> None:
    assert cluster.lab.status().dc == "node1"
    assert (cluster.asked, cluster.lab.asked) == (["node1"], "node1")
    assert cluster.commands == ["crm_mon --output-as=xml"]


@pytest.mark.parametrize(
    "problem",
    [
        Unreachable("no connection"),
        CommandTimeout("it hangs"),
        NOT_RUNNING,
        "",
        "crm_mon: command not found",
    ],
)
def test_the_next_one_when_it_does_not_answer(cluster: Cluster, problem: str | Exception) -> None:
    cluster.answers["node1"] = problem
    assert cluster.lab.status().dc == "node2"
    assert (cluster.asked, cluster.lab.asked) == (["node1", "node2"], "node2")


def test_the_one_that_answered_last_comes_first(cluster: Cluster) -> None:
    cluster.answers["node1"] = Unreachable("no connection")
    assert cluster.asks() == ["node1", "node2"]
    cluster.answers["node1"] = XML.format("node1")
    assert cluster.asks() == ["node2"]
    cluster.answers["node2"] = Unreachable("no connection")
    assert cluster.asks() == ["node2", "node1"]
    assert cluster.asks() == ["node1"]


def test_one_with_quorum_is_preferred(cluster: Cluster) -> None:
    """Of a cluster in parts, the others tell of what they do not know."""
    without = XML.replace('with_quorum="true"', 'with_quorum="false"')
    cluster.answers["node1"] = without.format("node1")
    assert (cluster.lab.status().dc, cluster.lab.asked) == ("node2", "node2")
    cluster.answers["node2"] = without.format("node2")
    assert (cluster.lab.status().dc, cluster.lab.asked) == ("node2", "node2")
    cluster.answers["node2"] = Unreachable("no connection")
    assert (cluster.lab.status().dc, cluster.lab.asked) == ("node1", "node1")


def test_none_answers(cluster: Cluster) -> None:
    """What the first one did is told, and who answered last is not forgotten."""
    cluster.answers["node1"] = Unreachable("no connection")
    cluster.asks()
    cluster.answers["node2"] = NOT_RUNNING
    cluster.asked.clear()
    with pytest.raises(NoStatus, match="Not connected"):
        cluster.lab.status()
    assert cluster.asked == ["node2", "node1"]
    assert cluster.lab.asked == "node2"


def test_a_remote_node_is_not_asked(cluster: Cluster) -> None:
    """It may be cut off from the cluster, and would still answer by proxy if it is not."""
    cluster.answers |= {"node1": Unreachable("first"), "node2": Unreachable("second")}
    with pytest.raises(LabError, match="first"):
        cluster.lab.status()
    assert cluster.asked == ["node1", "node2"]


def test_a_node_that_is_named_is_asked_alone(cluster: Cluster) -> None:
    assert cluster.lab.status("remote1").dc == "remote1"
    assert (cluster.asked, cluster.lab.asked) == (["remote1"], "")
    cluster.answers["node2"] = Unreachable("no connection")
    with pytest.raises(Unreachable, match="no connection"):
        cluster.lab.status("node2")
    assert cluster.asked == ["remote1", "node2"]
