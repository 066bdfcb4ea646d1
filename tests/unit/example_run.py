"""A run of remote nodes with faults, as a real one leaves it, made of the real events.

`events()` gives it as `lab.report.results.read` would; run as a program, it writes
results.jsonl to the path that it is given.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import events as e

BEGAN = 1_800_000_000.0
FROZEN = BEGAN + 130.0  # when the faults were injected
POWERLESS = BEGAN + 190.0
UNFENCED = BEGAN + 260.0

PLACES = {
    "fence-node1": "node2",
    "fence-node2": "node1",
    "fence-remote1": "node2",
    "remote1": "node1",
    "FAKE1": "remote1",
    "FAKE2": "node1",
    "FAKE3": "node2",
}
ONLINE = dict.fromkeys(("node1", "node2", "remote1"), "online")
RENAMED = "pcs 0.10 renamed it; it authenticates nodes with hacluster's password."


def state(
    at: float,
    section: str,
    *changes: str,
    nodes: Mapping[str, str] | None = None,
    places: Mapping[str, str] | None = None,
    **resources: str,
) -> e.ClusterChanged:
    """The cluster as ONLINE and PLACES say, but for what is given.

    A resource's state is given as `Starting node1`, `Started node1 !` (failed) or `Stopped`;
    its name with `_` for `-`; `places` are more of them.
    """
    there: dict[str, dict[str, Any]] = {}
    given = {**(places or {}), **resources}
    for name, node in PLACES.items():
        words = given.get(name.replace("-", "_"), f"Started {node}").split()
        failed = words[-1] == "!"
        active = words[1:-1] if failed else words[1:]
        there[name] = {"role": words[0], "nodes": active, "failed": failed}
    return e.ClusterChanged(
        at=at,
        section=section,
        changes=changes or ("something changed",),
        dc="node1",
        quorum=True,
        nodes={**ONLINE, **(nodes or {})},
        resources=there,
    )


def typed(at: float, section: str, nodes: list[str], text: str, **more: Any) -> list[e.Event]:
    """A command on nodes in parallel; `more`: what differs from a verbatim one that worked."""
    output, code = more.pop("output", ""), more.pop("exit", 0)
    more.setdefault("book", () if more.get("adapted") else (text,))
    begun = [
        e.CommandStarted(at=at, section=section, node=node, text=text, **more) for node in nodes
    ]
    ended = [
        e.CommandEnded(
            at=at + 0.8 + number / 10,
            section=section,
            node=node,
            text=text,
            exit=code,
            expected=(0,),
            output=output,
            seconds=0.8 + number / 10,
        )
        for number, node in enumerate(nodes)
    ]
    return [*begun, *reversed(ended)]


def checked(at: float, section: str, what: str, seen: str, **more: Any) -> e.Checked:
    """A check that passed, unless `more` says otherwise."""
    values: dict[str, Any] = {"verdict": "passed", "waited": 0.0, **more}
    return e.Checked(at=at, section=section, what=what, seen=seen, **values)


def ended(at: float, section: str, title: str, **more: Any) -> e.StepEnded:
    values: dict[str, Any] = {"verdict": "passed", "cluster": 12.4, "harness": 1.1, **more}
    return e.StepEnded(at=at, section=section, title=title, **values)


def frozen() -> list[e.Event]:
    """The fault that everything goes well with."""
    at, s = FROZEN, "5.6"
    return [
        e.FaultInjected(at=at, section=s, number=1, text="freeze pacemaker-remoted on remote1"),
        state(
            at + 12.3,
            s,
            "remote1: Started node1 → Started node1 (failed)",
            nodes={},
            remote1="Started node1 !",
        ),
        state(
            at + 12.9,
            s,
            "node remote1: online → offline unclean",
            nodes={"remote1": "offline unclean"},
            remote1="Stopped",
        ),
        e.PowerSwitched(at=at + 13.9, section=s, node="remote1", action="off"),
        e.PowerSwitched(at=at + 15.2, section=s, node="remote1", action="on"),
        state(
            at + 15.4,
            s,
            "node remote1: offline unclean → offline",
            "FAKE1: Started remote1 → Starting node2",
            nodes={"remote1": "offline"},
            remote1="Starting node1",
            FAKE1="Starting node2",
        ),
        state(
            at + 17.2,
            s,
            "FAKE1: Starting node2 → Started node2",
            nodes={"remote1": "offline"},
            remote1="Starting node1",
            FAKE1="Started node2",
        ),
        state(
            at + 21.8,
            s,
            "node remote1: offline → online",
            "remote1: Starting node1 → Started node1",
            FAKE1="Started node2",
        ),
        e.FaultHealed(
            at=at + 22.6,
            section=s,
            number=1,
            text="freeze pacemaker-remoted on remote1",
            seconds=0.4,
        ),
        e.Recovered(
            at=at + 24.0,
            section=s,
            text="freeze pacemaker-remoted on remote1",
            began=at,
            phases={"detected": 12.3, "fenced": 13.9, "recovered": 17.2, "reintegrated": 21.8},
        ),
        state(at + 27.0, s, "FAKE1: Started node2 → Started remote1"),
    ]


def powerless() -> list[e.Event]:
    """A node without power; its phases are close to each other, the healing is far away."""
    at, s = POWERLESS, "5.6"
    gone = {"node2": "offline"}
    moved = {"fence_node1": "Started node1", "fence_remote1": "Started node1"}
    return [
        e.FaultInjected(at=at, section=s, number=2, text="power_off node2"),
        e.PowerSwitched(at=at, section=s, node="node2", action="off"),
        state(
            at + 1.4, s, "node node2: online → offline unclean", nodes={"node2": "offline unclean"}
        ),
        e.PowerSwitched(at=at + 1.9, section=s, node="node2", action="off"),
        state(
            at + 2.2,
            s,
            "node node2: offline unclean → offline",
            "FAKE3: Started node2 → Starting node1",
            nodes=gone,
            fence_node1="Stopped",
            fence_remote1="Starting node1",
            FAKE3="Starting node1",
        ),
        state(
            at + 2.9,
            s,
            "FAKE3: Starting → Started node1",
            nodes=gone,
            FAKE3="Started node1",
            places=moved,
        ),
        e.PowerSwitched(at=at + 4.0, section=s, node="node2", action="on"),
        state(
            at + 11.0,
            s,
            "node node2: offline → online pending",
            nodes={"node2": "online pending"},
            FAKE3="Started node1",
            places=moved,
        ),
        state(
            at + 11.3, s, "node node2: online pending → online", FAKE3="Started node1", places=moved
        ),
        e.FaultHealed(at=at + 45, section=s, number=2, text="power_off node2", seconds=0.1),
        e.Recovered(
            at=at + 46,
            section=s,
            text="power_off node2",
            began=at,
            phases={"detected": 1.4, "fenced": 1.9, "recovered": 2.9, "reintegrated": 11.3},
        ),
    ]


def unfenced() -> list[e.Event]:
    """A fault that the cluster does not get over, since it cannot fence."""
    at, s = UNFENCED, "5.7"
    lost = {"remote1": "offline unclean"}
    return [
        e.FaultInjected(at=at, section=s, number=3, text="cut remote1 off, fence-remote1 broken"),
        state(
            at + 11.1, s, "node remote1: online → offline unclean", nodes=lost, remote1="Stopped"
        ),
        e.PowerSwitched(
            at=at + 12.0, section=s, node="remote1", action="off", problem="no answer from the BMC"
        ),
        state(
            at + 13.0,
            s,
            "fence-remote1: Started node2 → Started node2 (failed)",
            nodes=lost,
            remote1="Stopped",
            fence_remote1="Started node2 !",
        ),
        e.Recovered(
            at=at + 60.0,
            section=s,
            text="cut remote1 off, fence-remote1 broken",
            began=at,
            phases={"detected": 11.1, "fenced": None, "recovered": None, "reintegrated": None},
        ),
        checked(
            at + 60.1,
            s,
            "remote node remote1 is online",
            "offline unclean",
            verdict="failed",
            waited=60.0,
            hint="lab exec node1 -- pcs stonith history",
        ),
        e.FaultHealed(
            at=at + 61.0,
            section=s,
            number=3,
            text="cut remote1 off, fence-remote1 broken",
            seconds=0.3,
            problem="remote1 still drops what comes from 3121/tcp",
        ),
    ]


def audits(at: float, section: str) -> list[e.Event]:
    """Eight that passed."""
    names = [
        "no resource is active on two nodes",
        "each resource is where the cluster says",
        "no node writes without quorum",
        "fencing was only of nodes that were lost",
        "no daemon died",
        "the CIB is the same on all nodes",
        "no failed action is left",
        "no fault is left",
    ]
    return [
        e.Audited(
            at=at, section=section, audit=name, verdict="passed", seen="looked at 7 resources"
        )
        for name in names
    ]


def happened() -> list[e.Event]:
    """The whole run, in order."""
    t = BEGAN
    yum = "\n".join(f"Get:{n} package-{n} [{n * 37} kB]" for n in range(1, 70)) + "\n"
    violated = "FAKE1 was active on remote1 and node2 from +15.4 s to +17.2 s"
    return [
        e.RunStarted(
            at=t,
            lab="remotes",
            scenario="remote-walkthrough",
            title="5  Remote Node Walk-through",
            platform="debian-12",
            provider="podman",
            sections=("5.1", "5.3", "5.5", "5.6", "5.7", "5.8"),
        ),
        e.Progress(at=t + 0.2, text="machines: node1, node2, remote1 (podman)"),
        e.StepStarted(at=t + 1, section="5.1", title="Configure Cluster Nodes"),
        checked(t + 1.2, "5.1", "no node has the package pacemaker", "none", phase="before"),
        *typed(t + 2, "5.1", ["node1", "node2"], "apt-get install -y pacemaker pcs",
               adapted=True, book=("yum install -y pacemaker pcs",),
               why="Debian installs packages with apt-get.", output=yum),
        *typed(t + 12, "5.1", ["node1", "node2"], "systemctl start pcsd", adapted=True,
               why="Since pcs 0.10 a cluster is set up through pcsd."),
        *typed(t + 14, "5.1", ["node1"], "pcs host auth node1 node2 -u hacluster", adapted=True,
               book=("pcs cluster auth node1 node2",), why=RENAMED, secret="hacluster",
               output="node1: Authorized\nnode2: Authorized\n"),
        e.CommandStarted(at=t + 16, section="5.1", node="node1", text="", adapted=True,
                         book=("pcs cluster standby --all",), why="It is not there any more.",
                         omitted=True),
        e.Acted(at=t + 18, section="5.1", text="rebooted node2", seconds=8.2, output="bye\n"),
        checked(t + 20, "5.1", "node1, node2 are online", "node1 online, node2 online", waited=3.4),
        *audits(t + 21, "5.1"),
        ended(t + 22, "5.1", "Configure Cluster Nodes", verbatim=0, adapted=4, added=1),
        e.StepStarted(at=t + 30, section="5.3", title="Integrate Remote Node into Cluster"),
        *typed(t + 31, "5.3", ["node1"], "pcs resource create remote1 ocf:pacemaker:remote"),
        state(t + 33, "5.3", "node remote1: absent → online", "remote1: absent → Started node1"),
        ended(t + 34, "5.3", "Integrate Remote Node into Cluster", verbatim=1),
        e.StepStarted(at=t + 40, section="5.5", title="Starting Resources on Remote Node"),
        e.Audited(at=t + 45, section="5.5", audit="no resource is active on two nodes",
                  verdict="passed", seen=violated, announced=True),
        *audits(t + 45, "5.5")[1:],
        ended(t + 46, "5.5", "Starting Resources on Remote Node", verbatim=3),
        e.StepStarted(at=FROZEN - 10, section="5.6", title="Testing Recovery and Fencing"),
        checked(FROZEN - 9, "5.6", "remote node remote1 is online", "online", phase="before"),
        *frozen(),
        *powerless(),
        *audits(POWERLESS + 47, "5.6"),
        ended(POWERLESS + 48, "5.6", "Testing Recovery and Fencing", cluster=61.9, verbatim=2),
        e.StepStarted(at=UNFENCED - 8, section="5.7", title="Fencing that Fails"),
        *typed(UNFENCED - 7, "5.7", ["node1"], "pcs stonith update fence-remote1 port=nowhere"),
        *unfenced(),
        e.Audited(at=UNFENCED + 62, section="5.7", audit="no node stays unclean",
                  verdict="failed", seen="remote1 is offline unclean\nfor 49.0 s"),
        e.EvidenceCollected(at=UNFENCED + 66, section="5.7", folder="results/evidence-5.7"),
        ended(UNFENCED + 66.1, "5.7", "Fencing that Fails", verdict="failed", cluster=60.2,
              harness=6.0, verbatim=1,
              problem="expected within 60 s: remote node remote1 is online; seen: offline"),
        ended(UNFENCED + 66.2, "5.8", "Accessing Cluster Tools from Remote Node",
              verdict="skipped", cluster=0, harness=0, problem="section 5.7 failed"),
        e.RunEnded(at=UNFENCED + 66.3, verdict="failed", seconds=326.3),
    ]  # fmt: skip


def lines(happened: list[e.Event]) -> list[dict[str, Any]]:
    """The events as they come back from results.jsonl: tuples have become lists."""
    return [json.loads(json.dumps(event.to_json())) for event in happened]


def events() -> list[dict[str, Any]]:
    """The run as `lab.report.results.read` gives it."""
    return lines(happened())


if __name__ == "__main__":
    rows = [json.dumps(event, ensure_ascii=False) + "\n" for event in events()]
    Path(sys.argv[1]).write_text("".join(rows), encoding="utf-8")
