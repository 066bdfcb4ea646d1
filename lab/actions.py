"""Actions: what the book asks for in words, without printing a command for it."""

from __future__ import annotations

from lab.context import Context
from lab.vocabulary import Node, Vocabulary

action = Vocabulary("action")


@action("reboot {node}")
def reboot(context: Context, node: Node) -> str:
    """Reboot a machine from within, and wait until it can be logged in to again."""
    context.lab.reboot(node)
    return f"rebooted {node}"


@action("create virtual machine {guest}")
def create_guest(context: Context, guest: Node) -> str:
    """Make a virtual machine with the name and static address that the scenario gives it."""
    return f"created and started {guest}, {context.lab.create_guest(guest)}"


@action("log in to {node}")
def await_login(context: Context, node: Node, within: int = 240) -> str:
    """Wait until a machine that is starting can be logged in to."""
    context.machine(node).await_login(within)
    return f"{node} can be logged in to"


@action("shut {guest} down")
def shut_down_guest(context: Context, guest: Node, within: int = 120) -> str:
    """Shut a virtual machine down by its power button."""
    context.machine(guest).close()
    context.lab.guests_of(guest).shut_down(guest, within)
    return f"shut {guest} down"


@action("run {command} on {node}")
def run(context: Context, node: Node, command: str) -> str:
    """Run a command that the book does not print: it names a tool, or shows a state to be in.

    Its result counts as a command of this part for checks such as `answers`.
    """
    context.done.append(context.machine(node).run(command, within=120, check=True))
    return f"on {node}: {command}"
