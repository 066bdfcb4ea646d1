"""Actions: what the book asks for in words, without printing a command for it."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

from lab import growth
from lab.arguments import FenceAgent, Number
from lab.context import Context
from lab.deadline import COMMAND
from lab.errors import BadInput, CommandFailed
from lab.events import Grew
from lab.fields import ExitStatus, Secret
from lab.fleet import named
from lab.together import on_each
from lab.vocabulary import GuestName, Node, Vocabulary

if TYPE_CHECKING:
    from lab.machine import Machine

action = Vocabulary("action")


@action("reboot {node}")
def reboot(context: Context, node: Node) -> str:
    """Reboot a machine from within, and wait until it can be logged in to again."""
    context.lab.reboot(node)
    return f"rebooted {node}"


@action("let {host} use the libvirtd that it runs on")
def lend_libvirtd(context: Context, host: Node) -> str:
    """Put the libvirtd that a host itself runs on in the place of its own: see lab.siblings."""
    return context.lab.guests(host).lend()


@action("create {guest}")
def create_guest(context: Context, guest: GuestName) -> str:
    """Make a virtual machine or a container (the guest's `kind`), with the name and the static
    address that the scenario gives it.
    """
    return f"created and started {guest}, {context.lab.create_guest(guest)}"


@action("log in to {node}")
def await_login(context: Context, node: Node, within: Number = 480) -> str:
    """Wait until a machine that is starting can be logged in to."""
    context.machine(node).await_login(within)
    return f"{node} can be logged in to"


@action("shut {guest} down")
def shut_down_guest(context: Context, guest: GuestName, within: Number = 120) -> str:
    """Shut a guest down by its power button, or what is one to a container."""
    context.machine(guest).close()
    context.lab.guests_of(guest).shut_down(guest, within)
    return f"shut {guest} down"


@action("run {command} on {node}", types=True)
def run(
    context: Context,
    node: Node,
    command: str,
    secret: Secret | None = None,
    exits: list[ExitStatus] | None = None,
    within: Number = 120,
) -> str:
    """Run a command that the book does not print: it names a tool, or shows a state to be in.

    Its result counts as a command of this part for checks such as `answers`. `secret`: name of
    the one that it reads from its standard input. `exits`: other exit statuses than 0 that are
    as they should be. `within`: seconds that it may take.
    """
    stdin = context.lab.access.secret(secret) + "\n" if secret else None
    done = context.machine(node).run(command, within=within, stdin=stdin)
    context.done.append((done,))
    if done.exit not in (exits or [0]):
        raise CommandFailed(
            f"on {node}, `{command}` ended with exit status {done.exit}: {done.output.strip()}",
            output=done.output,
        )
    return f"on {node}: {command}"


@action("copy {path} from {source} to {nodes}")
def copy(context: Context, source: Node, path: str, nodes: list[Node]) -> str:
    """Copy a file to other machines over the lab's own way in, as an image or a mounted secret
    brings it to a machine that has no sshd. It keeps mode, owner and group.
    """
    quoted = shlex.quote(path)
    facts = context.machine(source).run(f"stat -c '%a %U:%G' {quoted}", check=True).stdout
    mode, _, owner = facts.strip().partition(" ")
    data = context.machine(source).get(path)

    def one(machine: Machine) -> None:
        machine.put(data, path, mode=int(mode, 8))
        machine.run(f"chown {owner} {quoted}", check=True)

    on_each(context.lab, nodes, one)
    return f"copied {path} from {source} to {named(nodes)}"


@action("write the addresses of {hosts} to /etc/hosts on {nodes}")
def name_hosts(context: Context, hosts: list[Node], nodes: list[Node]) -> str:
    """Append a line `ADDRESS NAME` for each host, as the book's section 5.2 does for one."""
    lines = "".join(f"{context.lab.address(host)} {host}\n" for host in hosts)
    on_each(context.lab, nodes, lambda m: m.run("cat >> /etc/hosts", stdin=lines, check=True))
    return f"wrote the addresses of {named(hosts)} to /etc/hosts on {named(nodes)}"


@action("measure what {nodes} cost")
def measure(context: Context, nodes: list[Node], node: Node) -> str:
    """Measure the CIB, the scheduler on it (run on `node`) and the memory of each of `nodes`,
    and put them, with the times that `all_remote` kept, beside what was measured before.
    """
    point = growth.measured(context.lab, nodes, node)
    points = growth.add(point)
    if context.observer:
        report = context.observer.report
        told = tuple(asdict(one) for one in points)
        report(Grew(section=report.section, nodes=point.nodes, points=told))
    return f"measured {named(nodes)}: {point.text}"


@action("install {packages} on {nodes}", types=True)
def install(context: Context, nodes: list[Node], packages: list[str]) -> str:
    """Install packages that the book does not name, with the platform's own tool."""
    return _install(context, nodes, packages)


@action("install the fence agent {agent} on {nodes}", types=True)
def install_agent(context: Context, nodes: list[Node], agent: FenceAgent) -> str:
    """Install a fence agent, from whatever packages the platform has it in: see its `agents:`."""
    agents = context.lab.platform.agents
    if agent not in agents:
        raise BadInput(
            f"boxes/{context.lab.platform.name}/platform.yaml: agents: has no {agent}; "
            f"those it has: {', '.join(agents) or 'none'}"
        )
    return _install(context, nodes, agents[agent])


def _install(context: Context, nodes: list[str], packages: list[str]) -> str:
    tool = "apt-get" if context.lab.platform.family == "debian" else "yum"
    line = f"{tool} install -y {shlex.join(packages)}"
    done = on_each(context.lab, nodes, lambda m: m.run(line, within=COMMAND, check=True))
    context.done.append(tuple(done.values()))
    return f"installed {', '.join(packages)} on {', '.join(nodes)}"
