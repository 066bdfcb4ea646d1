"""Fencing and recovery: who took whose power away, and what a fault led to, when."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from lab import bmc, hypervisor, pacemaker
from lab.checks import Seen, check
from lab.context import Context
from lab.errors import CommandFailed
from lab.recovery import History, Phase
from lab.vocabulary import Node
from lab.wording import counted


def _entries(context: Context, node: str) -> list[dict[str, Any]]:
    """What was done to its power: by a machine's BMC, or by the hypervisor of a guest."""
    if node in context.lab.scenario.guests:
        return hypervisor.log(context.lab, node)
    return [entry for entry in bmc.log(context.lab) if entry.get("node") == node]


def _switched(context: Context, node: str, since: int) -> list[tuple[str, str, str]]:
    """What was done to its power: action, the power before, and for whom, where that is known."""
    names = {context.lab.address(name): name for name in context.lab.scenario.names}
    return [
        (entry["action"], entry["was"], names.get(entry["from"], entry["from"]))
        for entry in _entries(context, node)[since:]
        if entry["action"] in ("on", "off", "reset") and not entry["problem"]
    ]


def _told(context: Context, node: str, done: list[tuple[str, str, str]]) -> str:
    said = [f"{deed} (was {was})" + (f" for {who}" if who else "") for deed, was, who in done]
    holder = "hypervisor" if node in context.lab.scenario.guests else "BMC"
    return ", ".join(said) or f"its {holder} did nothing"


def _before_fencing(context: Context, node: str, **_: object) -> tuple[int, list[str]]:
    # A BMC knows for whom it acts. A hypervisor does not: that is the cluster's word then.
    guest = node in context.lab.scenario.guests
    return len(_entries(context, node)), _fencings(context, node, "success") if guest else []


@check(
    lambda node, by: f"{node} was fenced" + (f" by {by}" if by else ""), remember=_before_fencing
)
def fenced(
    context: Context, node: Node, by: Node | None = None, *, before: tuple[int, list[str]]
) -> Seen:
    """Its BMC took its power away, or found it without, and then gave it power, since the
    section's commands; for a cluster node, or for that very one.

    A guest's BMC is its hypervisor: libvirtd's log has that its process was destroyed, or had
    ended, and another was started; and the cluster's fencing history has by which node.
    """
    entries, fencings = before
    done = _switched(context, node, entries)
    off = whole = False
    for deed, was, _ in done:
        off = off or deed == "off" or was == "off"
        whole = whole or deed == "reset" or (deed == "on" and off)
    able = [by] if by else context.lab.scenario.cluster_nodes
    told = _told(context, node, done)
    asking = [who for _, _, who in done]
    if node in context.lab.scenario.guests:
        new = Counter(_fencings(context, node, "success")) - Counter(fencings)
        asking = sorted(new.elements())
        told += f"; in the cluster's history {', '.join(asking) or 'nobody'} fenced it"
    return Seen(whole and bool(asking) and all(who in able for who in asking), told)


@check("{node} was not fenced", remember=lambda c, node: len(_entries(c, node)))
def not_fenced(context: Context, node: Node, *, before: int) -> Seen:
    """Its BMC, or hypervisor, did nothing to its power since the section's commands."""
    done = _switched(context, node, before)
    return Seen(not done, _told(context, node, done))


def _refusals(context: Context, node: str) -> list[str]:
    if node in context.lab.scenario.guests:
        return hypervisor.refused_logins(context.lab, node)
    refused = (e for e in _entries(context, node) if e["action"] == "refused login")
    return [entry["problem"] for entry in refused]


@check("a login to fence {node} was refused", remember=lambda c, node: len(_refusals(c, node)))
def login_refused(context: Context, node: Node, *, before: int) -> Seen:
    """Somebody came to its BMC with a wrong user or password since the section's commands; or a
    cluster node to the host of a guest, with a key that opens nothing there.
    """
    found = _refusals(context, node)[before:]
    return Seen(bool(found), f"refused {len(found)}: {found[-1]}" if found else "none")


def _fencings(context: Context, node: str, status: str) -> list[str]:
    """Who did the fencing actions against a node that ended so, as the cluster's history has it."""
    platform = context.lab.platform
    done = context.asked().run(pacemaker.fencing_command(platform))
    try:
        found = pacemaker.fencings(done.stdout, platform)
    except pacemaker.NoHistory as error:
        raise CommandFailed(done.output.strip()[-300:] or "stonith_admin told nothing") from error
    return [one.by for one in found if (one.node, one.status) == (node, status)]


@check(
    lambda node, times: f"the cluster failed to fence {node} {counted(times, 'time')} more",
    remember=lambda c, node, **_: len(_fencings(c, node, "failed")),
)
def fencing_failed(context: Context, node: Node, times: int = 1, *, before: int) -> Seen:
    """Its fencing history has that many failed actions against the node more than before the
    section's commands.
    """
    more = len(_fencings(context, node, "failed")) - before
    return Seen(more >= times, f"{more} more")


@check("no BMC was asked by {node}", remember=lambda c, node: len(bmc.log(c.lab)))
def asked_no_bmc(context: Context, node: Node, *, before: int) -> Seen:
    """No BMC's log has an entry with the node's address since the section's commands."""
    address = context.lab.address(node)
    asked = [e["node"] for e in bmc.log(context.lab)[before:] if e.get("from") == address]
    return Seen(not asked, f"asked those of {', '.join(asked)}" if asked else "none")


@check("{node} was not rebooted", remember=lambda c, node: c.lab.boot(node))
def not_rebooted(context: Context, node: Node, *, before: str) -> Seen:
    """Its PID 1 is the same as before the section, and it has power."""
    now = context.lab.boot(node)
    return Seen(bool(now) and now == before, "same boot" if now == before else "another boot")


@check("the recovery shows: {phases}")
def recovery(context: Context, phases: list[Phase]) -> Seen:
    """Each phase of the recovery (detected, fenced, recovered, reintegrated) has come about since
    the fault, or since this part's commands; the text says after how many seconds.
    """
    found = _history(context).phases()
    told = [
        f"{name} +{at:.1f} s" if at is not None else f"not {name}" for name, at in found.items()
    ]
    return Seen(all(found[name] is not None for name in phases), ", ".join(told))


@check("resource {resource} stays in role {role} for {seconds} s")
def role_lasts(context: Context, resource: str, role: str, seconds: int) -> Seen:
    """The primitive was, or has been, in that role (crm_mon's word) without a break for so long, as
    the history of this part's fault has it.
    """
    context.status()
    longest = 0.0
    since: float | None = None
    last = "no change"
    for at, status in _history(context).states:
        found = status.resources.get(resource)
        last = found.role if found else "absent"
        if last == role:
            since = since or at
        elif since:
            longest, since = max(longest, at - since), None
    if since:
        longest = max(longest, time.time() - since)
    return Seen(longest >= seconds, f"{role} for {longest:.0f} s" if longest else last)


def _history(context: Context) -> History:
    assert context.observer is not None
    assert context.observer.history is not None, "this part has no fault, and no check `recovery`"
    return context.observer.history
