"""Fencing and recovery: who took whose power away, and what a fault led to, when."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from lab import bmc
from lab.checks import Seen, check
from lab.context import Context
from lab.recovery import PHASES
from lab.vocabulary import Node


def _entries(context: Context, node: str) -> list[dict[str, Any]]:
    return [entry for entry in bmc.log(context.lab) if entry.get("node") == node]


def _switched(context: Context, node: str, since: int) -> list[tuple[str, str]]:
    """What the machine's BMC did to its power, or that there was none; for whom."""
    names = {context.lab.address(name): name for name in context.lab.scenario.names}
    done = []
    for entry in _entries(context, node)[since:]:
        deed = "is off" if entry.get("state") == "off" else entry["action"]
        if deed in ("on", "off", "reset", "is off") and not entry["problem"]:
            done.append((deed, names.get(entry["from"], entry["from"])))
    return done


def _told(done: list[tuple[str, str]]) -> str:
    return ", ".join(f"{deed} for {who}" for deed, who in done) or "its BMC did nothing"


@check(
    lambda node, by: f"{node} was fenced" + (f" by {by}" if by else ""),
    remember=lambda c, node, **_: len(_entries(c, node)),
)
def fenced(context: Context, node: Node, by: Node | None = None, *, before: int) -> Seen:
    """Its BMC took its power away, or told that it had none, and then gave it power, since the
    section's commands; for a cluster node, or for that very one.
    """
    done = _switched(context, node, before)
    off = whole = False
    for deed, _ in done:
        off = off or deed in ("off", "reset", "is off")
        whole = whole or deed == "reset" or (deed == "on" and off)
    able = [by] if by else context.lab.scenario.cluster_nodes
    return Seen(whole and all(who in able for _, who in done), _told(done))


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


@check("the cluster says that fencing {node} failed")
def fencing_failed(context: Context, node: Node) -> Seen:
    """Its fencing history (`stonith_admin --history`) has a failed action against the node."""
    # Asked about one node alone it tells only of the last action that succeeded.
    done = context.asked().run("stonith_admin --history '*' --verbose --output-as=xml")
    try:
        events = ET.fromstring(done.stdout).iter("fence_event")
    except ET.ParseError:
        return Seen(False, done.output.strip()[-300:] or "no answer")
    found = [event.get("status", "") for event in events if event.get("target") == node]
    return Seen("failed" in found, ", ".join(found) or "no event")


@check("no BMC was ever asked by {node}")
def asked_no_bmc(context: Context, node: Node) -> Seen:
    """No BMC's log has an entry with the node's address."""
    address = context.lab.address(node)
    asked = [entry for entry in bmc.log(context.lab) if entry.get("from") == address]
    return Seen(not asked, f"asked {len(asked)} times" if asked else "never")


@check("{node} was not restarted", remember=lambda c, node: c.lab.boot(node))
def not_rebooted(context: Context, node: Node, *, before: str) -> Seen:
    """Its PID 1 is the same as before the section, and it has power."""
    now = context.lab.boot(node)
    return Seen(bool(now) and now == before, "same boot" if now == before else "another boot")


@check("the recovery shows: {phases}")
def recovery(context: Context, phases: list[str]) -> Seen:
    """Each phase of the recovery (detected, fenced, recovered, reintegrated) has come about since
    the fault, or since this part's commands; the text says after how many seconds.
    """
    if unknown := set(phases) - set(PHASES):
        raise ValueError(f"no phase {', '.join(unknown)}; phases: {', '.join(PHASES)}")
    assert context.observer is not None
    assert context.observer.history is not None
    found = context.observer.history.phases()
    told = [
        f"{name} +{at:.1f} s" if at is not None else f"not {name}" for name, at in found.items()
    ]
    return Seen(all(found[name] is not None for name in phases), ", ".join(told))
