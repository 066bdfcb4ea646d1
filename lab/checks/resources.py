"""Resources: where the cluster says that they are, where they really are, what failed."""

from __future__ import annotations

import shlex

from lab.checks import Seen, check
from lab.context import Context
from lab.fleet import named
from lab.together import on_each
from lab.vocabulary import Node
from lab.wording import be


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


@check("resource {resource} has the meta-attribute {name} {value}")
def meta_attribute(context: Context, resource: str, name: str, value: str) -> Seen:
    """The CIB has it, at the resource itself or as a default of all."""
    asks = f"--resource {shlex.quote(resource)} --meta --get-parameter {shlex.quote(name)}"
    done = context.asked().run(f"crm_resource {asks}")
    if done.exit:
        return Seen(False, done.output.strip() or f"exit status {done.exit}")
    real = done.stdout.strip()
    return Seen(real == value, real or "empty")


@check(lambda resources: f"{named(resources)} {be(len(resources))} on one node")
def resources_together(context: Context, resources: list[str]) -> Seen:
    """Each primitive is started, all of them on the same node."""
    status = context.status()
    found = {r: status.resources.get(r) for r in resources}
    places = {s.nodes if s and s.role == "Started" else () for s in found.values()}
    text = ", ".join(f"{r} {s.text if s else 'absent'}" for r, s in found.items())
    return Seen(len(places) == 1 and len(places.pop()) == 1, text)


@check(
    lambda resources, nodes: (
        f"{named(resources)} {be(len(resources))} started, some on each of {named(nodes)}"
    )
)
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
    holders = holders_of(context, resources)
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
    holders = holders_of(context, [resource])[resource]
    return Seen(holders == set(nodes), ", ".join(sorted(holders)) or "nowhere")


@check("{resource} really runs on {besides}, and on another node too")
def runs_twice(context: Context, resource: str, besides: Node) -> Seen:
    """The state file of that ocf:pacemaker:Dummy is on that node's machine and on another one:
    what a cluster is there to prevent.
    """
    holders = holders_of(context, [resource])[resource]
    ok = besides in holders and len(holders) > 1
    return Seen(ok, ", ".join(sorted(holders)) or "nowhere")


def _state_file(context: Context, resource: str, node: str) -> str:
    line = f"stat -c '%i %y' $(find /run -maxdepth 2 -name 'Dummy-{resource}.state')"
    done = context.machine(node).run(line)
    return done.stdout.strip() if done.exit == 0 else ""


@check("{resource} was not restarted on {node}", remember=_state_file)
def dummy_not_restarted(context: Context, resource: str, node: Node, *, before: str) -> Seen:
    """The state file of that ocf:pacemaker:Dummy is the one of before the section's commands: its
    agent makes another when it starts.
    """
    now = _state_file(context, resource, node)
    return Seen(bool(before) and now == before, "the same" if now == before else now or "none")


def holders_of(
    context: Context, resources: list[str], nodes: list[str] | None = None
) -> dict[str, set[str]]:
    """On which machines each dummy's state file is, of all that there are or of these `nodes`."""
    holders: dict[str, set[str]] = {resource: set() for resource in resources}
    find = "find /run -maxdepth 2 -name 'Dummy-*.state'"
    asked = context.lab.scenario.names if nodes is None else nodes
    listings = on_each(context.lab, asked, lambda machine: machine.run(find))
    for node, listing in listings.items():
        for path in listing.stdout.split():
            name = path.rpartition("/")[2].removeprefix("Dummy-").removesuffix(".state")
            if name in holders:
                holders[name].add(node)
    return holders


@check(
    lambda resource, operation, reason: (
        f"a failed {operation} of {resource} is recorded" + (f": {reason}" if reason else "")
    )
)
def failed_action(context: Context, resource: str, operation: str, reason: str = "") -> Seen:
    """The cluster lists that operation of that very resource as failed; with `reason`, for a
    reason that has this text.
    """
    failed = context.status().failed
    hit = [a for a in failed if (a.resource, a.operation) == (resource, operation)]
    told = "; ".join(action.told for action in failed)
    return Seen(any(reason in action.reason for action in hit), told or "no failed action")


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
