"""The cluster's state, from crm_mon's XML: its DC, its quorum, its nodes."""

from __future__ import annotations

import re
import shlex

from lab import pacemaker
from lab.checks import Seen, check
from lab.context import Context
from lab.fleet import named
from lab.status import NodeStatus, NoStatus
from lab.vocabulary import Node
from lab.wording import be, counted


@check("corosync.conf on {nodes}: cluster {cluster}, nodes {members}")
def corosync_conf(context: Context, nodes: list[Node], cluster: str, members: list[str]) -> Seen:
    """/etc/corosync/corosync.conf is the same everywhere and names this cluster and its nodes."""
    texts = {n: context.machine(n).host.file("/etc/corosync/corosync.conf") for n in nodes}
    missing = [node for node, found in texts.items() if not found.exists]
    if missing:
        return Seen(False, f"not there on {', '.join(missing)}")
    contents = {found.content_string for found in texts.values()}
    if len(contents) > 1:
        return Seen(False, "it differs between the nodes")
    (text,) = contents
    name = re.findall(r"^\s*cluster_name:\s*(\S+)", text, re.M)
    found = [_name(block) for block in re.findall(r"^\s*node\s*{(.*?)}", text, re.M | re.S)]
    return Seen(
        name == [cluster] and sorted(found) == sorted(members),
        f"cluster {' '.join(name) or '(none)'}, nodes {', '.join(found) or '(none)'}",
    )


def _name(block: str) -> str:
    """A node's name: what pcs calls it since 0.10, before that the name that its address is."""
    told = dict(re.findall(r"^\s*(\w+):\s*(\S+)", block, re.M))
    return str(told.get("name") or told.get("ring0_addr", "(no name)"))


@check("the cluster has no DC yet")
def no_dc(context: Context) -> Seen:
    """The cluster answers, and no node is DC."""
    status = context.status()
    return Seen(not status.dc, f"DC {status.dc or 'none'}")


@check("{node} is the DC")
def dc(context: Context, node: Node) -> Seen:
    """The node is the cluster's DC and online."""
    status = context.status()
    found = status.nodes.get(node)
    return Seen(
        status.dc == node and found is not None and found.online,
        f"DC {status.dc or 'none'}, {node} {found.text if found else 'absent'}",
    )


@check("{nodes} agree on one DC")
def one_dc(context: Context, nodes: list[Node]) -> Seen:
    """Each of the cluster nodes, asked itself, names the same DC, and that one is online."""
    seen = {node: context.status_from(node) for node in nodes}
    told = {status.dc for status in seen.values()}
    dc = told.pop() if len(told) == 1 else ""
    online = bool(dc) and all(dc in s.nodes and s.nodes[dc].online for s in seen.values())
    text = ", ".join(f"{node}: DC {status.dc or 'none'}" for node, status in seen.items())
    return Seen(online, text)


@check("the cluster has quorum")
def quorum(context: Context) -> Seen:
    """The partition that was asked has quorum."""
    status = context.status()
    return Seen(status.quorum, "quorum" if status.quorum else "no quorum")


@check("the cluster is stopped on {nodes}")
def cluster_stopped(context: Context, nodes: list[Node]) -> Seen:
    """Neither corosync nor pacemaker nor a daemon of it runs there, as processes."""
    running = []
    for node in nodes:
        # Not by testinfra's host.process, which knows no patterns: it would fetch every process of
        # the node, with its arguments, at each look.
        done = context.machine(node).run(f"pgrep -l -x '{pacemaker.PROCESSES}'")
        if done.exit not in (0, 1):
            return Seen(False, f"pgrep on {node}: {done.output.strip()}")
        running += [f"{line.split()[-1]} on {node}" for line in done.stdout.splitlines()]
    if not running and set(nodes) == set(context.lab.scenario.cluster_nodes):
        context.stopped()
    return Seen(not running, f"running: {', '.join(running)}" if running else "stopped")


@check(lambda nodes: f"{named(nodes)} {be(len(nodes))} online")
def nodes_online(context: Context, nodes: list[Node]) -> Seen:
    """Each one is online, of whatever kind it is."""
    status = context.status()
    seen = {n: status.nodes[n].text if n in status.nodes else "absent" for n in nodes}
    return Seen(
        all(text == "online" for text in seen.values()),
        ", ".join(f"{node} {text}" for node, text in seen.items()),
    )


@check(lambda nodes, resources: f"{_configured(nodes, resources)} are configured")
def configured(context: Context, nodes: int, resources: int) -> Seen:
    """The counts that `pcs status` prints."""
    status = context.status()
    seen = (status.nodes_configured, status.resources_configured)
    return Seen(seen == (nodes, resources), _configured(*seen))


