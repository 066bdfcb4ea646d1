"""Many nodes alike: each of them online, each with its own resource, none of them disturbed."""

from __future__ import annotations

import time

from lab import growth
from lab.checks import Seen, check
from lab.checks.resources import holders_of
from lab.context import Context
from lab.fleet import named
from lab.together import on_each
from lab.vocabulary import Node
from lab.wording import be

_SHOWN = 5  # of those that are not as they should be


def _told(wrong: dict[str, str], good: str) -> Seen:
    """A pass, or the first of what is wrong by node, and how many there are."""
    if not wrong:
        return Seen(True, good)
    first = ", ".join(f"{node}: {what}" for node, what in list(wrong.items())[:_SHOWN])
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return Seen(False, f"{len(wrong)} {be(len(wrong))} not: {first}{more}")


@check(
    lambda nodes, hosts, timed: (
        f"{named(nodes)} {be(len(nodes))} online as "
        + ("a remote node" if len(nodes) == 1 else "remote nodes")
        + (f", connected by {named(hosts)}" if hosts else "")
        + (f" (timed: {timed})" if timed else "")
    ),
    remember=lambda *_context, **_arguments: time.time(),
)
def all_remote(
    context: Context,
    nodes: list[Node],
    hosts: list[Node] | None = None,
    timed: growth.Time | None = None,
    *,
    before: float | None = None,
) -> Seen:
    """Each is online, is a remote node, and its connection resource is started on one of `hosts`,
    each of which has some (by default, on any cluster node).

    `timed`: what the seconds until then are, for `measure`: integrate or failover. They count
    from this part's fault, or else from its beginning.
    """
    status = context.status()
    able = hosts or context.lab.scenario.cluster_nodes
    wrong, held = {}, dict.fromkeys(able, 0)
    for name in nodes:
        node, connection = status.nodes.get(name), status.resources.get(name)
        if node is None or connection is None:
            wrong[name] = "no such node in the cluster" if node is None else "no connection"
        elif node.kind != "remote" or node.text != "online":
            wrong[name] = f"{node.kind} node, {node.text}"
        elif (
            connection.role != "Started"
            or connection.failed
            or len(connection.nodes) != 1
            or connection.nodes[0] not in held
        ):
            wrong[name] = f"connection {connection.text}"
        else:
            held[connection.nodes[0]] += 1
    wrong |= {
        host: "no connection is on it" for host in hosts or [] if not wrong and not held[host]
    }
    if timed and before is not None and not wrong:
        history = context.observer.history if context.observer else None
        began = history.began if history else before
        growth.note(context.lab, timed, time.time() - began)
    return _told(wrong, ", ".join(f"{count} by {host}" for host, count in held.items()))


@check("{prefix}NODE runs on each of {nodes}, and its state file is there")
def dummy_on_each(context: Context, prefix: str, nodes: list[Node]) -> Seen:
    """For each node an ocf:pacemaker:Dummy of that name is started there and nowhere else, and
    its state file is on that machine and on no other one that is online.
    """
    status = context.status()
    wrong = {}
    for node in nodes:
        found = status.resources.get(f"{prefix}{node}")
        if found is None or (found.role, found.nodes, found.failed) != ("Started", (node,), False):
            wrong[node] = found.text if found else "no such resource"
    if wrong:  # while the cluster is on its way, nobody needs to log in everywhere
        return _told(wrong, "")
    online = [name for name, node in status.nodes.items() if node.online]
    holders = holders_of(context, [f"{prefix}{node}" for node in nodes], online)
    for node in nodes:
        if (there := holders[f"{prefix}{node}"]) != {node}:
            wrong[node] = f"its state file is on {', '.join(sorted(there)) or 'no machine'}"
    return _told(wrong, f"{len(nodes)} state files, each on its own machine")


def _lives(context: Context, prefix: str, nodes: list[str]) -> dict[str, str]:
    """Of each machine: when its PID 1 started, and its dummy's state file (inode, time)."""
    line = (
        "cut -d' ' -f22 /proc/1/stat; "
        f"stat -c '%i %y' $(find /run -maxdepth 2 -name 'Dummy-{prefix}*.state')"
    )
    done = on_each(context.lab, nodes, lambda machine: machine.run(line, check=True))
    return {node: result.stdout.strip() for node, result in done.items()}


@check("nothing was restarted on {nodes}, {prefix}NODE included", remember=_lives)
def undisturbed(
    context: Context, prefix: str, nodes: list[Node], *, before: dict[str, str]
) -> Seen:
    """PID 1 of each machine has the start time, and the state file of its dummy is the one, of
    before the section's commands.
    """
    now = _lives(context, prefix, nodes)
    wrong = {
        node: f"{' '.join(before[node].split())} became {' '.join(now[node].split())}"
        for node in nodes
        if now[node] != before[node]
    }
    return _told(wrong, f"PID 1 and state file of {len(nodes)} machines are the same")
