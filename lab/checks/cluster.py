"""The cluster's state, from crm_mon's XML: nodes, resources, failed actions."""

from __future__ import annotations

import re
import shlex

from lab.checks import Seen, check
from lab.context import Context
from lab.status import NodeStatus, NoStatus
from lab.vocabulary import Node


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
    found = re.findall(r"^\s*name:\s*(\S+)", text, re.M)
    return Seen(
        name == [cluster] and sorted(found) == sorted(members),
        f"cluster {' '.join(name) or '(none)'}, nodes {', '.join(found) or '(none)'}",
    )


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
    named = {status.dc for status in seen.values()}
    dc = named.pop() if len(named) == 1 else ""
    online = bool(dc) and all(dc in s.nodes and s.nodes[dc].online for s in seen.values())
    text = ", ".join(f"{node}: DC {status.dc or 'none'}" for node, status in seen.items())
    return Seen(online, text)


@check("the cluster has quorum")
def quorum(context: Context) -> Seen:
    """The partition that was asked has quorum."""
    status = context.status()
    return Seen(status.quorum, "quorum" if status.quorum else "no quorum")


# Process names; the kernel keeps 15 characters of each. pacemaker_remote is not the cluster.
_DAEMONS = "corosync|pacemakerd|pacemaker-(based|fence|execd|attrd|sched|contr).*"


@check("the cluster is stopped on {nodes}")
def cluster_stopped(context: Context, nodes: list[Node]) -> Seen:
    """Neither corosync nor pacemaker nor a daemon of it runs there, as processes."""
    running = []
    for node in nodes:
        done = context.machine(node).run(f"pgrep -l -x '{_DAEMONS}'")
        if done.exit not in (0, 1):
            return Seen(False, f"pgrep on {node}: {done.output.strip()}")
        running += [f"{line.split()[-1]} on {node}" for line in done.stdout.splitlines()]
    if not running and set(nodes) == set(context.lab.scenario.cluster_nodes):
        context.stopped()
    return Seen(not running, f"running: {', '.join(running)}" if running else "stopped")


@check("{nodes} are online")
def nodes_online(context: Context, nodes: list[Node]) -> Seen:
    """Each one is online, of whatever kind it is."""
    status = context.status()
    seen = {n: status.nodes[n].text if n in status.nodes else "absent" for n in nodes}
    return Seen(
        all(text == "online" for text in seen.values()),
        ", ".join(f"{node} {text}" for node, text in seen.items()),
    )


@check("{nodes} nodes and {resources} resources are configured")
def configured(context: Context, nodes: int, resources: int) -> Seen:
    """The counts that `pcs status` prints."""
    status = context.status()
    seen = (status.nodes_configured, status.resources_configured)
    return Seen(seen == (nodes, resources), f"{seen[0]} nodes and {seen[1]} resources")


@check("the cluster has settled")
def cluster_settled(context: Context) -> Seen:
    """The DC is idle (`crmadmin --status`: S_IDLE) and no resource is on its way.

    What is placed rightly at one look may be moved at the next while a transition runs.
    """
    status = context.status()
    if not status.dc:
        return Seen(False, "no DC")
    moving = [f"{name} {r.text}" for name, r in status.resources.items() if r.role.endswith("ing")]
    if moving:
        return Seen(False, ", ".join(moving))
    done = context.asked().run(f"crmadmin --status={status.dc}")
    return Seen(done.exit == 0 and "S_IDLE" in done.stdout, done.output.strip())


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


@check(lambda resource, node: f"resource {resource} is started" + (f" on {node}" if node else ""))
def resource_started(context: Context, resource: str, node: Node | None = None) -> Seen:
    """The primitive is active there (or where the cluster likes), only there, and not failed."""
    found = context.status().resources.get(resource)
    if found is None:
        return Seen(False, "no such resource")
    there = found.nodes == (node,) if node else len(found.nodes) == 1
    ok = found.role == "Started" and there and not found.failed
    return Seen(ok, found.text, hint="lab status, or crm_mon -1rf on a node")


@check("resource {resource} is in role {role}")
def resource_role(context: Context, resource: str, role: str) -> Seen:
    """The primitive's role in crm_mon's words: Stopped, Starting, Started …"""
    found = context.status().resources.get(resource)
    return Seen(found is not None and found.role == role, found.text if found else "absent")


