"""Bundles: replicas as the cluster has them, and the containers that they are."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from lab.arguments import Count, Number
from lab.checks import Seen, check
from lab.checks.resources import holders_of
from lab.context import Context
from lab.status import ClusterStatus, ReplicaStatus

if TYPE_CHECKING:
    from lab.machine import Result


@check("bundle {bundle} has {replicas} replicas, all of them up")
def bundle_up(context: Context, bundle: str, replicas: Number) -> Seen:
    """That many replicas, and of each the container is started and not failed; where there is a
    primitive in it, the replica is a node that is online, with the primitive started there.
    """
    status = context.status()
    found = status.bundles.get(bundle)
    if found is None:
        return Seen(False, "no such bundle")
    text = "; ".join(_told(status, one) for one in found) or "no replica"
    return Seen(len(found) == replicas and all(_up(status, one) for one in found), text)


def _up(status: ClusterStatus, replica: ReplicaStatus) -> bool:
    parts = [p for p in (replica.container, replica.connection, replica.primitive) if p]
    if any(p.role != "Started" or p.failed or len(p.nodes) != 1 for p in parts):
        return False
    if not replica.connection:
        return True
    node = status.nodes.get(replica.connection.id)
    inside = replica.primitive
    return bool(
        node
        and (node.kind, node.text) == ("replica", "online")
        and (inside is None or inside.nodes == (node.name,))
    )


def _told(status: ClusterStatus, replica: ReplicaStatus) -> str:
    said = [f"{replica.container.id} {replica.container.text}"]
    if replica.connection:
        node = status.nodes.get(replica.connection.id)
        said.append(f"{replica.connection.id} {node.text if node else 'absent'}")
    if replica.primitive:
        said.append(f"{replica.primitive.id} {replica.primitive.text}")
    return ", ".join(said)


@check("what is in the replicas of {bundle} really runs in their containers")
def replicas_real(context: Context, bundle: str) -> Seen:
    """The state file of its ocf:pacemaker:Dummy is in each replica's container, one of that
    replica's instance alone, and on no machine.
    """
    wrong, places = [], []
    replicas = context.status().bundles.get(bundle, ())
    if not replicas:
        return Seen(False, "no replica")
    outside = holders_of(context, [one.primitive.id for one in replicas if one.primitive])
    for replica in replicas:
        inside = replica.primitive
        if inside is None:
            return Seen(False, f"there is nothing in {replica.container.id}")
        line = "find /run -maxdepth 2 -name 'Dummy-*.state' -printf '%f '"
        done = _of_container(context, replica, f"exec {replica.container.id} {line}")
        found = (done.output.strip() or "nothing") if done else "it is nowhere"
        place = f"{replica.container.id}: {found}"
        places.append(place)
        if not done or done.exit or done.stdout.split() != [f"Dummy-{inside.id}.state"]:
            wrong.append(place)
        if outside[inside.id]:
            wrong.append(f"{inside.id} runs on {', '.join(sorted(outside[inside.id]))}")
    return Seen(not wrong, "; ".join(wrong or places))


def _process(context: Context, bundle: str, replica: int) -> str:
    found = context.status().bundles.get(bundle, ())
    if replica >= len(found):
        return ""
    form = shlex.quote("{{if .State.Running}}{{.Id}} {{.State.Pid}} {{.State.StartedAt}}{{end}}")
    name = found[replica].container.id
    done = _of_container(context, found[replica], f"inspect --format {form} {name}")
    return done.stdout.strip() if done and done.exit == 0 else ""


@check("the container of replica {replica} of {bundle} was really restarted", remember=_process)
def replica_restarted(context: Context, bundle: str, replica: Count, *, before: str) -> Seen:
    """Its first process is another one than before the section's commands. Replicas are counted
    from 0, as the cluster does.
    """
    now = _process(context, bundle, replica)
    if not before:
        return Seen(False, "it did not run before the section")
    if not now:
        return Seen(False, "it does not run")
    return Seen(now != before, "another one" if now != before else "the same one")


def _of_container(context: Context, replica: ReplicaStatus, command: str) -> Result | None:
    """Ask the program that runs the container (podman, docker), where it is; None if nowhere."""
    program = replica.container.agent.rpartition(":")[2]
    if not replica.container.nodes:
        return None
    return context.machine(replica.container.nodes[0]).run(f"{program} {command}")
