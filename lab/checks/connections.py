"""The cluster's connections to remote and guest nodes: where they go, how long they are tried,
and what is left of a node whose connection was removed.

What the cluster did when is read from its own record, the CIB: an operation's `last-rc-change`
is when it began (of a recurring one: when it failed), a `last-failure` attribute is when its
failure was known. Both are in whole seconds. (`exec-time` is always 0 for a connection: the
controller does not measure it. Source: Pacemaker's controld_remote_ra.c.)
"""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET

from lab import cib, pacemaker
from lab.arguments import CibSection, Count, PortNumber
from lab.checks import Seen, check
from lab.context import Context
from lab.errors import CommandFailed
from lab.fields import Address
from lab.vocabulary import Node


@check("the cluster on {source} is connected to {address}, port {port}")
def connected(context: Context, source: Node, address: Address, port: PortNumber) -> Seen:
    """The controller there holds an established TCP connection to that very address and port."""
    # (With a line of headings: not every ss can leave it out.)
    done = context.machine(source).run("ss -t -n -p state established", check=True)
    controller = pacemaker.controller(context.lab.platform)
    peers = []
    for line in done.stdout.splitlines():
        columns = line.split()  # receive queue, send queue, local, peer, process
        if f'"{controller}"' in columns[-1]:
            host, _, number = columns[3].rpartition(":")
            peers.append((host.strip("[]").removeprefix("::ffff:"), number))
    text = ", ".join(f"{host}, port {number}" for host, number in peers)
    return Seen((address, str(port)) in peers, text or "to none")


@check("the cluster gave up the start of {resource} after {at_least} to {at_most} s")
def gave_up(context: Context, resource: str, at_least: Count, at_most: Count) -> Seen:
    """Its start is on record as timed out, on some node, and so long after it began."""
    root = _cib(context)
    name = pacemaker.failure_attribute(context.lab.platform, resource, "start")
    seen = []
    for state in root.iterfind("status/node_state"):
        known = [one.get("value", "") for one in state.iter("nvpair") if one.get("name") == name]
        for operation in _failures(state, resource, "start"):
            reason = operation.get("exit-reason", "")
            if operation.get("op-status") != "2" or not known:
                seen.append((False, f"not timed out: {reason}" if known else "not known yet"))
                continue
            seconds = int(known[0]) - int(operation.get("last-rc-change", "0"))
            seen.append((at_least <= seconds <= at_most, f"{seconds} s: {reason}"))
    ok = bool(seen) and all(good for good, _ in seen)
    return Seen(ok, "; ".join(text for _, text in seen) or "no failed start of it")


def _failed_at(context: Context, resource: str, **_: object) -> int:
    """When the monitor of the resource failed, in seconds since 1970; 0 if none did."""
    failed = _failures(_cib(context), resource, "monitor")
    return max((int(one.get("last-rc-change", "0")) for one in failed), default=0)


@check(
    "{resource} was started again {at_least} to {at_most} s after it had failed",
    remember=_failed_at,
)
def started_after_failure(
    context: Context, resource: str, at_least: Count, at_most: Count, *, before: int
) -> Seen:
    """The start on record began so long after the failure of its monitor that was on record
    before the section's commands: until then nothing was tried.
    """
    if not before:
        return Seen(False, "no failed monitor of it was on record before")
    entries = [
        one
        for one in _history(_cib(context), resource)
        if one.get("operation") == "start" and one.get("op-status") != "-1"
    ]
    began = [int(one.get("last-rc-change", "0")) for one in entries]
    later = [at - before for at in began if at >= before]
    if not later:
        return Seen(False, "not started since")
    return Seen(all(at_least <= s <= at_most for s in later), f"{min(later)} s")


@check("{agent} has the option {option}, by default {default}")
def option_default(context: Context, agent: str, option: str, default: str) -> Seen:
    """The agent's metadata, as the cluster has it, name the option with that default; "none"
    where there is none.
    """
    line = f"crm_resource --show-metadata {shlex.quote(agent)}"
    done = context.asked().run(line, check=True)
    try:
        root = ET.fromstring(done.stdout)
    except ET.ParseError as error:
        raise CommandFailed(f"no metadata of {agent}: {done.output.strip()[:200]}") from error
    found = {one.get("name"): one.find("content") for one in root.iter("parameter")}
    if option not in found:
        return Seen(False, f"its options: {', '.join(str(name) for name in found)}")
    content = found[option]
    real = "none" if content is None else content.get("default", "none")
    return Seen(real == default, real)


@check("the CIB still knows {node} in its {sections}")
def cib_knows(context: Context, node: Node, sections: list[CibSection]) -> Seen:
    """The node has an entry in each of these sections of the CIB (nodes, status), in no other."""
    found = _sections(context, node)
    return Seen(sorted(found) == sorted(sections), ", ".join(found) or "in none")


@check("the CIB knows nothing of {node}")
def cib_forgot(context: Context, node: Node) -> Seen:
    """The node has an entry neither among the CIB's nodes nor in its status."""
    found = _sections(context, node)
    return Seen(not found, ", ".join(found) or "nothing")


def _sections(context: Context, node: str) -> list[str]:
    root = _cib(context)
    places = {"nodes": "configuration/nodes/node", "status": "status/node_state"}
    return [
        section
        for section, path in places.items()
        if any(entry.get("uname") == node for entry in root.iterfind(path))
    ]


def _cib(context: Context) -> ET.Element:
    return cib.parse(context.asked().run("cibadmin --query", check=True).stdout).root


def _history(element: ET.Element, resource: str) -> list[ET.Element]:
    """What is on record of the resource's operations, below this element."""
    resources = [one for one in element.iter("lrm_resource") if one.get("id") == resource]
    return [operation for one in resources for operation in one.iterfind("lrm_rsc_op")]


def _failures(element: ET.Element, resource: str, operation: str) -> list[ET.Element]:
    return [
        one
        for one in _history(element, resource)
        if re.search(r"_last_failure_\d+$", one.get("id", "")) and one.get("operation") == operation
    ]
