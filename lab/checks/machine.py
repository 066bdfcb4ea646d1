"""Facts of one machine: packages, files, services, sockets, what was printed."""

from __future__ import annotations

import re
import shlex

from lab.arguments import Bytes, Mode, Socket, Software
from lab.checks import Seen, check
from lab.context import Context
from lab.packages import installed
from lab.together import on_each
from lab.vocabulary import CommandNumber, Node


@check("{node} has the packages {packages}")
def package_installed(context: Context, node: Node, packages: list[str]) -> Seen:
    """Each package is installed, by the distribution's package manager."""
    there = installed(context.machine(node), context.lab.platform.family, packages)
    missing = [name for name in packages if name not in there]
    return Seen(not missing, f"not installed: {', '.join(missing)}" if missing else "all installed")


@check("{node} does not have the packages {packages}")
def package_absent(context: Context, node: Node, packages: list[str]) -> Seen:
    """None of the packages is installed: the section that installs them really does."""
    there = installed(context.machine(node), context.lab.platform.family, packages)
    found = [name for name in packages if name in there]
    return Seen(not found, f"installed: {', '.join(found)}" if found else "none installed")


@check("{node} has {software} in the version that the plan was made for")
def software_version(context: Context, node: Node, software: Software, package: str = "") -> Seen:
    """The software on the node, by default its main package, has the version that the platform
    file says: what the adaptations were chosen by.
    """
    expected = context.lab.platform.versions[software]
    package = package or context.lab.platform.packages[software]
    found = installed(context.machine(node), context.lab.platform.family, [package])
    real = found[package].rpartition(":")[2] if package in found else "not installed"
    same = re.match(re.escape(expected) + r"(?!\d)", real)  # 2.1.5 is not 2.1.50
    return Seen(bool(same), f"{package} {real}")


def _file_sentence(node: str, path: str, contains: str | None, **facts: object) -> str:
    wanted = [f"{name} {value}" for name, value in facts.items() if value is not None]
    if contains is not None:
        wanted.append(f"the text '{contains}'")
    return f"{node} has {path}" + (f" with {', '.join(wanted)}" if wanted else "")


@check(_file_sentence)
def file(
    context: Context,
    node: Node,
    path: str,
    size: Bytes | None = None,
    mode: Mode | None = None,
    owner: str | None = None,
    group: str | None = None,
    contains: str | None = None,
) -> Seen:
    """The file or folder is there, with this size in bytes, octal mode, owner, group, text."""
    machine = context.machine(node)
    done = machine.run(f"stat --dereference --format='%s %a %U %G' {shlex.quote(path)}")
    if done.exit:
        return Seen(False, "not there")
    length, bits, user, team = done.stdout.split()
    real: dict[str, object] = {}
    if size is not None:
        real["size"] = int(length)
    if mode is not None:
        real["mode"] = f"{int(bits, 8):04o}"
    if owner is not None:
        real["owner"] = user
    if group is not None:
        real["group"] = team
    if contains is not None:
        real["contains"] = contains if contains in machine.host.file(path).content_string else None
    given = {"size": size, "mode": mode, "owner": owner, "group": group, "contains": contains}
    ok = all(value == given[key] for key, value in real.items())
    said = (
        f"{key} {value}" if value is not None else "no such text" for key, value in real.items()
    )
    return Seen(ok, ", ".join(said) or "there")


@check("{node} has no {path}")
def no_file(context: Context, node: Node, path: str) -> Seen:
    """The file or folder is not there."""
    exists = context.machine(node).host.file(path).exists
    return Seen(not exists, "there" if exists else "not there")


@check("{node}: {path} does not contain '{text}'")
def file_lacks(context: Context, node: Node, path: str, text: str) -> Seen:
    """The file does not contain the text (yet)."""
    found = context.machine(node).host.file(path)
    if not found.exists:
        return Seen(False, "not there")
    content = found.content_string
    return Seen(text not in content, "contains it" if text in content else "does not contain it")


@check("{path} is the same on {nodes}")
def same_file(context: Context, nodes: list[Node], path: str) -> Seen:
    """The file is there on every node with the same content, compared by SHA-256."""
    line = f"sha256sum < {shlex.quote(path)}"
    done = on_each(context.lab, nodes, lambda machine: machine.run(line))
    sums = {node: one.stdout[:12] if one.exit == 0 else "not there" for node, one in done.items()}
    same = len(set(sums.values())) == 1 and "not there" not in sums.values()
    return Seen(same, ", ".join(f"{node} {digest}" for node, digest in sums.items()))


def _service_sentence(node: str, name: str, **states: bool | None) -> str:
    wanted = [
        word if state else f"not {word}" for word, state in states.items() if state is not None
    ]
    return f"{node}'s service {name} is {' and '.join(wanted)}"


@check(_service_sentence)
def service(
    context: Context,
    node: Node,
    name: str,
    running: bool | None = None,
    enabled: bool | None = None,
) -> Seen:
    """systemd has the service running (or not) and enabled (or not); what is not given is free.

    A service that systemd does not know is neither.
    """
    # Not by testinfra's host.service: to it a static unit is enabled, one that is masked or unknown
    # is stopped, and a systemctl that fails, as on a machine that boots, is a crash of the check.
    command = "systemctl show --property=LoadState,ActiveState,UnitFileState"
    done = context.machine(node).run(f"{command} {shlex.quote(name)}", check=True)
    unit = dict(line.split("=", 1) for line in done.stdout.splitlines())
    if unit["LoadState"] != "loaded":
        return Seen(False, unit["LoadState"])
    real: dict[str, bool] = {}
    if running is not None:
        real["running"] = unit["ActiveState"] == "active"
    if enabled is not None:
        real["enabled"] = unit["UnitFileState"] in ("enabled", "enabled-runtime")
    given = {"running": running, "enabled": enabled}
    words = [key if value else f"not {key}" for key, value in real.items()]
    return Seen(
        all(value == given[key] for key, value in real.items()),
        ", ".join(words) or "there",
        hint=f"lab exec {node} -- journalctl -u {name} -n 30",
    )


@check("{node} listens on {socket}")
def listening(context: Context, node: Node, socket: Socket) -> Seen:
    """A process listens on the socket, written as testinfra does: tcp://3121."""
    there = context.machine(node).host.socket(socket).is_listening
    return Seen(there, "listening" if there else "nothing listens there")


@check("{node} was rebooted and is up again", remember=lambda c, node: c.lab.boot(node))
def rebooted(context: Context, node: Node, *, before: str) -> Seen:
    """Its PID 1 is another one than before the section, and systemd says it is up."""
    now = context.lab.boot(node)
    if not before:
        return Seen(False, "it had no power before the section")
    if not now or now == before:
        return Seen(False, "still the same boot" if now else "no power")
    state = context.machine(node).run("systemctl is-system-running").stdout.strip()
    return Seen(state in ("running", "degraded"), f"another boot, {state}")


@check("command {command} prints '{text}'")
def printed(context: Context, text: str, command: CommandNumber = 1) -> Seen:
    """A command of this part printed the text, on each node that it was typed on.

    (Only where the section is about that text.)
    """
    for done in context.typed(command):
        if text not in done.output:
            return Seen(False, f"it printed {done.output.strip()[-300:]!r}")
    return Seen(True, "printed")


@check("command {command} does not print '{text}'")
def not_printed(context: Context, text: str, command: CommandNumber = 1) -> Seen:
    """A command of this part did not print the text, on no node that it was typed on."""
    printed = any(text in done.output for done in context.typed(command))
    return Seen(not printed, "printed" if printed else "not printed")
