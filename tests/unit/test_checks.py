"""Every check, in a world in which it is true and in worlds in which what it is about is broken.

A world is scripted: what no script says raises. So a check that looks somewhere else than it
should is an error here, and one that does not look at all is found by a world that is dark.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import bmc, checks, paths, platforms, status
from lab.checks import Seen
from lab.checks.network import _PROBE
from lab.context import Context
from lab.errors import CommandFailed, LabError, Unreachable
from lab.guests import Guests
from lab.lab import Lab
from lab.lxc import Containers
from lab.machine import Machine, Result, _Backend
from lab.model import Scenario
from lab.observer import Observer
from lab.recovery import History
from lab.scenario import load
from lab.status import (
    ClusterStatus,
    FailedAction,
    NodeStatus,
    NoStatus,
    ReplicaStatus,
    ResourceStatus,
)
from lab.vms import VirtualMachines

HOST, GUEST = "example-host", "guest1"
ITSELF = "192.168.122.103"  # the remote node's address
NODE1, NODE2, REMOTE = "node1", "node2", "remote1"
NODES = [HOST, GUEST]
ALL = [*NODES, NODE1, NODE2, REMOTE, "r1", "r2"]
GUESTS = load(paths.SCENARIOS / "guest-walkthrough.yaml")
REMOTES = load(paths.SCENARIOS / "remote-walkthrough.yaml")
VMS = load(paths.SCENARIOS / "vm-remote-nodes.yaml")
WORDS = checks.load().words
DATA = Path(__file__).parent / "data"
Answer = str | int | tuple[int, str] | Result | Exception  # output, exit status, or more


# -- the world ------------------------------------------------------------------------------


@dataclass
class File:
    """What testinfra tells of a file."""

    content_string: str = ""
    mode: int = 0o644
    user: str = "root"
    group: str = "root"
    exists: bool = True

    @property
    def size(self) -> int:
        return len(self.content_string)

    @property
    def sha256sum(self) -> str:
        return f"{hash(self.content_string) & 0xFFFFFFFFFFFFFFFF:016x}"


class Gone:
    """What testinfra tells of a file that is not there: all but that is an error."""

    exists = False

    def __getattr__(self, name: str) -> None:
        raise RuntimeError(f"{name} of a file that is not there")


@dataclass
class Facts:
    """A machine: its files (None: not there), packages, sockets, and answers to commands.

    The keys of `runs` are regular expressions that a command matches as a whole.
    """

    files: dict[str, File | None] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    sockets: tuple[str, ...] = ()
    runs: dict[str, Answer] = field(default_factory=dict)

    @property
    def host(self) -> Facts:
        return self

    def file(self, path: str) -> File | Gone:
        return self.files[path] or Gone()

    def package(self, name: str) -> SimpleNamespace:
        version = self.packages.get(name)
        if version is None:
            return SimpleNamespace(is_installed=False)  # its version is an error
        return SimpleNamespace(is_installed=True, version=version)

    def drop(self) -> None:
        """There is no connection."""

    def socket(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(is_listening=name in self.sockets)

    def run(self, command: str, *, within: float = 30, check: bool = False) -> Result:
        assert within > 0
        for pattern, answer in self.runs.items():
            if re.fullmatch(pattern, command):
                return answered(command, answer, check)
        raise NotImplementedError(f"no script has: {command}")


def answered(command: str, answer: Answer, check: bool = False) -> Result:
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, Result):
        return answer
    code, text = answer if isinstance(answer, tuple) else (0, answer)
    if isinstance(text, int):
        code, text = text, ""
    if check and code:
        raise CommandFailed(f"`{command}` ended with exit status {code}")
    return Result(command, code, text if not code else "", text if code else "", 0.1)


@dataclass
class Virtual:
    """libvirt and the guests' processes on a host."""

    states: dict[str, str] = field(default_factory=dict)
    processes: dict[str, str] = field(default_factory=dict)
    answer: str | Exception = "9.0.0"
    kind: type[Guests] = VirtualMachines
    host: Any = None

    @property
    def process_is(self) -> str:
        return self.kind.process_is

    @property
    def boot_is(self) -> str:
        return self.kind.boot_is

    def version(self) -> str:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def state(self, name: str) -> str:
        return self.states[name]

    def process(self, name: str) -> str:
        return self.processes[name]

    def power_log(self, names: Sequence[str]) -> str:
        host = cast(Any, SimpleNamespace(name=HOST, run=self.host.run))
        return VirtualMachines(host, Path("ssh")).power_log(names)


@dataclass
class World:
    """A lab, as far as checks see it."""

    machines: dict[str, Any] = field(default_factory=dict)
    cluster: ClusterStatus | Exception | None = None
    asked_on: dict[str, ClusterStatus | Exception] = field(default_factory=dict)
    done: list[Result] = field(default_factory=list)
    virtual: Virtual = field(default_factory=Virtual)
    boots: dict[str, str] = field(default_factory=dict)
    answers: list[str] | None = None  # of the probe
    addresses: dict[str, str] = field(
        default_factory=lambda: {
            HOST: "192.168.122.100",
            GUEST: "192.168.122.10",
            NODE1: "192.168.122.101",
            NODE2: "192.168.122.102",
            REMOTE: "192.168.122.103",
        }
    )
    asked: str = HOST
    scenario: Scenario = GUESTS
    bmc_log: list[dict[str, Any]] = field(default_factory=list)
    observer: Observer | None = None

    name = "a-lab"
    platform = platforms.load("debian-12")

    @property
    def provider(self) -> World:
        return self

    def outside(self, lab: str, argv: Sequence[str]) -> list[str]:
        assert lab == self.name
        if self.answers is None:
            return list(argv)  # really tried
        assert argv[:3] == ["python3", "-I", "-c"]
        assert len(json.loads(argv[-1])) == len(self.answers)
        return ["echo", json.dumps(self.answers)]

    def machine(self, node: str) -> Any:
        return self.machines[node]

    def guests(self, host: str, kind: str = "vm") -> Virtual:
        assert host == HOST
        if (kind == "container") != (self.virtual.kind is Containers):
            raise CommandFailed(f"no connection driver for {kind}")
        return replace(self.virtual, host=self.machines.get(host))

    def guests_of(self, guest: str) -> Virtual:
        assert guest == GUEST
        return self.virtual

    def address(self, node: str) -> str:
        return self.addresses[node]

    def boot(self, node: str) -> str:
        return self.boots[node]

    def status(self, node: str = "") -> ClusterStatus:
        found = self.asked_on[node] if node else self.cluster
        if isinstance(found, Exception):
            raise found
        assert found is not None, "no script has the cluster's state"
        return found

    def context(self) -> Context:
        return Context(cast(Lab, self), self.observer, [(done,) for done in self.done])


class Dark:
    """A world in which nothing can be reached."""

    scenario = GUESTS
    platform = World.platform
    name = World.name

    @property
    def bmc_log(self) -> list[dict[str, Any]]:
        raise Unreachable("nothing can be reached")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def nothing(*_: object) -> None:
            raise Unreachable("nothing can be reached")

        return nothing


def on(node: str, **facts: Any) -> World:
    return World({node: Facts(**facts)})


def runs(node: str, command: str, answer: Answer) -> World:
    return on(node, runs={command: answer})


def typed(*outputs: str) -> World:
    return World(done=[Result("", 0, text, "", 0.1) for text in outputs])


# -- clusters -------------------------------------------------------------------------------


def resource(name: str, *nodes: str, role: str = "Started", failed: bool = False) -> ResourceStatus:
    agent = "ocf:pacemaker:Dummy"
    return ResourceStatus(name, agent, role if nodes else "Stopped", nodes, bool(nodes), failed)


def cluster(*resources: ResourceStatus, **facts: Any) -> World:
    """The host is DC, guest1 a guest node, and both are online, unless the facts say otherwise."""
    nodes = facts.pop("nodes", None)
    if nodes is None:
        nodes = (NodeStatus(HOST, "member", True), GUEST_NODE)
    known = {
        "dc": HOST,
        "quorum": True,
        "nodes": {node.name: node for node in nodes},
        "resources": {one.id: one for one in resources},
        "nodes_configured": 2,
        "resources_configured": len(resources),
    }
    return World(cluster=ClusterStatus(**{**known, **facts}))


HOST_NODE = NodeStatus(HOST, "member", True)
GUEST_NODE = NodeStatus(GUEST, "guest", True, guest_of="vm-guest1")
MACHINE = resource("vm-guest1", HOST)
CONNECTION = resource("guest1", HOST)
LOST = FailedAction("guest1_monitor_30000", HOST, "error")
NOT_RUNNING = World(cluster=NoStatus("no cluster status: not connected"))


def recorded(name: str) -> World:
    return World(cluster=status.parse((DATA / f"crm_mon-{name}.xml").read_text()))


def bundled(
    *,
    inside: Answer = "Dummy-FAKE2:0.state ",
    outside: str = "",
    process: Answer = "c2 900 then\n",
    node: NodeStatus | None = None,
    **first: Any,
) -> World:
    """The bundle web with two replicas; the first one, and its container, as it is said here."""
    world = recorded("2.1.5-bundle")
    seen = world.cluster
    assert isinstance(seen, ClusterStatus)
    one, two = seen.bundles["web"]
    nodes = seen.nodes | ({"web-0": node} if node else {})
    world.cluster = replace(seen, nodes=nodes, bundles={"web": (replace(one, **first), two)})
    answers: dict[str, Answer] = {
        "podman exec web-podman-0 find .*": inside,
        "podman exec web-podman-1 find .*": "Dummy-FAKE2:1.state ",
        r"podman inspect --format '\{\{.*\}\}' web-podman-0": process,
        "find /run .*": outside,
    }
    world.machines = {HOST: Facts(runs=answers), GUEST: Facts(runs={"find /run .*": ""})}
    return world


REPLICA = NodeStatus("web-0", "replica", True, guest_of="web-podman-0")
CONTAINER = replace(resource("web-podman-0", HOST), agent="ocf:heartbeat:podman")
WITHOUT_BUNDLES = recorded("2.1.5-started")


def dummies(world: World, **holders: str) -> World:
    """The state files of dummies that each node's machine has."""
    world.machines = {
        node: Facts(runs={"find /run .*": holders.get(node.replace("-", "_"), "")})
        for node in NODES
    }
    return world


def idle(world: World, answer: Answer = "state S_IDLE: ok\n", waited: Answer = "") -> World:
    """What crmadmin says of the DC there, and crm_resource of what is left to do."""
    answers = {f"crmadmin --status={HOST}": answer, "crm_resource --wait --timeout=3": waited}
    world.machines = {HOST: Facts(runs=answers)}
    return world


# -- a remote node, two nodes' views, BMCs ---------------------------------------------------

NODE1_NODE = NodeStatus(NODE1, "member", True)
REMOTE_NODE = NodeStatus(REMOTE, "remote", True)


def remote(*resources: ResourceStatus, nodes: tuple[NodeStatus, ...] = (REMOTE_NODE,)) -> World:
    """A cluster of node1 and node2, with the remote node as it is said here."""
    world = cluster(*resources, nodes=(NODE1_NODE, replace(NODE1_NODE, name=NODE2), *nodes))
    if nodes == (NODE1_NODE,):
        world = cluster(*resources, nodes=nodes)
    world.scenario = REMOTES
    return world


