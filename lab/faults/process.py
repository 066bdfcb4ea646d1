"""Faults of a process on a node."""

from __future__ import annotations

import shlex

from lab.context import Context
from lab.deadline import Deadline, wait_for
from lab.errors import CommandFailed
from lab.faults import fault
from lab.vocabulary import Node

BOOT = 120.0  # seconds until a machine that was fenced meanwhile can be logged in to
SOON = 15.0  # seconds for what a signal or a service's start brings about


def _signal(context: Context, node: str, process: str, name: str) -> None:
    done = context.machine(node).run(f"pids=$(pidof {shlex.quote(process)}) && kill -{name} $pids")
    if done.exit:
        raise CommandFailed(f"{process} does not run on {node}")


def _alive(context: Context, node: str) -> bool:
    """Whether the machine, or the guest, runs; it may have been started just now."""
    lab = context.lab
    host = lab.scenario.guests[node].host if node in lab.scenario.guests else node
    if not lab.provider.running(lab.name).get(host, False):
        return False  # nor is there a libvirtd then that could be asked
    return node == host or lab.guests_of(node).state(node) == "running"


def _continue(context: Context, node: str, process: str) -> str:
    if not _alive(context, node):
        return ""  # the process died with its machine
    name = shlex.quote(process)
    machine = context.machine(node)
    machine.await_login(BOOT)
    machine.run(f"pids=$(pidof {name}) && kill -CONT $pids")

    def stopped() -> str:
        line = f"pids=$(pidof {name}) || exit 0; ps -o pid=,stat= -p $(echo $pids | tr ' ' ,)"
        rows = [row.split() for row in machine.run(line, check=True).stdout.splitlines()]
        still = [pid for pid, state in rows if state.startswith("T")]
        return f"{process} ({', '.join(still)}) is still stopped" if still else ""

    return wait_for(stopped, lambda seen: not seen, Deadline(SOON))


@fault("{process} on {node} is frozen", heal=_continue)
def freeze(context: Context, node: Node, process: str) -> None:
    """Every process of that name stops where it is (SIGSTOP), its sockets stay open."""
    _signal(context, node, process, "STOP")


def _unit(context: Context, node: str, process: str) -> str:
    line = f"pid=$(pidof {shlex.quote(process)}) && ps -o unit= -p ${{pid%% *}}"
    done = context.machine(node).run(line)
    if done.exit:
        raise CommandFailed(f"{process} does not run on {node}")
    return done.stdout.strip()


def _start(context: Context, node: str, process: str, before: str) -> str:
    context.lab.power_on(node)  # it may have been fenced for what was killed
    machine = context.machine(node)
    if not before.endswith(".service"):
        return ""  # nobody's service: whoever started it decides whether it is started again
    machine.run(f"systemctl start {shlex.quote(before)}", check=True, within=60)
    runs = wait_for(
        lambda: machine.run(f"pidof {shlex.quote(process)}").exit == 0, bool, Deadline(SOON)
    )
    return "" if runs else f"{process} does not run"


@fault("{process} on {node} is killed", remember=_unit, heal=_start)
def kill(context: Context, node: Node, process: str) -> None:
    """Every process of that name is killed (SIGKILL). Healing starts its service again."""
    _signal(context, node, process, "KILL")
