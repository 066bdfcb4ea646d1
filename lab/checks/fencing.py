"""Fencing and recovery: who took whose power away, and what a fault led to, when."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from typing import Any

from lab import bmc
from lab.checks import Seen, check
from lab.context import Context
from lab.errors import CommandFailed
from lab.recovery import History, Phase
from lab.vocabulary import Node


def _entries(context: Context, node: str) -> list[dict[str, Any]]:
    return [entry for entry in bmc.log(context.lab) if entry.get("node") == node]


def _switched(context: Context, node: str, since: int) -> list[tuple[str, str, str]]:
    """What the machine's BMC did to its power: action, the power before, and for whom."""
    names = {context.lab.address(name): name for name in context.lab.scenario.names}
    return [
        (entry["action"], entry["was"], names.get(entry["from"], entry["from"]))
        for entry in _entries(context, node)[since:]
        if entry["action"] in ("on", "off", "reset") and not entry["problem"]
    ]


def _told(done: list[tuple[str, str, str]]) -> str:
    said = [f"{deed} (was {was}) for {who}" for deed, was, who in done]
    return ", ".join(said) or "its BMC did nothing"


@check(
    lambda node, by: f"{node} was fenced" + (f" by {by}" if by else ""),
    remember=lambda c, node, **_: len(_entries(c, node)),
)
def fenced(context: Context, node: Node, by: Node | None = None, *, before: int) -> Seen:
    """Its BMC took its power away, or found it without, and then gave it power, since the
    section's commands; for a cluster node, or for that very one.
    """
    done = _switched(context, node, before)
    off = whole = False
    for deed, was, _ in done:
        off = off or deed == "off" or was == "off"
        whole = whole or deed == "reset" or (deed == "on" and off)
    able = [by] if by else context.lab.scenario.cluster_nodes
    return Seen(whole and all(who in able for _, _, who in done), _told(done))


@check("{node} was not fenced", remember=lambda c, node: len(_entries(c, node)))
def not_fenced(context: Context, node: Node, *, before: int) -> Seen:
    """Its BMC did nothing to its power since the section's commands."""
    done = _switched(context, node, before)
    return Seen(not done, _told(done))


@check("the BMC of {node} refused a login", remember=lambda c, node: len(_entries(c, node)))
def login_refused(context: Context, node: Node, *, before: int) -> Seen:
    """Somebody came with a wrong user or password since the section's commands."""
    found = [e for e in _entries(context, node)[before:] if e["action"] == "refused login"]
    return Seen(bool(found), f"refused {len(found)}: {found[-1]['problem']}" if found else "none")


def _failed_fencings(context: Context, node: str) -> int:
    # Asked about one node alone it tells only of the last action that succeeded.
    done = context.asked().run("stonith_admin --history '*' --verbose --output-as=xml")
    try:
        events = list(ET.fromstring(done.stdout).iter("fence_event"))
    except ET.ParseError as error:
        raise CommandFailed(done.output.strip()[-300:] or "stonith_admin told nothing") from error
    wanted = (node, "failed")
    return sum((event.get("target"), event.get("status")) == wanted for event in events)


@check(
    "the cluster failed to fence {node} {times} times more",
    remember=lambda c, node, **_: _failed_fencings(c, node),
)
def fencing_failed(context: Context, node: Node, times: int = 1, *, before: int) -> Seen:
    """Its fencing history has that many failed actions against the node more than before the
    section's commands.
    """
    more = _failed_fencings(context, node) - before
    return Seen(more >= times, f"{more} more")


@check("no BMC was asked by {node}", remember=lambda c, node: len(bmc.log(c.lab)))
def asked_no_bmc(context: Context, node: Node, *, before: int) -> Seen:
    """No BMC's log has an entry with the node's address since the section's commands."""
    address = context.lab.address(node)
    asked = [e["node"] for e in bmc.log(context.lab)[before:] if e.get("from") == address]
    return Seen(not asked, f"asked those of {', '.join(asked)}" if asked else "none")


@check("{node} was not restarted", remember=lambda c, node: c.lab.boot(node))
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