def told(dc: str, *, online: bool = True) -> ClusterStatus:
    """What a node tells: who is DC, and whether that one is online."""
    return ClusterStatus(dc=dc, nodes={NODE1: replace(NODE1_NODE, online=online)})


def two(*views: ClusterStatus | Exception) -> World:
    """What node1 and node2 tell, each asked itself."""
    return World(asked_on=dict(zip((NODE1, NODE2), views, strict=True)), scenario=REMOTES)


def bmc_entry(
    action: str,
    node: str = REMOTE,
    *,
    asker: str = "192.168.122.102",
    problem: str = "",
    **more: Any,
) -> dict[str, Any]:
    """What a BMC writes down; node2 asks, and it does change something, unless it is said
    otherwise.
    """
    if action in ("on", "off", "reset"):
        usual = "off" if action == "on" else "on"
        more = {"was": "" if problem else usual, **more}
    return {"at": 1.0, "node": node, "action": action, "from": asker, "problem": problem, **more}


def bmcs(*entries: dict[str, Any]) -> World:
    return World(bmc_log=list(entries), scenario=REMOTES)


def fence_event(status: str, target: str = REMOTE) -> str:
    return f'<fence_event action="reboot" target="{target}" status="{status}"/>'


def history(*events: str) -> World:
    """What stonith_admin, on the node that is asked, tells of the remote node's fencing."""
    text = f"<pacemaker-result><fence_history>{''.join(events)}</fence_history></pacemaker-result>"
    return runs(HOST, r"stonith_admin --history '\*' --verbose --output-as=xml", text)


def hosted(power: str = "", *fencings: str, refused: int = 0) -> World:
    """The remote node is a virtual machine: what its host's libvirtd and sshd, and the cluster's
    fencing history, tell. `power`: a letter each for Started, Destroyed, Ended otherwise.
    """
    what = {"S": "starting up libvirt", "D": "shutting down, reason=destroyed"}
    lines = [
        f"/var/log/libvirt/qemu/{REMOTE}.log:2026-11-23 03:00:{second:02}.000+0000: "
        f"{what.get(letter, 'shutting down, reason=shutdown')}\n"
        for second, letter in enumerate(power)
    ]
    events = [
        f'<fence_event target="{REMOTE}" status="success" delegate="{by}"/>' for by in fencings
    ]
    answers: dict[str, Answer] = {
        f"grep -aHE .* /var/log/libvirt/qemu/{REMOTE}.log": "".join(lines),
        "journalctl .* -t sshd .*": "Connection closed by authenticating user\n" * refused,
        "stonith_admin --history .*": f"<r>{''.join(events)}</r>",
    }
    return World(machines={HOST: Facts(runs=answers)}, scenario=VMS)


def recovering(*states: tuple[float, bool]) -> World:
    """The time line of a resource that ran, and at these seconds did (not) run."""
    views = [
        (at, ClusterStatus(resources={"FAKE1": resource("FAKE1", *[HOST] * runs_then)}))
        for at, runs_then in states
    ]
    before = ClusterStatus(resources={"FAKE1": resource("FAKE1", HOST)})
    world = World()
    world.observer = cast(Observer, SimpleNamespace(history=History(0.0, before, views)))
    return world


class Lasting:
    """An observer whose resource came into these roles so many seconds ago, '' if it is gone."""

    def __init__(self, *states: tuple[float, str]) -> None:
        self.states = states

    @property
    def history(self) -> History:
        now = time.time()
        views = []
        for ago, role in self.states:
            found = {"FAKE1": replace(resource("FAKE1"), role=role)} if role else {}
            views.append((now - ago, ClusterStatus(resources=found)))
        return History(0.0, ClusterStatus(), views)

    def status(self) -> None:
        pass


def lasting(*states: tuple[float, str]) -> World:
    return World(observer=cast(Observer, Lasting(*states)))


def state_file(answer: Answer) -> World:
    """What stat tells of FAKE1's state file."""
    return runs(HOST, r"stat .*'Dummy-FAKE1\.state'.*", answer)


# -- the table ------------------------------------------------------------------------------


@dataclass
class Case:
    """A check with arguments; a world for which it is true, and those for which it is not,
    each with what must be said of it. `earlier`: the world that it remembers.
    """

    check: str
    arguments: dict[str, Any]
    true: World
    false: list[tuple[World, str]]
    earlier: World | None = None

    @property
    def use(self) -> tuple[Any, dict[str, Any]]:
        return checks.check.use({self.check: self.arguments}, ALL)

    def look(self, world: World, earlier: World | None = None) -> Seen:
        word, arguments = self.use
        more = {}
        if word.remember:
            before = earlier or self.earlier
            assert before is not None, f"{self.check} remembers: the case needs `earlier`"
            more = {"before": word.remember(before.context(), **arguments)}
        seen = word.function(world.context(), **arguments, **more)
        assert isinstance(seen, Seen)
        return seen


CONF = "totem {{\n    version: 2\n    cluster_name: {}\n}}\nnodelist {{\n{}}}\n"


def conf(name: str, *members: str) -> File:
    entries = "".join(
        f"    node {{\n        ring0_addr: {member}.x\n        name: {member}\n    }}\n"
        for member in members
    )
    return File(CONF.format(name, entries))


def old_conf(name: str, *members: str) -> File:
    """As pcs 0.9 writes it: a node has no name but that in the place of its address."""
    entries = "".join(
        f"    node {{\n        ring0_addr: {member}\n        nodeid: {number}\n    }}\n\n"
        for number, member in enumerate(members, 1)
    )
    return File(CONF.format(name, entries))


def confs(host: File | None, guest: File | None) -> World:
    path = "/etc/corosync/corosync.conf"
    return World({HOST: Facts(files={path: host}), GUEST: Facts(files={path: guest})})


def unit(load: str, active: str, enabled: str, exit_status: int = 0) -> World:
    text = f"LoadState={load}\nActiveState={active}\nUnitFileState={enabled}\n"
    return runs(GUEST, "systemctl show .* pacemaker_remote", (exit_status, text))


def restarted(process: str, boot: str) -> World:
    world = runs(GUEST, "cat /proc/sys/kernel/random/boot_id", f"{boot}\n")
    world.virtual.processes = {GUEST: process}
    return world


def new_container(process: str, boot: str) -> World:
    """Its boot_id is that of the host's kernel: only its PID 1 tells."""
    world = restarted(process, "")
    world.machines[GUEST].runs = {"cut -d' ' -f22 /proc/1/stat": f"{boot}\n"}
    world.virtual.kind = Containers
    return world


def rebooted(boot: str, answer: Answer = "running\n") -> World:
    world = runs(HOST, "systemctl is-system-running", answer)
    world.boots = {HOST: boot}
    return world


def probed(*answers: str) -> World:
    return World(answers=list(answers))


COROSYNC = "udp://192.168.122.100:5405"


def silent(*sockets: str, tcp: str = "accepted") -> World:
    """The host, with these sockets that are listened on; there is no answer from 5405/udp."""
    world = on(HOST, sockets=sockets)
    world.answers = ["refused", tcp, "refused", "silent"]
    return world


def from_host(answer: Answer) -> World:
    return runs(HOST, r"python3 -I -c .*", answer)


# -- connections of the cluster --------------------------------------------------------------


def sockets(*lines: tuple[str, str]) -> World:
    """What ss tells on the host: each line a peer and the process that is connected to it."""
    text = "".join(
        f'0      0      192.168.122.100:51184 {peer} users:(("{process}",pid=4855,fd=14)) \n'
        for peer, process in lines
    )
    heading = "Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n"
    return runs(HOST, "ss -t -n -p state established", heading + text)


def operation(
    name: str, at: int, *, id_: str = "last_0", status: str = "0", reason: str = ""
) -> str:
    """An operation on record: when it began, how it ended ("2" is timed out, "-1" pending)."""
    return (
        f'<lrm_rsc_op id="{GUEST}_{id_}" operation="{name}" op-status="{status}" '
        f'last-rc-change="{at}" exit-reason="{reason}" exec-time="0"/>'
    )


def failure(name: str, at: int, *, status: str = "2", reason: str = "timed out") -> str:
    return operation(name, at, id_="last_failure_0", status=status, reason=reason)


def history_of(
    *operations: str, resource: str = GUEST, last: tuple[str, int] | None = None
) -> World:
    """A CIB with these operations, and with a `last-failure` of an operation at a time."""
    attribute = ""
    if last:
        name = f"last-failure-{resource}#{last[0]}"
        attribute = f'<nvpair id="a" name="{name}" value="{last[1]}"/>'
    return a_cib(
        f'<node_state uname="{HOST}"><lrm><lrm_resources><lrm_resource id="{resource}">'
        f"{''.join(operations)}</lrm_resource></lrm_resources></lrm><transient_attributes>"
        f"<instance_attributes>{attribute}</instance_attributes></transient_attributes>"
        "</node_state>"
    )


def a_cib(states: str, nodes: str = "") -> World:
    text = (
        f"<cib><configuration><nodes>{nodes}</nodes></configuration><status>{states}</status></cib>"
    )
    return runs(HOST, "cibadmin --query", text)


def known(*, node: str = "", state: str = "") -> World:
    """A CIB with an entry of that name among its nodes, and one in its status."""
    return a_cib(
        f'<node_state uname="{HOST}"/>' + (f'<node_state uname="{state}"/>' if state else ""),
        f'<node uname="{HOST}"/>' + (f'<node uname="{node}"/>' if node else ""),
    )


METADATA = """<resource-agent name="remote"><parameters>
<parameter name="server"><content type="string"/></parameter>
<parameter name="port"><content type="integer" default="3121"/></parameter>
</parameters></resource-agent>"""


def metadata(answer: Answer) -> World:
    return runs(HOST, "crm_resource --show-metadata ocf:pacemaker:remote", answer)


CONTROLLER = "pacemaker-contr"


FAKES = ["FAKE1", "FAKE2"]
FIVE = ["FAKE1", "FAKE2", "FAKE3", "FAKE4", "FAKE5"]
FILE = "/run/resource-agents/Dummy-{}.state\n"
SPREAD = (resource("FAKE1", HOST), resource("FAKE2", GUEST))
BOTH = {"resources": FAKES, "nodes": NODES}
PGREP = "pgrep .*corosync.*"
ASK = "crm_attribute --type crm_config --name stonith-enabled --query --quiet"
SSH = "ssh .* 192.168.122.10 hostname"
PING = "ping .* 192.168.122.10"
META = "crm_resource --resource vm-guest1 --meta --get-parameter remote-node"
FETCH = "python3 -I -c .* 192.168.122.10 80 /"
KEY = "/etc/pacemaker/authkey"
FOUR = ["2224/tcp", "3121/tcp", "21064/tcp", "5405/udp"]