@check("{resources} are on one node")
def resources_together(context: Context, resources: list[str]) -> Seen:
    """Each primitive is started, all of them on the same node."""
    status = context.status()
    found = {r: status.resources.get(r) for r in resources}
    places = {s.nodes if s and s.role == "Started" else () for s in found.values()}
    text = ", ".join(f"{r} {s.text if s else 'absent'}" for r, s in found.items())
    return Seen(len(places) == 1 and len(places.pop()) == 1, text)


@check("{resources} are started, some on each of {nodes}")
def resources_spread(context: Context, resources: list[str], nodes: list[Node]) -> Seen:
    """Each primitive is started on exactly one of the nodes, and each node has at least one."""
    status = context.status()
    places = {r: status.resources[r] for r in resources if r in status.resources}
    started = [
        r for r, s in places.items() if s.role == "Started" and len(s.nodes) == 1 and not s.failed
    ]
    used = {node for r in started for node in places[r].nodes}
    text = ", ".join(f"{r} {places[r].text if r in places else 'absent'}" for r in resources)
    return Seen(len(started) == len(resources) and used == set(nodes), text)


@check("the state files of {resources} are where the cluster says they run")
def dummies_real(context: Context, resources: list[str]) -> Seen:
    """Each ocf:pacemaker:Dummy has its state file on its node's machine, and on no other.

    The agent keeps it as $HA_VARRUN/Dummy-ID.state (see its `state` parameter).
    """
    status = context.status()
    wrong, places = [], []
    holders = _holders(context, resources, list(status.nodes))
    for resource in resources:
        found = status.resources.get(resource)
        said = set(found.nodes) if found else set()
        places.append(f"{resource} {' '.join(sorted(holders[resource])) or 'nowhere'}")
        if said != holders[resource] or len(said) != 1:
            wrong.append(f"{resource}: cluster says {sorted(said)}, file on {holders[resource]}")
    return Seen(not wrong, "; ".join(wrong) or ", ".join(places))


@check("{resource} really runs on {nodes}")
def really_runs(context: Context, resource: str, nodes: list[Node]) -> Seen:
    """The state file of that ocf:pacemaker:Dummy is on these nodes' machines, and on no other,
    whatever the cluster says.
    """
    holders = _holders(context, [resource], context.lab.scenario.names)[resource]
    return Seen(holders == set(nodes), ", ".join(sorted(holders)) or "nowhere")


def _holders(context: Context, resources: list[str], nodes: list[str]) -> dict[str, set[str]]:
    """On which machines each dummy's state file is."""
    holders: dict[str, set[str]] = {resource: set() for resource in resources}
    for node in nodes:
        listing = context.machine(node).run("find /run -maxdepth 2 -name 'Dummy-*.state'")
        for path in listing.stdout.split():
            name = path.rpartition("/")[2].removeprefix("Dummy-").removesuffix(".state")
            if name in holders:
                holders[name].add(node)
    return holders


@check("a failed {operation} of {resource} is recorded")
def failed_action(context: Context, resource: str, operation: str) -> Seen:
    """The cluster lists that operation of that very resource as failed."""
    failed = context.status().failed
    hit = [a for a in failed if (a.resource, a.operation) == (resource, operation)]
    return Seen(bool(hit), "; ".join(a.text for a in failed) or "no failed action")


@check("no failed action of {resource} is recorded")
def no_failed_action_of(context: Context, resource: str) -> Seen:
    """The cluster has that resource and lists no failed operation of it."""
    status = context.status()
    if resource not in status.resources:
        return Seen(False, "no such resource")
    hit = [a.text for a in status.failed if a.resource == resource]
    return Seen(not hit, "; ".join(hit) or "none")


@check("no failed action is left")
def no_failed_actions(context: Context) -> Seen:
    """The cluster's list of failed actions is empty."""
    failed = context.status().failed
    return Seen(not failed, "; ".join(a.text for a in failed) or "none")


@check("crm_mon, asked on {node}, sees {guest} online")
def crm_mon_on(context: Context, node: Node, guest: Node) -> Seen:
    """crm_mon run on that node itself (not on a cluster node) answers with the cluster's state."""
    try:
        status = context.status_from(node)
    except NoStatus as error:
        return Seen(False, error.message)
    found = status.nodes.get(guest)
    return Seen(found is not None and found.online, found.text if found else "absent")


@check("command {command} prints an answer matching {pattern}")
def answers(context: Context, pattern: str, command: int = 1) -> Seen:
    """A cluster tool's answer (standard output) matches the regular expression."""
    for done in context.typed(command):
        text = done.stdout.strip()
        if not re.search(pattern, text, re.M):
            return Seen(False, text[-300:] or "nothing")
    return Seen(True, text[-300:])
