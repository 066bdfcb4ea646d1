"""Actions: what the book asks for in words, without printing a command for it."""

from __future__ import annotations

import shlex

from lab.context import Context
from lab.errors import CommandFailed
from lab.fields import Secret
from lab.together import on_each
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
def run(
    context: Context,
    node: Node,
    command: str,
    secret: Secret | None = None,
    exits: list[int] | None = None,
) -> str:
    """Run a command that the book does not print: it names a tool, or shows a state to be in.

    Its result counts as a command of this part for checks such as `answers`. `secret`: name of
    the one that it reads from its standard input. `exits`: other exit statuses than 0 that are
    as they should be.
    """
    stdin = context.lab.access.secret(secret) + "\n" if secret else None
    done = context.machine(node).run(command, within=120, stdin=stdin)
    context.done.append((done,))
    if done.exit not in (exits or [0]):
        raise CommandFailed(
            f"on {node}, `{command}` ended with exit status {done.exit}: {done.output.strip()}",
            output=done.output,
        )
    return f"on {node}: {command}"


@action("install {debian} on {nodes}")
def install(context: Context, nodes: list[Node], debian: list[str], redhat: list[str]) -> str:
    """Install packages that the book does not name, each family's own."""
    family = context.lab.platform.family
    packages = shlex.join(debian if family == "debian" else redhat)
    tool = "apt-get" if family == "debian" else "yum"
    line = f"{tool} install -y {packages}"
    done = on_each(context.lab, nodes, lambda m: m.run(line, within=300, check=True))
    context.done.append(tuple(done.values()))
    return f"installed {packages} on {', '.join(nodes)}"