CASES = [
    Case(
        "corosync_conf",
        {"nodes": NODES, "cluster": "mycluster", "members": NODES},
        confs(conf("mycluster", *NODES), conf("mycluster", *NODES)),
        [
            (confs(None, None), f"not there on {HOST}, {GUEST}"),
            (confs(conf("mycluster", *NODES), None), f"not there on {GUEST}"),
            (confs(conf("mycluster", *NODES), conf("mycluster", HOST)), "differs"),
            (confs(conf("other", *NODES), conf("other", *NODES)), "cluster other"),
            (confs(conf("mycluster", HOST), conf("mycluster", HOST)), f"nodes {HOST}"),
            (
                confs(conf("mycluster", *NODES, "third"), conf("mycluster", *NODES, "third")),
                "third",
            ),
            (confs(conf("mycluster2", *NODES), conf("mycluster2", *NODES)), "mycluster2"),
            (confs(File(), File()), "cluster (none), nodes (none)"),
            (confs(File("# cluster_name: mycluster"), File("# cluster_name: mycluster")), "none"),
        ],
    ),
    Case(
        "corosync_conf",
        {"nodes": NODES, "cluster": "mycluster", "members": NODES},
        confs(old_conf("mycluster", *NODES), old_conf("mycluster", *NODES)),
        [
            (confs(old_conf("mycluster", HOST), old_conf("mycluster", HOST)), f"nodes {HOST}"),
            (confs(old_conf("other", *NODES), old_conf("other", *NODES)), "cluster other"),
        ],
    ),
    Case("no_dc", {}, cluster(dc=""), [(cluster(), f"DC {HOST}")]),
    Case(
        "dc",
        {"node": HOST},
        cluster(),
        [
            (cluster(dc=""), "DC none"),
            (cluster(dc=GUEST), f"DC {GUEST}"),
            (cluster(nodes=(replace(HOST_NODE, online=False),)), "offline"),
            (cluster(nodes=()), "absent"),
        ],
    ),
    Case("quorum", {}, cluster(), [(cluster(quorum=False), "no quorum")]),
    Case(
        "cluster_stopped",
        {"nodes": [HOST]},
        runs(HOST, PGREP, 1),
        [
            (runs(HOST, PGREP, "17 corosync\n"), f"running: corosync on {HOST}"),
            (runs(HOST, PGREP, "17 corosync\n18 pacemakerd\n"), f"pacemakerd on {HOST}"),
            (runs(HOST, PGREP, "19 pacemaker-contr\n"), "pacemaker-contr"),
            (runs(HOST, PGREP, (127, "pgrep: not found")), "not found"),
            (runs(HOST, PGREP, (3, "no /proc")), "no /proc"),
        ],
    ),
    Case(
        "cluster_stopped",
        {"nodes": NODES},
        World({HOST: Facts(runs={PGREP: 1}), GUEST: Facts(runs={PGREP: 1})}),
        [
            (
                World({HOST: Facts(runs={PGREP: 1}), GUEST: Facts(runs={PGREP: "7 corosync"})}),
                f"corosync on {GUEST}",
            )
        ],
    ),
    Case(
        "nodes_online",
        {"nodes": NODES},
        cluster(),
        [
            (cluster(nodes=()), f"{HOST} absent, {GUEST} absent"),
            (cluster(nodes=(HOST_NODE,)), f"{GUEST} absent"),
            (cluster(nodes=(HOST_NODE, replace(GUEST_NODE, online=False))), f"{GUEST} offline"),
            (cluster(nodes=(HOST_NODE, replace(GUEST_NODE, unclean=True))), "unclean"),
            (cluster(nodes=(replace(HOST_NODE, standby=True), GUEST_NODE)), "standby"),
            (cluster(nodes=(replace(HOST_NODE, pending=True), GUEST_NODE)), "pending"),
        ],
    ),
    Case(
        "configured",
        {"nodes": 2, "resources": 2},
        cluster(MACHINE, CONNECTION),
        [
            (cluster(MACHINE), "2 nodes and 1 resource"),
            (cluster(MACHINE, CONNECTION, nodes_configured=1), "1 node and 2 resources"),
            (cluster(nodes_configured=0), "0 nodes and 0 resources"),
        ],
    ),
    Case(
        "cluster_settled",
        {},
        idle(cluster(*SPREAD), f"Controller on {HOST} in state S_IDLE: ok\n"),
        [
            (
                idle(cluster(*SPREAD), f"Controller on {HOST} in state S_TRANSITION_ENGINE: ok"),
                "S_T",
            ),
            (idle(cluster(*SPREAD), (102, "S_IDLE")), "S_IDLE"),
            (idle(cluster(*SPREAD), waited=(124, "Pending actions: FAKE1")), "Pending actions"),
            (cluster(*SPREAD, dc=""), "no DC"),
            (cluster(resource("FAKE1", HOST, role="Stopping")), "FAKE1 Stopping"),
        ],
    ),
    Case(
        "property_is",
        {"name": "stonith-enabled", "value": "false"},
        runs(HOST, ASK, "false\n"),
        [
            (runs(HOST, ASK, "true\n"), "true"),
            (runs(HOST, ASK, (6, "No such device or address")), "No such device"),
            (runs(HOST, ASK, 102), "exit status 102"),
            (runs(HOST, ASK, (1, "false")), "false"),
            (runs(HOST, ASK, "falsehood\n"), "falsehood"),
            (runs(HOST, ASK, ""), "empty"),
        ],
    ),
    Case(
        "meta_attribute",
        {"resource": "vm-guest1", "name": "remote-node", "value": "guest1"},
        runs(HOST, META, "guest1\n"),
        [
            (runs(HOST, META, "guest2\n"), "guest2"),
            (runs(HOST, META, (6, "No such device or address")), "No such device"),
            (runs(HOST, META, 102), "exit status 102"),
            (runs(HOST, META, ""), "empty"),
        ],
    ),
    Case(
        "guest_online",
        {"guest": GUEST, "host": HOST},
        cluster(MACHINE, CONNECTION),
        [
            (cluster(nodes=(HOST_NODE,)), "no such node"),
            (cluster(), "vm-guest1 absent"),
            (cluster(MACHINE), "guest1 absent"),
            (cluster(CONNECTION), "vm-guest1 absent"),
            (cluster(resource("vm-guest1"), CONNECTION), "vm-guest1 Stopped"),
            (cluster(MACHINE, resource("guest1")), "guest1 Stopped"),
            (cluster(resource("vm-guest1", "other"), CONNECTION), "vm-guest1 Started other"),
            (cluster(MACHINE, resource("guest1", "other")), "guest1 Started other"),
            (cluster(resource("vm-guest1", HOST, "other"), CONNECTION), "other"),
            (cluster(resource("vm-guest1", HOST, role="Stopping"), CONNECTION), "Stopping"),
            (
                cluster(MACHINE, CONNECTION, nodes=(HOST_NODE, replace(GUEST_NODE, online=False))),
                "offline",
            ),
            (
                cluster(MACHINE, CONNECTION, nodes=(HOST_NODE, replace(GUEST_NODE, unclean=True))),
                "unclean",
            ),
            (
                cluster(MACHINE, CONNECTION, nodes=(HOST_NODE, NodeStatus(GUEST, "remote", True))),
                "remote node",
            ),
            (
                cluster(MACHINE, CONNECTION, nodes=(HOST_NODE, NodeStatus(GUEST, "member", True))),
                "member node",
            ),
            (recorded("2.1.5-guest-lost"), "offline"),
        ],
    ),
    Case("guest_online", {"guest": GUEST, "host": HOST}, recorded("2.1.5-recovered"), []),
    Case(
        "node_lost",
        {"node": GUEST},
        recorded("2.1.5-guest-lost"),
        [(cluster(), "online"), (recorded("2.1.5-recovered"), "online")],
    ),
    Case("node_lost", {"node": GUEST}, cluster(nodes=(HOST_NODE,)), []),
    Case(
        "node_lost",
        {"node": HOST},
        cluster(nodes=(replace(HOST_NODE, online=False, unclean=True), GUEST_NODE)),
        [(cluster(nodes=(replace(HOST_NODE, unclean=True),)), "online unclean")],
    ),
    Case(
        "node_state",
        {"node": HOST, "state": "offline unclean"},
        cluster(nodes=(replace(HOST_NODE, online=False, unclean=True), GUEST_NODE)),
        [
            (cluster(), "online"),
            (cluster(nodes=(replace(HOST_NODE, online=False),)), "offline"),
            (cluster(nodes=(replace(HOST_NODE, unclean=True),)), "online unclean"),
            (cluster(nodes=(GUEST_NODE,)), "absent"),
        ],
    ),
    Case(
        "node_state",
        {"node": GUEST, "state": "absent"},
        cluster(nodes=(HOST_NODE,)),
        [(cluster(), "online")],
    ),
    Case(
        "remote_online",
        {"remote": REMOTE},
        remote(resource(REMOTE, NODE2)),
        [
            (remote(resource(REMOTE, NODE2), nodes=(NODE1_NODE,)), "no such node"),
            (remote(), "no connection"),
            (remote(resource("remote12", NODE2)), "no connection"),
            (remote(resource(REMOTE)), "online, connection Stopped"),
            (remote(resource(REMOTE, NODE2, failed=True)), "failed"),
            (remote(resource(REMOTE, NODE2, role="Starting")), "Starting"),
            (remote(resource(REMOTE, NODE1, NODE2)), "node1 node2"),
            (remote(resource(REMOTE, "node3")), "Started node3"),
            (remote(resource(REMOTE, REMOTE)), "Started remote1"),  # no cluster node
            (
                remote(resource(REMOTE, NODE2), nodes=(replace(REMOTE_NODE, online=False),)),
                "offline",
            ),
            (
                remote(resource(REMOTE, NODE2), nodes=(replace(REMOTE_NODE, unclean=True),)),
                "online unclean",
            ),
            (
                remote(resource(REMOTE, NODE2), nodes=(replace(REMOTE_NODE, kind="guest"),)),
                "guest node",
            ),
            (
                remote(resource(REMOTE, NODE2), nodes=(replace(REMOTE_NODE, kind="member"),)),
                "member node",
            ),
        ],
    ),
    Case(
        "remote_online",
        {"remote": REMOTE, "host": NODE1},
        remote(resource(REMOTE, NODE1)),
        [(remote(resource(REMOTE, NODE2)), "Started node2")],
    ),
    Case(
        "one_dc",
        {"nodes": [NODE1, NODE2]},
        two(told(NODE1), told(NODE1)),
        [
            (two(told(NODE1), told(NODE2)), "node1: DC node1, node2: DC node2"),
            (two(told(NODE1), told("")), "node2: DC none"),
            (two(told(""), told("")), "node1: DC none, node2: DC none"),
            (two(told(NODE1, online=False), told(NODE1)), "node1: DC node1, node2: DC node1"),
            (two(told(NODE1), told(NODE1, online=False)), "DC node1"),
            (two(told("node3"), told("node3")), "DC node3"),  # no node that they know
            (two(told(NODE1), NoStatus("not connected")), "not connected"),
        ],
    ),
    Case(
        "resources_together",
        {"resources": FAKES},
        cluster(resource("FAKE1", GUEST), resource("FAKE2", GUEST)),
        [
            (cluster(*SPREAD), f"FAKE1 Started {HOST}, FAKE2 Started {GUEST}"),
            (cluster(SPREAD[0]), "FAKE2 absent"),
            (cluster(), "FAKE1 absent, FAKE2 absent"),
            (cluster(resource("FAKE1"), resource("FAKE2")), "FAKE1 Stopped, FAKE2 Stopped"),
            (cluster(resource("FAKE1", HOST), resource("FAKE2")), "FAKE2 Stopped"),
            (
                cluster(resource("FAKE1", HOST), resource("FAKE2", HOST, role="Stopping")),
                "Stopping",
            ),
            (
                cluster(resource("FAKE1", HOST, GUEST), resource("FAKE2", HOST, GUEST)),
                f"{HOST} {GUEST}",
            ),
        ],
    ),
    Case(
        "really_runs",
        {"resource": "FAKE1", "nodes": NODES},
        dummies(
            World(),
            example_host=FILE.format("FAKE1"),
            guest1=FILE.format("FAKE2") + FILE.format("FAKE1"),
        ),
        [
            (dummies(World()), "nowhere"),
            (dummies(World(), example_host=FILE.format("FAKE1")), HOST),
            (
                dummies(World(), example_host=FILE.format("FAKE12"), guest1=FILE.format("FAKE1")),
                GUEST,
            ),
        ],
    ),
    Case(
        "really_runs",
        {"resource": "FAKE1", "nodes": [HOST]},
        dummies(World(), example_host=FILE.format("FAKE1")),
        [
            (
                dummies(World(), example_host=FILE.format("FAKE1"), guest1=FILE.format("FAKE1")),
                f"{HOST}, {GUEST}",
            ),
            (dummies(World(), guest1=FILE.format("FAKE1")), GUEST),
        ],
    ),
    Case(
        "runs_twice",
        {"resource": "FAKE1", "besides": GUEST},
        dummies(World(), example_host=FILE.format("FAKE1"), guest1=FILE.format("FAKE1")),
        [
            (dummies(World()), "nowhere"),
            (dummies(World(), guest1=FILE.format("FAKE1")), GUEST),
            (dummies(World(), example_host=FILE.format("FAKE1")), HOST),
        ],
    ),
    Case(
        "fenced",
        {"node": REMOTE},
        bmcs(bmc_entry("off"), bmc_entry("on")),
        [
            (bmcs(), "its BMC did nothing"),
            (bmcs(bmc_entry("off")), "off (was on) for node2"),
            (bmcs(bmc_entry("on", was="on")), "on (was on) for node2"),
            (
                bmcs(bmc_entry("on", was="on"), bmc_entry("off")),
                "on (was on) for node2, off (was on) for node2",
            ),
            (bmcs(bmc_entry("off", problem="x"), bmc_entry("on", was="on")), "on (was on)"),
            (bmcs(bmc_entry("off"), bmc_entry("on", problem="x")), "off (was on) for node2"),
            (bmcs(bmc_entry("reset", problem="x")), "nothing"),
            (bmcs(bmc_entry("on", problem="x", was="off")), "nothing"),
            (bmcs(bmc_entry("status", state="off"), bmc_entry("on", was="on")), "on (was on)"),
            (bmcs(bmc_entry("off", NODE1), bmc_entry("on", NODE1)), "nothing"),  # another one's
            (bmcs(bmc_entry("off"), bmc_entry("on", asker="192.168.122.1")), "192.168.122.1"),
            (bmcs(bmc_entry("reset", asker="192.168.122.103")), "reset (was on) for remote1"),
            (bmcs(bmc_entry("refused login", problem="x")), "nothing"),
        ],
        earlier=bmcs(),
    ),
    Case("fenced", {"node": REMOTE}, bmcs(bmc_entry("reset")), [], earlier=bmcs()),
    Case(
        "fenced",
        {"node": REMOTE},  # it had no power already
        bmcs(bmc_entry("on", was="off")),
        [
            (bmcs(bmc_entry("status", state="off")), "nothing"),
            (bmcs(bmc_entry("off", was="off")), "off (was off) for node2"),
        ],
        earlier=bmcs(),
    ),
    Case(
        "fenced",
        {"node": REMOTE, "by": NODE2},
        bmcs(bmc_entry("off"), bmc_entry("on"), bmc_entry("off"), bmc_entry("on")),
        [
            (bmcs(bmc_entry("off"), bmc_entry("on")), "nothing"),  # those were before
            (
                bmcs(
                    bmc_entry("off"), bmc_entry("on"), bmc_entry("reset", asker="192.168.122.101")
                ),
                "reset (was on) for node1",
            ),
        ],
        earlier=bmcs(bmc_entry("off"), bmc_entry("on")),
    ),
    Case(  # a virtual machine on a hypervisor
        "fenced",
        {"node": REMOTE},
        hosted("SDS", NODE1),
        [
            (hosted("S"), "its hypervisor did nothing"),
            (hosted("SD", NODE1), "off (was on); in"),
            (hosted("SE", NODE1), "its hypervisor did nothing"),
            (hosted("S", NODE1), "did nothing"),  # so only the cluster says
            (hosted("SDS"), "nobody fenced it"),  # so somebody else did it
            (hosted("SDS", REMOTE), "remote1 fenced it"),
            (hosted("SDS", NODE1, REMOTE), "node1, remote1 fenced it"),
        ],
        earlier=hosted("S"),
    ),
    Case(
        "fenced",
        {"node": REMOTE, "by": NODE2},
        hosted("SDSES", NODE1, NODE2),  # it had no power already
        [
            (hosted("SDSES", NODE1), "nobody fenced it"),
            (hosted("SDSES", NODE1, NODE1), "node1 fenced it"),
            (hosted("SDSE", NODE1, NODE2), "did nothing"),
        ],
        earlier=hosted("SDS", NODE1),
    ),
    Case(
        "not_fenced",
        {"node": REMOTE},
        hosted("SDS"),
        [(hosted("SDSD"), "off (was on)"), (hosted("SDSS"), "on (was off)")],
        earlier=hosted("SDS"),
    ),
    Case(
        "login_refused",
        {"node": REMOTE},
        hosted(refused=3),
        [(hosted(refused=2), "none"), (hosted("SDS", NODE1), "none")],
        earlier=hosted(refused=2),
    ),
    Case(
        "not_fenced",
        {"node": REMOTE},
        bmcs(
            bmc_entry("reset"),
            bmc_entry("status", state="on"),
            bmc_entry("reset", NODE1),
            bmc_entry("refused login", problem="x"),
            bmc_entry("off", problem="it hangs"),
        ),
        [
            (bmcs(bmc_entry("reset"), bmc_entry("reset")), "reset (was on) for node2"),
            (bmcs(bmc_entry("reset"), bmc_entry("off")), "off (was on) for node2"),
            (bmcs(bmc_entry("reset"), bmc_entry("on")), "on (was off) for node2"),
        ],
        earlier=bmcs(bmc_entry("reset")),
    ),
    Case(
        "login_refused",
        {"node": REMOTE},
        bmcs(bmc_entry("refused login", problem="old"), bmc_entry("refused login", problem="no")),
        [
            (bmcs(bmc_entry("refused login", problem="old")), "none"),
            (bmcs(bmc_entry("reset"), bmc_entry("reset")), "none"),
            (bmcs(bmc_entry("reset"), bmc_entry("refused login", NODE1)), "none"),
        ],
        earlier=bmcs(bmc_entry("refused login", problem="old")),
    ),
    Case(
        "fencing_failed",
        {"node": REMOTE, "times": 2},
        history(fence_event("success"), *[fence_event("failed")] * 3),
        [
            (history(), "more"),
            (history(*[fence_event("failed")] * 2), "1 more"),
            (history(fence_event("failed"), *[fence_event("success")] * 2), "0 more"),
            (history(fence_event("failed"), *[fence_event("pending")] * 2), "0 more"),
            (history(fence_event("failed"), *[fence_event("failed", "remote12")] * 2), "0 more"),
            (runs(HOST, "stonith_admin .*", (102, "not connected")), "not connected"),
            (runs(HOST, "stonith_admin .*", ""), "told nothing"),
        ],
        earlier=history(fence_event("failed")),
    ),
    Case(
        "fencing_failed",
        {"node": REMOTE},
        history(fence_event("failed")),
        [(history(fence_event("success")), "0 more")],
        earlier=history(),
    ),
    Case(
        "asked_no_bmc",
        {"node": REMOTE},
        bmcs(bmc_entry("off", asker=ITSELF), bmc_entry("status", state="on")),
        [
            (bmcs(bmc_entry("reset"), bmc_entry("status", NODE1, asker=ITSELF)), "those of node1"),
            (
                bmcs(bmc_entry("reset"), bmc_entry("refused login", asker=ITSELF, problem="x")),
                "those of remote1",
            ),
        ],
        earlier=bmcs(bmc_entry("off", asker=ITSELF)),
    ),
    Case(
        "not_rebooted",
        {"node": HOST},
        World(boots={HOST: "boot 1"}),
        [(World(boots={HOST: "boot 2"}), "another"), (World(boots={HOST: ""}), "another")],
        earlier=World(boots={HOST: "boot 1"}),
    ),
    Case(
        "recovery",
        {"phases": ["detected", "recovered"]},
        recovering((1.0, False), (2.5, True)),
        [
            (recovering(), "not detected, not fenced, not recovered"),
            (recovering((1.0, False)), "detected +1.0 s, not fenced, not recovered"),
            (recovering((1.0, True)), "not recovered"),  # nothing was ever lost
            (recovering((1.0, False), (2.0, True), (3.0, False)), "not recovered"),
        ],
    ),
    Case(
        "role_lasts",
        {"resource": "FAKE1", "role": "Starting", "seconds": 8},
        lasting((30, "Stopped"), (20, "Starting"), (2, "Starting")),
        [
            (lasting((5, "Starting")), "Starting for 5 s"),
            (lasting((15, "Starting"), (10, "Stopped"), (4, "Starting")), "Starting for 5 s"),
            (lasting((10, "Starting"), (5, "Stopped")), "Starting for 5 s"),
            (lasting((20, "Stopped")), "Stopped"),
            (lasting((20, "")), "absent"),
            (lasting(), "no change"),
        ],
    ),
    Case(
        "role_lasts",
        {"resource": "FAKE1", "role": "Stopped", "seconds": 8},
        lasting((30, "Stopped"), (20, "Starting"), (10, "Started")),  # over when it was looked for
        [(lasting((30, "Starting"), (20, "Stopped"), (15, "")), "Stopped for 5 s")],
    ),
    Case(
        "dummy_not_restarted",
        {"resource": "FAKE1", "node": HOST},
        state_file("17 2026-03-01 14:05:06.000000001 +0000"),
        [
            (state_file("18 2026-03-01 14:05:06.000000001 +0000"), "18"),
            (state_file("17 2026-03-01 14:05:07.000000001 +0000"), "14:05:07"),
            (state_file((1, "stat: missing operand")), "none"),
        ],
        earlier=state_file("17 2026-03-01 14:05:06.000000001 +0000"),
    ),
    Case(
        "resource_started",
        {"resource": "vm-guest1", "node": HOST},
        cluster(MACHINE),
        [
            (cluster(), "no such resource"),
            (cluster(CONNECTION), "no such resource"),
            (cluster(resource("vm-guest12", HOST)), "no such resource"),
            (cluster(resource("vm-guest1")), "Stopped"),
            (cluster(resource("vm-guest1", GUEST)), f"Started {GUEST}"),
            (cluster(resource("vm-guest1", HOST, GUEST)), f"Started {HOST} {GUEST}"),
            (cluster(resource("vm-guest1", HOST, failed=True)), "failed"),
            (cluster(resource("vm-guest1", HOST, role="Starting")), "Starting"),
        ],
    ),
    Case(
        "resource_started",
        {"resource": "vm-guest1"},
        cluster(resource("vm-guest1", GUEST)),  # wherever
        [
            (cluster(), "no such resource"),
            (cluster(resource("vm-guest1")), "Stopped"),
            (cluster(resource("vm-guest1", HOST, GUEST)), f"{HOST} {GUEST}"),
            (cluster(resource("vm-guest1", HOST, failed=True)), "failed"),
            (cluster(resource("vm-guest1", HOST, role="Starting")), "Starting"),
        ],
    ),
    Case(
        "resource_role",
        {"resource": "vm-guest1", "role": "Stopped"},
        cluster(resource("vm-guest1")),
        [
            (cluster(), "absent"),
            (cluster(MACHINE), f"Started {HOST}"),
            (cluster(resource("vm-guest1", HOST, role="Stopping")), "Stopping"),
        ],
    ),
    Case(
        "resource_role",
        {"resource": "vm-guest1", "role": "Starting"},
        cluster(resource("vm-guest1", HOST, role="Starting")),
        [(cluster(MACHINE), f"Started {HOST}"), (cluster(resource("vm-guest1")), "Stopped")],
    ),
    Case(
        "resources_spread",
        BOTH,
        cluster(*SPREAD),
        [
            (cluster(), "FAKE1 absent, FAKE2 absent"),
            (cluster(SPREAD[0]), "FAKE2 absent"),
            (cluster(resource("FAKE1", HOST), resource("FAKE2", HOST)), f"FAKE2 Started {HOST}"),
            (cluster(resource("FAKE1", HOST), resource("FAKE2")), "FAKE2 Stopped"),
            (cluster(resource("FAKE1", HOST), resource("FAKE2", GUEST, HOST)), "FAKE2"),
            (cluster(resource("FAKE1", HOST), resource("FAKE2", "other")), "other"),
            (cluster(SPREAD[0], resource("FAKE2", GUEST, failed=True)), "failed"),
            (cluster(SPREAD[0], resource("FAKE2", GUEST, role="Starting")), "Starting"),
            (cluster(SPREAD[0], resource("FAKE3", GUEST)), "FAKE2 absent"),
        ],
    ),
    Case(
        "resources_spread",
        {"resources": FIVE, "nodes": NODES},
        recorded("2.1.5-recovered"),
        [(recorded("2.1.5-guest-lost"), "FAKE1 Stopped")],
    ),
    Case(
        "dummies_real",
        {"resources": FAKES},
        dummies(
            cluster(*SPREAD),
            example_host=FILE.format("FAKE1") + FILE.format("OTHER"),
            guest1=FILE.format("FAKE2"),
        ),
        [
            (dummies(cluster(*SPREAD)), "FAKE1"),
            (dummies(cluster(*SPREAD), example_host=FILE.format("FAKE1")), "FAKE2"),
            (
                dummies(
                    cluster(*SPREAD),
                    example_host=FILE.format("FAKE1") + FILE.format("FAKE2"),
                    guest1=FILE.format("FAKE2"),
                ),
                "FAKE2",
            ),
            (
                dummies(
                    cluster(*SPREAD),
                    example_host=FILE.format("FAKE2"),
                    guest1=FILE.format("FAKE1"),
                ),
                "FAKE1",
            ),
            (dummies(cluster(resource("FAKE1"), resource("FAKE2"))), "FAKE1"),
            (dummies(cluster()), "FAKE2"),
            (dummies(cluster(nodes=())), "FAKE1"),
            (
                dummies(  # a node that the cluster does not list runs one too
                    cluster(resource("FAKE1", HOST), resource("FAKE2", HOST), nodes=(HOST_NODE,)),
                    example_host=FILE.format("FAKE1") + FILE.format("FAKE2"),
                    guest1=FILE.format("FAKE1"),
                ),
                f"FAKE1: cluster says ['{HOST}'], file on",
            ),
        ],
    ),
    Case(
        "failed_action",
        {"resource": "guest1", "operation": "monitor"},
        recorded("2.1.5-guest-lost"),
        [
            (cluster(), "no failed action"),
            (cluster(failed=(replace(LOST, key="vm-guest1_monitor_10000"),)), "vm-guest1_monitor"),
            (cluster(failed=(replace(LOST, key="guest1_start_0"),)), "guest1_start_0"),
            (cluster(failed=(replace(LOST, key="guest12_monitor_0"),)), "guest12"),
            (cluster(failed=(replace(LOST, key="guest1_x_monitor_0"),)), "guest1_x"),
        ],
    ),
    Case(
        "failed_action",
        {"resource": "guest1", "operation": "monitor", "reason": "Key was rejected"},
        cluster(failed=(LOST, replace(LOST, reason="Key was rejected by service"))),
        [
            (cluster(failed=(LOST,)), "guest1_monitor_30000 on example-host: error"),
            (cluster(failed=(replace(LOST, reason="Connection refused"),)), "(Connection refused)"),
            (
                cluster(failed=(replace(LOST, key="guest1_start_0", reason="Key was rejected"),)),
                "guest1_start_0",
            ),
        ],
    ),
    Case(
        "no_failed_action_of",
        {"resource": "vm-guest1"},
        cluster(MACHINE, failed=(LOST,)),
        [
            (cluster(MACHINE, failed=(replace(LOST, key="vm-guest1_monitor_0"),)), "vm-guest1_mon"),
            (cluster(MACHINE, failed=(LOST, replace(LOST, key="vm-guest1_start_0"))), "start"),
            (cluster(), "no such resource"),
        ],
    ),
    Case("no_failed_actions", {}, cluster(), [(cluster(failed=(LOST,)), "guest1_monitor_30000")]),
    Case(
        "crm_mon_on",
        {"node": GUEST, "sees": HOST},
        World(asked_on={GUEST: ClusterStatus(nodes={HOST: HOST_NODE})}),
        [
            (World(asked_on={GUEST: NoStatus("not connected")}), "not connected"),
            (World(asked_on={GUEST: ClusterStatus(nodes={GUEST: GUEST_NODE})}), "absent"),
            (
                World(
                    asked_on={
                        GUEST: ClusterStatus(
                            nodes={HOST: replace(HOST_NODE, online=False), GUEST: GUEST_NODE}
                        )
                    }
                ),
                "offline",
            ),
        ],
    ),
    Case(
        "answers",
        {"command": 2, "pattern": "^node 1: .*online$"},
        typed("", "first\nnode 1: guest, online\n"),
        [
            (typed("node 1: online", ""), "nothing"),
            (typed("node 1: online", "node 1: offline"), "offline"),
            (typed("", "the node 1: online"), "the node"),
            (
                World(done=[Result("", 0, "", "", 0), Result("", 0, "", "node 1: online", 0)]),
                "nothing",
            ),
        ],
    ),
    Case(
        "libvirt_answers",
        {"host": HOST},
        World(),
        [(World(virtual=Virtual(answer=CommandFailed("libvirtd: refused"))), "refused")],
    ),
    Case(
        "libvirt_answers",
        {"host": HOST, "kind": "container"},
        World(virtual=Virtual(kind=Containers)),
        [(World(), "no connection driver")],
    ),
    Case(
        "domain_state",
        {"guest": GUEST, "state": "running"},
        World(virtual=Virtual({GUEST: "running"})),
        [
            (World(virtual=Virtual({GUEST: "shut off"})), "shut off"),
            (World(virtual=Virtual({GUEST: "undefined"})), "undefined"),
        ],
    ),
    Case(
        "guest_restarted",
        {"guest": GUEST},
        restarted("9 900", "b2"),
        [
            (restarted("7 100", "b2"), "the same QEMU process"),
            (restarted("", "b2"), "no QEMU process"),
            (restarted("9 900", "b1"), "the same boot"),
            (restarted("9 900", ""), "the same boot"),
        ],
        earlier=restarted("7 100", "b1"),
    ),
    Case(
        "guest_not_restarted",
        {"guest": GUEST},
        restarted("7 100", "b1"),
        [
            (restarted("9 900", "b2"), "another QEMU process, another boot"),
            (restarted("9 900", "b1"), "another QEMU process"),
            (restarted("7 100", "b2"), "another boot"),
            (restarted("7 100", ""), "no boot"),
            (restarted("", "b1"), "no QEMU process"),
        ],
        earlier=restarted("7 100", "b1"),
    ),
    Case(
        "guest_restarted",
        {"guest": GUEST},
        new_container("9 900", "91000"),
        [
            (new_container("7 100", "91000"), "the same libvirt_lxc process"),
            (new_container("", "91000"), "no libvirt_lxc process"),
            (new_container("9 900", "80000"), "the same boot"),
        ],
        earlier=new_container("7 100", "80000"),
    ),
    Case(
        "bundle_up",
        {"bundle": "web", "replicas": 2},
        bundled(),
        [
            (WITHOUT_BUNDLES, "no such bundle"),
            (bundled(container=resource("web-podman-0")), "web-podman-0 Stopped"),
            (bundled(container=replace(CONTAINER, failed=True)), "(failed)"),
            (bundled(container=replace(CONTAINER, nodes=(HOST, GUEST))), f"{HOST} {GUEST}"),
            (bundled(connection=resource("web-0")), "web-0 online"),
            (bundled(primitive=resource("FAKE2:0")), "FAKE2:0 Stopped"),
            (bundled(primitive=resource("FAKE2:0", "web-1")), "FAKE2:0 Started web-1"),
            (bundled(node=replace(REPLICA, online=False)), "web-0 offline"),
            (bundled(node=replace(REPLICA, standby=True)), "web-0 online standby"),
            (bundled(node=replace(REPLICA, kind="guest")), "web-0 online"),
        ],
    ),
    Case(
        "bundle_up",
        {"bundle": "web", "replicas": 2},
        bundled(connection=None, primitive=None),
        [(bundled(connection=None, container=replace(CONTAINER, role="Starting")), "Starting")],
    ),
    Case(
        "bundle_up",
        {"bundle": "web", "replicas": 3},
        World(cluster=ClusterStatus(bundles={"web": (ReplicaStatus(CONTAINER),) * 3})),
        [(bundled(), "web-podman-1")],
    ),
    Case(
        "replicas_real",
        {"bundle": "web"},
        bundled(),
        [
            (WITHOUT_BUNDLES, "no replica"),
            (bundled(inside=""), "web-podman-0: nothing"),
            (bundled(inside="Dummy-FAKE2:1.state "), "web-podman-0: Dummy-FAKE2:1"),
            (bundled(inside="Dummy-FAKE2:0.state Dummy-FAKE2:1.state "), "FAKE2:0.state Dummy"),
            (bundled(inside=(125, "no such container")), "no such container"),
            (bundled(outside="/run/Dummy-FAKE2:0.state\n"), f"FAKE2:0 runs on {HOST}"),
            (bundled(container=resource("web-podman-0")), "it is nowhere"),
            (bundled(primitive=None), "there is nothing in web-podman-0"),
        ],
    ),
    Case(
        "replica_restarted",
        {"bundle": "web", "replica": 0},
        bundled(),
        [
            (bundled(process="c1 700 now\n"), "the same one"),
            (bundled(process="\n"), "it does not run"),
            (bundled(process=(125, "no such container")), "it does not run"),
            (bundled(container=resource("web-podman-0")), "it does not run"),
            (WITHOUT_BUNDLES, "it does not run"),
        ],
        earlier=bundled(process="c1 700 now\n"),
    ),
    Case(
        "package_installed",
        {"node": HOST, "packages": ["pcs", "corosync"]},
        on(HOST, packages={"pcs": "1", "corosync": "3"}),
        [
            (on(HOST), "not installed: pcs, corosync"),
            (on(HOST, packages={"pcs": "1"}), "not installed: corosync"),
            (on(HOST, packages={"pcs": "1", "corosync-tools": "3"}), "not installed: corosync"),
        ],
    ),
    Case(
        "package_absent",
        {"node": HOST, "packages": ["pcs", "corosync"]},
        on(HOST, packages={"pcs-snmp": "1"}),
        [
            (on(HOST, packages={"corosync": "3"}), "installed: corosync"),
            (on(HOST, packages={"pcs": "1", "corosync": "3"}), "installed: pcs, corosync"),
        ],
    ),
    Case(
        "software_version",
        {"node": HOST, "software": "pacemaker"},
        on(HOST, packages={"pacemaker": "2.1.5-1+deb12u1"}),
        [
            (on(HOST), "not installed"),
            (on(HOST, packages={"pacemaker": "2.1.50-1"}), "2.1.50-1"),
            (on(HOST, packages={"pacemaker": "12.1.5-1"}), "12.1.5"),
            (on(HOST, packages={"pacemaker": "2.1.4-1"}), "2.1.4"),
            (on(HOST, packages={"pacemaker": "2:1.5-1"}), "1.5"),
        ],
    ),
    Case(
        "software_version",
        {"node": HOST, "software": "pacemaker", "package": "pacemaker-remote"},
        on(HOST, packages={"pacemaker-remote": "1:2.1.5-1"}),
        [(on(HOST, packages={"pacemaker": "2.1.5"}), "pacemaker-remote not installed")],
    ),
    Case(
        "file",
        {"node": HOST, "path": KEY},
        on(HOST, files={KEY: File()}),
        [(on(HOST, files={KEY: None}), "not there")],
    ),
    Case(
        "file",
        {
            "node": HOST,
            "path": KEY,
            "size": 3,
            "mode": "0640",
            "owner": "hacluster",
            "group": "haclient",
            "contains": "e",
        },
        on(HOST, files={KEY: File("key", 0o640, "hacluster", "haclient")}),
        [
            (on(HOST, files={KEY: None}), "not there"),
            (on(HOST, files={KEY: File("keys", 0o640, "hacluster", "haclient")}), "size 4"),
            (on(HOST, files={KEY: File("", 0o640, "hacluster", "haclient")}), "size 0"),
            (on(HOST, files={KEY: File("key", 0o644, "hacluster", "haclient")}), "mode 0644"),
            (on(HOST, files={KEY: File("key", 0o4640, "hacluster", "haclient")}), "mode 4640"),
            (on(HOST, files={KEY: File("key", 0o640, "root", "haclient")}), "owner root"),
            (on(HOST, files={KEY: File("key", 0o640, "hacluster", "root")}), "group root"),
            (on(HOST, files={KEY: File("Kyy", 0o640, "hacluster", "haclient")}), "no such text"),
        ],
    ),
    Case(
        "file",
        {"node": HOST, "path": KEY, "contains": "(no such text)"},
        on(HOST, files={KEY: File("with (no such text) in it")}),
        [(on(HOST, files={KEY: File("no such text")}), "no such text")],
    ),
    Case(
        "file",
        {"node": HOST, "path": KEY, "size": 0},
        on(HOST, files={KEY: File()}),
        [(on(HOST, files={KEY: File("x")}), "size 1")],
    ),
    Case(
        "no_file",
        {"node": HOST, "path": KEY},
        on(HOST, files={KEY: None}),
        [(on(HOST, files={KEY: File()}), "there")],
    ),
    Case(
        "file_lacks",
        {"node": HOST, "path": "/etc/hosts", "text": "guest1"},
        on(HOST, files={"/etc/hosts": File("192.168.122.100 example-host")}),
        [
            (on(HOST, files={"/etc/hosts": File("192.168.122.10 guest1")}), "contains it"),
            (on(HOST, files={"/etc/hosts": None}), "not there"),
        ],
    ),
    Case(
        "same_file",
        {"nodes": NODES, "path": KEY},
        World({node: Facts(files={KEY: File("secret")}) for node in NODES}),
        [
            (World({node: Facts(files={KEY: None}) for node in NODES}), f"{GUEST} not there"),
            (
                World({HOST: Facts(files={KEY: File("")}), GUEST: Facts(files={KEY: None})}),
                f"{GUEST} not there",
            ),
            (
                World({HOST: Facts(files={KEY: File("a")}), GUEST: Facts(files={KEY: File("b")})}),
                HOST,
            ),
        ],
    ),
    Case(
        "service",
        {"node": GUEST, "name": "pacemaker_remote", "running": True, "enabled": True},
        unit("loaded", "active", "enabled"),
        [
            (unit("loaded", "inactive", "enabled"), "not running, enabled"),
            (unit("loaded", "activating", "enabled"), "not running"),
            (unit("loaded", "failed", "enabled"), "not running"),
            (unit("loaded", "active", "disabled"), "running, not enabled"),
            (unit("loaded", "active", "static"), "not enabled"),
            (unit("loaded", "active", ""), "not enabled"),
            (unit("not-found", "inactive", ""), "not-found"),
            (unit("masked", "inactive", "masked"), "masked"),
            (unit("loaded", "active", "enabled", 1), "ended with exit status 1"),
        ],
    ),
    Case(
        "service",
        {"node": GUEST, "name": "pacemaker_remote", "running": False, "enabled": False},
        unit("loaded", "inactive", "disabled"),
        [
            (unit("not-found", "inactive", ""), "not-found"),
            (unit("loaded", "active", "disabled"), "running, not enabled"),
            (unit("loaded", "inactive", "enabled"), "not running, enabled"),
        ],
    ),
    Case(
        "service",
        {"node": GUEST, "name": "pacemaker_remote"},
        unit("loaded", "active", ""),
        [(unit("not-found", "inactive", ""), "not-found")],
    ),
    Case(
        "listening",
        {"node": GUEST, "socket": "tcp://3121"},
        on(GUEST, sockets=("tcp://3121",)),
        [(on(GUEST), "nothing"), (on(GUEST, sockets=("udp://3121", "tcp://31210")), "nothing")],
    ),
    Case(
        "connected",
        {"source": HOST, "address": "192.168.122.200", "port": 8938},
        sockets(("192.168.122.10:3121", CONTROLLER), ("192.168.122.200:8938", CONTROLLER)),
        [
            (sockets(), "to none"),
            (sockets(("192.168.122.200:3121", CONTROLLER)), "192.168.122.200, port 3121"),
            (sockets(("192.168.122.11:8938", CONTROLLER)), "192.168.122.11, port 8938"),
            (sockets(("192.168.122.20:8938", CONTROLLER)), "192.168.122.20, port 8938"),
            (sockets(("192.168.122.200:8938", "ssh")), "to none"),
            (runs(HOST, "ss .*", ""), "to none"),
        ],
    ),
    Case(
        "connected",
        {"source": HOST, "address": "192.168.122.200", "port": 3121},
        sockets(("[::ffff:192.168.122.200]:3121", CONTROLLER)),
        [],
    ),
    Case(
        "gave_up",
        {"resource": GUEST, "at_least": 15, "at_most": 20},
        history_of(failure("start", 1000), last=("start_0", 1015)),
        [
            (history_of(failure("start", 1000), last=("start_0", 1014)), "14 s"),
            (history_of(failure("start", 1000), last=("start_0", 1021)), "21 s"),
            (history_of(failure("start", 1000)), "not known yet"),
            (
                history_of(
                    failure("start", 1000, status="4", reason="Key was rejected by service"),
                    last=("start_0", 1015),
                ),
                "Key was rejected",
            ),
            (history_of(operation("start", 1000), last=("start_0", 1015)), "no failed start"),
            (history_of(failure("monitor", 1000), last=("monitor_30000", 1015)), "no failed start"),
            (
                history_of(failure("start", 1000), resource="guest2", last=("start_0", 1015)),
                "no failed start",
            ),
        ],
    ),
    Case(
        "started_after_failure",
        {"resource": GUEST, "at_least": 20, "at_most": 30},
        history_of(operation("start", 1021)),
        [
            (history_of(operation("start", 1019)), "19 s"),
            (history_of(operation("start", 1031)), "31 s"),
            (history_of(operation("start", 999)), "not started"),
            (history_of(operation("start", 1021, status="-1")), "not started"),
            (history_of(operation("stop", 1021)), "not started"),
            (history_of(operation("start", 1021), resource="guest2"), "not started"),
        ],
        earlier=history_of(operation("start", 900), failure("monitor", 1000, status="4")),
    ),
    Case(
        "option_default",
        {"agent": "ocf:pacemaker:remote", "option": "port", "default": "3121"},
        metadata(METADATA),
        [
            (metadata(METADATA.replace("3121", "3122")), "3122"),
            (metadata(METADATA.replace('"port"', '"ports"')), "server, ports"),
            (metadata(METADATA.replace(' default="3121"', "")), "none"),
        ],
    ),
    Case(
        "option_default",
        {"agent": "ocf:pacemaker:remote", "option": "server", "default": "none"},
        metadata(METADATA),
        [(metadata(METADATA.replace('"string"', '"string" default="x"')), "x")],
    ),
    Case(
        "cib_knows",
        {"node": REMOTE, "sections": ["nodes", "status"]},
        known(node=REMOTE, state=REMOTE),
        [
            (known(node=REMOTE), "nodes"),
            (known(state=REMOTE), "status"),
            (known(), "in none"),
            (known(node="remote10", state="remote10"), "in none"),
        ],
    ),
    Case(
        "cib_knows",
        {"node": REMOTE, "sections": ["status"]},
        known(state=REMOTE),
        [(known(node=REMOTE, state=REMOTE), "nodes, status")],
    ),
    Case(
        "cib_forgot",
        {"node": REMOTE},
        known(),
        [
            (known(node=REMOTE), "nodes"),
            (known(state=REMOTE), "status"),
            (known(node=REMOTE, state=REMOTE), "nodes, status"),
        ],
    ),
    Case(
        "rebooted",
        {"node": HOST},
        rebooted("boot 2"),
        [
            (rebooted("boot 1"), "still the same boot"),
            (rebooted(""), "no power"),
            (rebooted("boot 2", (1, "")), "another boot"),
            (rebooted("boot 2", "starting\n"), "starting"),
            (rebooted("boot 2", "stopping\n"), "stopping"),
        ],
        earlier=rebooted("boot 1"),
    ),
    Case(
        "rebooted", {"node": HOST}, rebooted("boot 2", "degraded\n"), [], earlier=rebooted("boot 1")
    ),
    Case(
        "printed",
        {"command": 2, "text": "success"},
        typed("", "success\n"),
        [
            (typed("success", "no"), "'no'"),
            (typed("", ""), "''"),
            (typed("", "Success"), "Success"),
        ],
    ),
    Case(
        "not_printed",
        {"text": "No route to host"},
        typed("", "No route to host"),
        [(typed("ssh: No route to host\n"), "printed")],
    ),
    Case(
        "ports_open",
        {"node": HOST, "ports": FOUR},
        probed("refused", "accepted", "refused", "refused"),
        [
            (probed("refused", "rejected", "refused", "refused"), "3121/tcp rejected"),
            (probed("refused", "silent", "refused", "refused"), "3121/tcp silent"),
            (probed("refused", "refused", "refused", "rejected"), "5405/udp rejected"),
            (probed("refused", "refused", "refused", "absent"), "5405/udp absent"),
            (probed("absent", "absent", "absent", "absent"), "2224/tcp absent"),
        ],
    ),
    Case(  # with corosync, which says nothing to whom it does not know
        "ports_open",
        {"node": HOST, "ports": FOUR},
        silent(COROSYNC),
        [
            (silent(), "5405/udp no answer: filtered, or nobody listens"),
            (silent("udp://192.168.122.100:5404"), "5405/udp no answer"),
            (silent("tcp://192.168.122.100:5405", "udp://192.168.122.10:5405"), "no answer"),
            (silent(COROSYNC, tcp="silent"), "3121/tcp silent"),
            (silent(COROSYNC, tcp="rejected"), "3121/tcp rejected"),
        ],
    ),
    Case("ports_open", {"node": HOST, "ports": FOUR}, silent("udp://0.0.0.0:5405"), []),
    Case(
        "ports_open",
        {"node": HOST, "ports": ["3121"]},
        probed("refused"),
        [(probed("silent"), "silent"), (probed("rejected"), "rejected")],
    ),
    Case(
        "ports_open",
        {"node": GUEST, "ports": ["3121/tcp"], "seen_from": HOST},
        from_host('["accepted"]'),
        [(from_host('["rejected"]'), "rejected")],
    ),
    Case(
        "ports_closed",
        {"node": HOST, "ports": FOUR},
        probed("rejected", "rejected", "rejected", "rejected"),
        [
            (probed("rejected", "accepted", "rejected", "rejected"), "3121/tcp accepted"),
            (probed("rejected", "refused", "rejected", "rejected"), "3121/tcp refused"),
            (probed("rejected", "rejected", "rejected", "silent"), "5405/udp silent"),
            (probed("absent", "absent", "absent", "absent"), "absent"),
        ],
    ),
    Case(
        "connection",
        {"source": HOST, "to": GUEST, "port": 3121, "outcome": "rejected"},
        from_host('["rejected"]'),
        [
            (from_host(f'["{other}"]'), other)
            for other in ("accepted", "refused", "silent", "absent")
        ],
    ),
    Case(
        "pings",
        {"source": HOST, "to": GUEST},
        runs(HOST, PING, "64 bytes from 192.168.122.10\n\nrtt min/avg = 0.1"),
        [
            (runs(HOST, PING, (1, "1 packets transmitted, 0 received")), "0 received"),
            (runs(HOST, PING, 1), "nothing"),
            (runs(HOST, PING, (1, "\n")), "nothing"),
            (runs(HOST, PING, (127, "ping: not found")), "not found"),
        ],
    ),
    Case(
        "page_served",
        {"source": HOST, "server": GUEST, "text": "guest1"},
        runs(HOST, FETCH, "200 guest1\n"),
        [
            (runs(HOST, FETCH, "200 example-host\n"), "200 example-host"),
            (runs(HOST, FETCH, "404 guest1 has no such page\n"), "404"),
            (runs(HOST, FETCH, "no answer: [Errno 111] Connection refused\n"), "refused"),
            (runs(HOST, FETCH, ""), ""),
        ],
    ),
    Case(
        "ssh_works",
        {"source": HOST, "to": GUEST},
        runs(HOST, SSH, "guest1\n"),
        [
            (runs(HOST, SSH, (255, "Host key verification failed.")), "Host key"),
            (runs(HOST, SSH, Result("", 255, "guest1\n", "lost", 0)), "lost"),
            (runs(HOST, SSH, "example-host\n"), "example-host"),
            (runs(HOST, SSH, ""), "nothing"),
        ],
    ),
]