def _configured(nodes: int, resources: int) -> str:
    return f"{counted(nodes, 'node')} and {counted(resources, 'resource')}"


@check("the cluster has settled")
def cluster_settled(context: Context) -> Seen:
    """The DC is idle (`crmadmin --status`: S_IDLE), no resource is on its way, and the scheduler
    has nothing left to do (`crm_resource --wait`).

    What is placed rightly at one look may be moved at the next while a transition runs.
    """
    status = context.status()
    if not status.dc:
        return Seen(False, "no DC")
    moving = [f"{name} {r.text}" for name, r in status.resources.items() if r.role.endswith("ing")]
    if moving:
        return Seen(False, ", ".join(moving))
    done = context.asked().run(f"crmadmin --status={status.dc}")
    if done.exit or "S_IDLE" not in done.stdout:
        return Seen(False, done.output.strip())
    waited = context.asked().run("crm_resource --wait --timeout=3")
    return Seen(waited.exit == 0, waited.output.strip() or "idle")


@check("the cluster property {name} is {value}")
def property_is(context: Context, name: str, value: str) -> Seen:
    """The property in the CIB's cluster options."""
    done = context.asked().run(
        f"crm_attribute --type crm_config --name {shlex.quote(name)} --query --quiet"
    )
    if done.exit:
        return Seen(False, done.output.strip() or f"exit status {done.exit}")
    real = done.stdout.strip()
    return Seen(real == value, real or "empty")


@check("guest node {guest} is online on {host}")
def guest_online(context: Context, guest: Node, host: Node) -> Seen:
    """It is online, is a guest node, and both it and its connection are on that cluster node."""
    status = context.status()
    node = status.nodes.get(guest)
    if node is None:
        return Seen(False, "no such node in the cluster")
    if node.kind != "guest":
        return Seen(False, f"{node.kind} node, {node.text}")
    # Its connection is a resource that the cluster makes and names after the node.
    both = {name: status.resources.get(name) for name in (node.guest_of, guest)}
    there = all(r and r.role == "Started" and r.nodes == (host,) for r in both.values())
    places = [
        f"{name} {resource.text if resource else 'absent'}" for name, resource in both.items()
    ]
    return Seen(node.text == "online" and there, ", ".join([node.text, *places]))


@check(
    lambda remote, host: (
        f"remote node {remote} is online" + (f", connected by {host}" if host else "")
    )
)
def remote_online(context: Context, remote: Node, host: Node | None = None) -> Seen:
    """It is online, is a remote node, and its connection resource, which has its name, is started
    on a cluster node (on `host`, if that is given).
    """
    status = context.status()
    node, connection = status.nodes.get(remote), status.resources.get(remote)
    if node is None or connection is None:
        return Seen(False, "no such node in the cluster" if node is None else "no connection")
    if node.kind != "remote":
        return Seen(False, f"{node.kind} node, {node.text}")
    places = (host,) if host else tuple(context.lab.scenario.cluster_nodes)
    there = len(connection.nodes) == 1 and connection.nodes[0] in places
    started = connection.role == "Started" and not connection.failed
    return Seen(
        node.text == "online" and there and started, f"{node.text}, connection {connection.text}"
    )


@check("node {node} is lost")
def node_lost(context: Context, node: Node) -> Seen:
    """The cluster does not count it as online (any more), of whatever kind it is."""
    found: NodeStatus | None = context.status().nodes.get(node)
    return Seen(found is None or not found.online, found.text if found else "not listed")


@check("node {node} is {state}")
def node_state(context: Context, node: Node, state: str) -> Seen:
    """Its state in words: "online", "offline unclean" …; "absent" where it is no node."""
    found = context.status().nodes.get(node)
    text = found.text if found else "absent"
    return Seen(text == state, text)


@check("crm_mon, asked on {node}, sees {sees} online")
def crm_mon_on(context: Context, node: Node, sees: Node) -> Seen:
    """crm_mon run on that node itself (not on a cluster node) answers with the cluster's state."""
    try:
        status = context.status_from(node)
    except NoStatus as error:
        return Seen(False, error.message)
    found = status.nodes.get(sees)
    return Seen(found is not None and found.online, found.text if found else "absent")


@check("command {command} prints an answer matching {pattern}")
def answers(context: Context, pattern: str, command: int = 1) -> Seen:
    """A cluster tool's answer (standard output) matches the regular expression."""
    for done in context.typed(command):
        text = done.stdout.strip()
        if not re.search(pattern, text, re.M):
            return Seen(False, text[-300:] or "nothing")
    return Seen(True, text[-300:])
