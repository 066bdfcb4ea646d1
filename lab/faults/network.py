"""Faults of the network. The way in of the harness is another one: it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from lab import hypervisor
from lab.arguments import Milliseconds, Percent
from lab.context import Context
from lab.errors import CannotRun, CommandFailed
from lab.faults import fault
from lab.faults.machine import machines_only, own_guest
from lab.fields import Port
from lab.vocabulary import Node

if TYPE_CHECKING:  # paramiko takes long to import
    from lab.machine import Machine


def _plug(context: Context, node: str) -> str:
    if node in hypervisor.own(context.lab):
        hypervisor.cable(context.lab, node, plugged=True)
        return "" if hypervisor.plugged(context.lab, node) else "the cable is still out"
    context.lab.provider.cable(context.lab.name, node, plugged=True)
    plugged = context.lab.provider.wiring(context.lab.name)[node].plugged
    return "" if plugged else "the cable is still out"


@fault("the network cable of {node} is pulled", heal=_plug)
def cut(context: Context, node: Node) -> None:
    """The machine's link is down, at the switch: outside the machine, and known to it. (Of a
    virtual machine, at its hypervisor: it cannot be looked at then, but from there.)
    """
    if own_guest(context, node):
        hypervisor.cable(context.lab, node, plugged=False)
    else:
        context.lab.provider.cable(context.lab.name, node, plugged=False)


_GROUPS = "two groups of nodes or more, none empty, and a node in one of them only"


def _apart(groups: list[list[str]]) -> list[list[str]]:
    nodes = [node for group in groups for node in group]
    if len(groups) < 2 or not all(groups) or len(set(nodes)) < len(nodes):
        raise ValueError(f"should be {_GROUPS}")
    return groups


Groups = Annotated[
    list[list[Node]],
    AfterValidator(_apart),
    Field(description=_GROUPS, json_schema_extra={"minItems": 2}),
]


def _join(context: Context, groups: list[list[str]]) -> str:  # noqa: ARG001
    provider, lab = context.lab.provider, context.lab.name
    provider.partition(lab, [])
    apart = [node for node, wire in provider.wiring(lab).items() if wire.group]
    return f"still apart: {', '.join(apart)}" if apart else ""


@fault("the network is partitioned: {groups}", heal=_join)
def partition(context: Context, groups: Groups) -> None:
    """Machines of one group reach each other and nobody in another group; links stay up.

    Who is in no group reaches everybody, and so do the BMCs: they have a network of their own
    in a real data centre.
    """
    machines_only(context, *(node for group in groups for node in group))
    if any(wire.group for wire in context.lab.provider.wiring(context.lab.name).values()):
        raise CannotRun("the network is partitioned already", hint="lab fault heal joins it")
    context.lab.provider.partition(context.lab.name, groups)


def _table(port: str) -> tuple[str, str, str]:
    """The nftables table of a blocked port, its protocol, its number."""
    number, _, protocol = port.partition("/")
    return f"inet lab_block_{protocol}_{number}", protocol, number


def _unblock(context: Context, node: str, port: str) -> str:
    # Also where the machine was fenced meanwhile: the rule may be one of its network's.
    context.lab.power_on(node)
    table, _, _ = _table(port)
    machine = context.machine(node)
    machine.run(f"nft delete table {table}")
    left = machine.run("nft list tables", check=True).stdout
    return f"the table {table} is still there" if f"table {table}\n" in left else ""


@fault("port {port} of {node} is blocked", heal=_unblock)
def block_port(context: Context, node: Node, port: Port) -> None:
    """What arrives for that port (`3121/tcp`) is dropped, also of connections that stand."""
    table, protocol, number = _table(port)
    rules = (
        f"add table {table}\n"
        f"add chain {table} input {{ type filter hook input priority -400; }}\n"
        f"add rule {table} input {protocol} dport {number} counter drop\n"
    )
    context.machine(node).run("nft -f -", stdin=rules, check=True)


def _device(context: Context, node: str) -> str:
    address = context.lab.address(node)
    line = f"ip -o -4 address show to {address}/32"
    found = context.machine(node).run(line, check=True).stdout.split()
    if len(found) < 2:
        raise CommandFailed(f"no network card of {node} has the address {address}")
    return found[1]


def _has_netem(machine: Machine, device: str) -> bool:
    return "netem" in machine.run(f"tc qdisc show dev {device}", check=True).stdout


def _netem(context: Context, node: str, how: str) -> None:
    machine, device = context.machine(node), _device(context, node)
    if _has_netem(machine, device):
        raise CannotRun(f"delay or loss of {node} stands already", hint="lab fault heal ends it")
    try:
        machine.run(f"tc qdisc replace dev {device} root netem {how}", check=True)
    except CommandFailed as error:
        if "qdisc kind is unknown" not in error.output:
            raise
        raise CannotRun(
            f"the kernel that {node} runs on has no netem (sch_netem): no delay and no loss here",
            hint="the other faults of the network need nothing: cut, partition, block_port",
        ) from error


def _no_netem(context: Context, node: str, **_how: object) -> str:
    context.lab.power_on(node)
    machine, device = context.machine(node), _device(context, node)
    if _has_netem(machine, device):
        machine.run(f"tc qdisc del dev {device} root", check=True)
    return f"{device} still has netem" if _has_netem(machine, device) else ""


@fault("what {node} sends is delayed by {milliseconds} ms", heal=_no_netem)
def delay(context: Context, node: Node, milliseconds: Milliseconds) -> None:
    """Each packet that the node sends leaves that much later (netem)."""
    _netem(context, node, f"delay {milliseconds}ms")


@fault("{percent} % of what {node} sends is lost", heal=_no_netem)
def loss(context: Context, node: Node, percent: Percent) -> None:
    """That share of the packets that the node sends does not leave it (netem)."""
    _netem(context, node, f"loss {percent}%")