def fleet(world: World, *files: str, online: bool = True) -> World:
    """node1, node2, and two remote nodes r1 and r2 with these state files on their machines."""
    members = (NODE1_NODE, replace(NODE1_NODE, name=NODE2))
    remotes = (replace(REMOTE_NODE, name="r1"), replace(REMOTE_NODE, name="r2", online=online))
    assert isinstance(world.cluster, ClusterStatus)
    nodes = {node.name: node for node in (*members, *remotes)}
    world.cluster = replace(world.cluster, nodes=nodes)
    world.scenario = REMOTES.model_copy(update={"nodes": dict.fromkeys(nodes), "guests": {}})
    world.machines = {
        node: Facts(runs={"find /run .*": text})
        for node, text in zip(nodes, ["", "", *(files or FLEET_FILES)], strict=True)
    }
    return world


def lives(*answers: Answer) -> World:
    """What r1 and r2 tell of their first process and their dummies."""
    both = dict(zip(("r1", "r2"), answers, strict=True))
    return World({node: Facts(runs={"cut .*": answer}) for node, answer in both.items()})


FLEET_FILES = ("/run/Dummy-F-r1.state\n", "/run/Dummy-F-r2.state\n")
FLEET = (
    resource("r1", NODE1),
    resource("r2", NODE2),
    resource("F-r1", "r1"),
    resource("F-r2", "r2"),
)
LIVES = ("700\n17 2026-03-01", "701\n18 2026-03-01")
R = ["r1", "r2"]

CASES += [
    Case(
        "all_remote",
        {"nodes": R, "hosts": [NODE1, NODE2]},
        fleet(cluster(*FLEET)),
        [
            (fleet(cluster(*FLEET), online=False), "1 is not: r2: remote node, offline"),
            (fleet(cluster(FLEET[0], resource("r2", NODE1))), "node2: no connection is on it"),
            (cluster(*FLEET), "2 are not: r1: no such node"),
            (fleet(cluster(FLEET[0])), "r2: no connection"),
            (fleet(cluster(FLEET[0], resource("r2"))), "r2: connection Stopped"),
            (fleet(cluster(FLEET[0], resource("r2", "r1"))), "r2: connection Started r1"),
            (fleet(cluster(FLEET[0], resource("r2", NODE1, NODE2))), "Started node1 node2"),
            (fleet(cluster(FLEET[0], resource("r2", NODE2, failed=True))), "failed"),
            (fleet(cluster(FLEET[0], resource("r2", NODE2, role="Starting"))), "Starting"),
        ],
        earlier=World(),
    ),
    Case(
        "all_remote",
        {"nodes": R, "hosts": [NODE1]},
        fleet(cluster(FLEET[0], resource("r2", NODE1))),
        [(fleet(cluster(*FLEET)), "1 is not: r2: connection Started node2")],
        earlier=World(),
    ),
    Case(
        "dummy_on_each",
        {"prefix": "F-", "nodes": R},
        fleet(cluster(*FLEET)),
        [
            (fleet(cluster(*FLEET[:3])), "r2: no such resource"),
            (fleet(cluster(*FLEET[:3], resource("F-r2"))), "r2: Stopped"),
            (fleet(cluster(*FLEET[:3], resource("F-r2", "r1"))), "r2: Started r1"),
            (fleet(cluster(*FLEET[:3], resource("F-r2", "r1", "r2"))), "r2: Started r1 r2"),
            (fleet(cluster(*FLEET[:3], resource("F-r2", "r2", failed=True))), "failed"),
            (fleet(cluster(*FLEET), FLEET_FILES[0], ""), "r2: its state file is on no machine"),
            (fleet(cluster(*FLEET), *reversed(FLEET_FILES)), "r1: its state file is on r2"),
            (
                fleet(cluster(*FLEET), "".join(FLEET_FILES), FLEET_FILES[1]),
                "r2: its state file is on r1, r2",
            ),
        ],
    ),
    Case(
        "undisturbed",
        {"prefix": "F-", "nodes": R},
        lives(*LIVES),
        [
            (lives(LIVES[0], "702\n18 2026-03-01"), "r2: 701 18 2026-03-01 became 702"),
            (lives("700\n19 2026-03-01", LIVES[1]), "r1: 700 17 2026-03-01 became 700 19"),
            (lives(LIVES[0], "701"), "r2"),
            (lives(LIVES[0], (1, "stat: missing operand")), "exit status 1"),
        ],
        earlier=lives(*LIVES),
    ),
]


def named(case: Case, number: int) -> str:
    return f"{case.check}-{number}"


TRUE = [pytest.param(c, id=named(c, n)) for n, c in enumerate(CASES)]
FALSE = [
    pytest.param(c, world, says, id=f"{named(c, n)}-{says}")
    for n, c in enumerate(CASES)
    for world, says in c.false
]


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the BMCs did is what the world says."""
    monkeypatch.setattr(bmc, "log", lambda lab: lab.bmc_log)


def test_every_check_is_in_the_table() -> None:
    assert {case.check for case in CASES if case.false} == set(WORDS)


@pytest.mark.parametrize("case", TRUE)
def test_true(case: Case) -> None:
    seen = case.look(case.true)
    assert seen.ok, seen.text
    assert seen.text


@pytest.mark.parametrize(("case", "world", "says"), FALSE)
def test_false(case: Case, world: World, says: str) -> None:
    try:
        seen = case.look(world)
    except LabError as error:  # for the runner that is: not true yet
        seen = Seen(False, error.message)
    assert not seen.ok, seen.text
    assert says in seen.text


@pytest.mark.parametrize("case", TRUE)
def test_no_check_is_true_without_a_look(case: Case) -> None:
    dark = World()
    dark.context = lambda: Context(cast(Lab, Dark()))  # type: ignore[method-assign]
    with pytest.raises((LabError, IndexError, AssertionError)):
        case.look(dark)


@pytest.mark.parametrize("case", [c for c in CASES if c.true.cluster], ids=lambda c: c.check)
def test_no_cluster_is_no_status(case: Case) -> None:
    """Checks that read the cluster's state do not take its absence for something."""
    with pytest.raises(NoStatus):
        case.look(NOT_RUNNING)


@pytest.mark.parametrize("case", TRUE)
def test_its_sentence_names_its_arguments(case: Case) -> None:
    word, arguments = case.use
    sentence = word.say(arguments)
    for name, value in arguments.items():
        if name in ("seen_from", "package") or isinstance(value, bool):  # how, and states
            continue
        for one in value if isinstance(value, list) else [value]:
            assert str(one) in sentence


def test_no_two_checks_have_one_sentence() -> None:
    """Who reads what failed has to know which check it was."""
    said: dict[str, str] = {}
    for name, word in WORDS.items():
        if isinstance(word.sentence, str):
            plain = re.sub(r"\{\w+\}", "{}", word.sentence)
            assert said.setdefault(plain, name) == name


def test_a_phase_that_there_is_not() -> None:
    """Refused with the scenario, and not a phase that does not come about."""
    with pytest.raises(ValueError, match="'detected', 'fenced', 'recovered' or 'reintegrated'"):
        look("recovery", recovering((1.0, False)), phases=["mended"])


def test_a_cluster_that_was_stopped_everywhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cluster of which nobody can tell any more, nothing is left standing as it was."""
    stopped: list[bool] = []
    monkeypatch.setattr(Context, "stopped", lambda _: stopped.append(True))
    world = World({NODE1: Facts(runs={PGREP: 1}), NODE2: Facts(runs={PGREP: 1})}, scenario=REMOTES)
    assert look("cluster_stopped", world, nodes=[NODE1]).ok
    assert not stopped  # the other one can tell
    assert look("cluster_stopped", world, nodes=[NODE2, NODE1]).ok
    assert stopped == [True]


@pytest.mark.parametrize("check", ["printed", "not_printed", "answers"])
def test_what_was_typed_on_several_nodes_is_looked_at_on_each(check: str) -> None:
    def results(*texts: str) -> World:
        world = World()
        both = tuple(Result("", 0, text, "", 0.1) for text in texts)
        context = Context(cast(Lab, world), done=[both])
        world.context = lambda: context  # type: ignore[method-assign]
        return world

    arguments = {"pattern" if check == "answers" else "text": "yes"}
    good, bad = ("no", "yes") if check == "not_printed" else ("yes", "no")
    assert look(check, results(good, good), **arguments).ok
    assert not look(check, results(good, bad), **arguments).ok
    assert not look(check, results(bad, good), **arguments).ok


# -- what it remembers ----------------------------------------------------------------------


def case_of(check: str) -> Case:
    return next(case for case in CASES if case.check == check)


def test_a_replica_that_did_not_run_was_not_restarted() -> None:
    case = case_of("replica_restarted")
    seen = case.look(case.true, earlier=bundled(process="\n"))
    assert not seen.ok
    assert "did not run before" in seen.text


def test_reboot_of_a_machine_that_had_no_power_is_none() -> None:
    case = case_of("rebooted")
    seen = case.look(case.true, earlier=rebooted(""))
    assert not seen.ok
    assert "no power before" in seen.text


def test_a_dummy_that_did_not_run_was_restarted() -> None:
    gone = state_file((1, "stat: missing operand"))
    case = case_of("dummy_not_restarted")
    assert not case.look(case.true, earlier=gone).ok
    assert not case.look(gone, earlier=gone).ok


@pytest.mark.parametrize(
    ("earlier", "says"),
    [
        (restarted("", "b1"), "no QEMU process before"),
        (restarted("7 100", ""), "no boot before"),
    ],
)
def test_restart_of_a_guest_that_did_not_run_is_none(earlier: World, says: str) -> None:
    case = case_of("guest_restarted")
    seen = case.look(case.true, earlier=earlier)
    assert not seen.ok
    assert says in seen.text


# -- arguments that would make a check true of anything --------------------------------------


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        ("nodes_online", {"nodes": []}),
        ("cluster_stopped", {"nodes": []}),
        ("package_absent", {"node": HOST, "packages": []}),
        ("ports_closed", {"node": HOST, "ports": []}),
        ("resources_spread", {"resources": [], "nodes": NODES}),
        ("dummies_real", {"resources": []}),
        ("printed", {"text": ""}),
        ("answers", {"pattern": ""}),
    ],
)
def test_empty_arguments_are_refused(check: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        checks.check.use({check: arguments}, NODES)


@pytest.mark.parametrize("check", ["printed", "not_printed", "answers"])
@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_command_that_was_not_typed_printed_nothing(check: str, number: int) -> None:
    key = "pattern" if check == "answers" else "text"
    case = Case(
        check, {"command": number, key: "absent" if "not" in check else "there"}, World(), []
    )
    with pytest.raises(IndexError, match="2 were typed"):
        case.look(typed("there", "there"))


# -- with a real shell ----------------------------------------------------------------------


class Local:
    """This machine in the place of a lab's: commands are run by a real shell."""

    name = "local"

    def __init__(self, path: str = "") -> None:
        self.path = path or "/usr/bin:/bin:/usr/sbin:/sbin"
        from testinfra.host import Host

        self.host: Any = Host(_Backend(cast(Machine, self)))

    def run(self, command: str, *, check: bool = False) -> Result:
        done = subprocess.run(
            ["sh", "-c", command],
            env={"PATH": self.path},
            capture_output=True,
            text=True,
            check=check,
        )
        return Result(command, done.returncode, done.stdout, done.stderr, 0)


def look(check: str, world: World, **arguments: Any) -> Seen:
    return Case(check, arguments, world, []).look(world)


@pytest.fixture
def local() -> World:
    machine = Local()
    return World({HOST: machine, GUEST: machine}, addresses={HOST: "127.0.0.1", GUEST: "127.0.0.1"})


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_files_by_testinfra(local: World, tmp_path: Path) -> None:
    path = tmp_path / "it's a file; really"
    name = str(path)
    assert look("no_file", local, node=HOST, path=name).ok
    assert not look("file", local, node=HOST, path=name).ok
    assert not look("file_lacks", local, node=HOST, path=name, text="x").ok
    assert not look("same_file", local, nodes=NODES, path=name).ok
    path.write_text("0123456789\n")
    path.chmod(0o4750)
    facts = {"size": 11, "mode": "4750", "contains": "789"}
    assert look("file", local, node=HOST, path=name, **facts).ok
    assert not look("file", local, node=HOST, path=name, **{**facts, "mode": "0750"}).ok
    assert not look("file", local, node=HOST, path=name, contains="890").ok
    assert not look("no_file", local, node=HOST, path=name).ok
    assert look("file_lacks", local, node=HOST, path=name, text="abc").ok
    assert not look("file_lacks", local, node=HOST, path=name, text="456").ok
    assert look("same_file", local, nodes=NODES, path=name).ok


def test_files_that_differ_by_testinfra(tmp_path: Path) -> None:
    """Each node has a sha256sum of its own here: an empty answer is no sum."""
    machines = {}
    for node in NODES:
        folder = tmp_path / node
        folder.mkdir()
        program(folder, "sha256sum", f"echo {node.encode().hex():0<64} $1")
        machines[node] = Local(f"{folder}:/usr/bin:/bin")
    seen = look("same_file", World(machines), nodes=NODES, path="/bin/sh")
    assert not seen.ok
    assert f"{HOST} 657861" in seen.text


def test_processes_by_pgrep(tmp_path: Path) -> None:
    """The pattern is what pgrep takes: a process of that name is found, no other one."""
    # Only this process's children: a cluster may run on this machine.
    program(tmp_path, "pgrep", f'exec /usr/bin/pgrep -P {os.getpid()} "$@"')
    world = World({HOST: Local(f"{tmp_path}:/usr/bin:/bin")})
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name in ("corosync-qdevice", "pacemaker-remoted", "pacemaker-controld"):
            if name == "pacemaker-controld":
                assert look("cluster_stopped", world, nodes=[HOST]).ok
            (tmp_path / name).symlink_to("/bin/sleep")
            running.append(subprocess.Popen([tmp_path / name, "60"]))
        seen = look("cluster_stopped", world, nodes=[HOST])
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert not seen.ok
    assert seen.text == f"running: pacemaker-contr on {HOST}"


def test_a_propertys_name_is_quoted(tmp_path: Path) -> None:
    program(tmp_path, "crm_attribute", 'echo "$4"')
    name = "it's; echo x"
    world = World({HOST: Local(f"{tmp_path}:/usr/bin:/bin")})
    seen = look("property_is", world, name=name, value=name)
    assert seen.ok, seen.text


def test_a_services_name_is_quoted(tmp_path: Path) -> None:
    script = '[ "$3" = "a b" ] && echo LoadState=loaded && echo ActiveState=active'
    program(tmp_path, "systemctl", script)
    world = World({HOST: Local(f"{tmp_path}:/usr/bin:/bin")})
    assert look("service", world, node=HOST, name="a b", running=True).ok


# -- the probe ------------------------------------------------------------------------------


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    """Ports of this machine: of each protocol one that answers, and a closed one."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("127.0.0.1", 0)) as once,
    ):
        closed = once.getsockname()[1]
        once.close()
        yield {"open": listener.getsockname()[1], "closed": closed}


@pytest.mark.parametrize("source", ["outside", GUEST])
def test_the_probe_really_asks(local: World, ports: dict[str, int], source: str) -> None:
    """From outside and through a node's shell: what the shell makes of it is the program."""
    both = [f"{ports['open']}/tcp", f"{ports['closed']}/tcp", f"{ports['closed']}/udp"]
    seen = look("ports_open", local, node=HOST, ports=both, seen_from=source)
    assert seen.ok
    assert seen.text == f"{both[0]} accepted, {both[1]} refused, {both[2]} refused"
    assert not look("ports_closed", local, node=HOST, ports=both, seen_from=source).ok


@pytest.mark.parametrize(
    ("family", "bound", "there"),
    [
        (socket.AF_INET, "127.0.0.1", True),
        (socket.AF_INET, "0.0.0.0", True),
        (socket.AF_INET6, "::", True),
        (socket.AF_INET, "127.0.0.2", False),
    ],
)
def test_who_listens_on_udp_is_really_looked_at(
    local: World, family: socket.AddressFamily, bound: str, there: bool
) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as listener:
        listener.bind((bound, 0))
        local.outside = lambda lab, argv: ["echo", '["silent"]']  # type: ignore[method-assign]
        port = f"{listener.getsockname()[1]}/udp"
        assert look("ports_open", local, node=HOST, ports=[port]).ok == there
    assert not look("ports_open", local, node=HOST, ports=[port]).ok


def test_connections_really_made(local: World, ports: dict[str, int]) -> None:
    way = {"source": HOST, "to": GUEST}
    assert look("connection", local, **way, port=ports["open"], outcome="accepted").ok
    assert look("connection", local, **way, port=ports["closed"], outcome="refused").ok
    assert not look("connection", local, **way, port=ports["closed"], outcome="accepted").ok


@pytest.mark.parametrize("source", ["outside", GUEST])
def test_a_page_really_fetched(local: World, source: str) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/there" else 404)
            self.end_headers()
            self.wfile.write(b"here is guest1")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        wish = {"source": source, "server": HOST, "text": "guest1", "port": server.server_port}
        assert look("page_served", local, **wish, path="/there").text == "200 here is guest1"
        assert look("page_served", local, **wish, path="/there").ok
        assert not look("page_served", local, **wish).ok
        server.shutdown()
    assert "refused" in look("page_served", local, **wish).text


class Socket:
    """A socket on a network that answers as the test says."""

    answer: Exception | bytes = b""

    def __init__(self, _family: int, kind: int) -> None:
        self.kind = kind

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def connect(self, _address: tuple[str, int]) -> None:
        if self.kind == socket.SOCK_STREAM and isinstance(self.answer, Exception):
            raise self.answer

    def send(self, data: bytes) -> None:
        assert data  # an empty datagram could be taken for none

    def recv(self, _size: int) -> bytes:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("answer", "known", "said"),
    [
        (b"!", True, "accepted"),
        (ConnectionRefusedError(), True, "refused"),
        (OSError(errno.EHOSTUNREACH, ""), True, "rejected"),
        (OSError(errno.EHOSTUNREACH, ""), False, "absent"),  # our own kernel gave up
        (OSError(errno.ENETUNREACH, ""), False, "absent"),
        (TimeoutError(), True, "silent"),
        (TimeoutError(), False, "absent"),
    ],
)
def test_what_the_probe_makes_of_an_answer(
    protocol: str,
    answer: Exception | bytes,
    known: bool,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = tmp_path / "arp"
    table.write_text(
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "192.168.122.100  0x1         0x2         0a:00:00:00:00:01     *        eth0\n"
        f"192.168.122.10   0x1         {'0x2' if known else '0x0'}         "
        f"{'0a:00:00:00:00:02' if known else '00:00:00:00:00:00'}     *        eth0\n"
    )

    def opened(path: str) -> Any:
        assert path == "/proc/net/arp"
        return table.open()

    monkeypatch.setattr(socket, "socket", type("One", (Socket,), {"answer": answer}))
    monkeypatch.setattr(sys, "argv", ["-c", json.dumps([["192.168.122.10", 3121, protocol]])])
    exec(_PROBE, {"open": opened})
    assert json.loads(capsys.readouterr().out) == [said]


def test_an_answer_that_the_probe_does_not_know_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = OSError(errno.ENOBUFS, "no buffers")
    monkeypatch.setattr(socket, "socket", type("One", (Socket,), {"answer": fault}))
    monkeypatch.setattr(sys, "argv", ["-c", json.dumps([["192.168.122.10", 3121, "tcp"]])])
    with pytest.raises(OSError, match="no buffers"):
        exec(_PROBE, {})
    assert not capsys.readouterr().out
