"""The grammar of the command line. It imports nothing slow: a help is to be there at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

from lab import __version__, paths
from lab.parsing import Once, Parser, something

_EPILOG = """\
exit status: 0 all is well, 1 a section or command failed, 2 bad input,
3 this machine or its state does not allow it (see `lab doctor`), 130 interrupted
"""
_SCENARIO = "a scenario's name (lab list tells of them) or a YAML file"
_NODE = "a node or a guest of the lab: lab status shows them"
_Commands = Any  # what add_subparsers gives, a class that argparse keeps to itself


def parser() -> argparse.ArgumentParser:
    """The whole of it; `run` of what it parses is the command's function."""
    top = Parser(
        prog="lab",
        description='The book "Pacemaker Remote: Scaling High Availability Clusters", executable.',
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"lab {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for topic in (_labs, _plans, _nodes, _faults, _snapshots, _images, _aids):
        topic(commands)
    return top


def _labs(commands: _Commands) -> None:
    up = _command(commands, "up", "labs", "bring a scenario's lab up and run its sections")
    up.add_argument("scenario", metavar="SCENARIO", help=_SCENARIO)
    up.add_argument("--name", type=something, help="the lab's name (default: the scenario's)")
    about = f"what the nodes run, {_platforms()} (default: debian-12)"
    up.add_argument("--platform", action=Once, default="", metavar="PLATFORM", help=about)
    about = "auto, podman or vagrant: what machines are made of (default: auto, what suits)"
    up.add_argument("--provider", default="auto", help=about)
    up.add_argument("--until", default="", metavar="SECTION", help="stop after this section")
    about = "how many remote nodes (scenarios with a fleet)"
    up.add_argument("--remotes", type=int, metavar="N", help=about)
    up.add_argument("--keep-going", action="store_true", help="go on after a failed section")

    about = "prove that a section that was typed by hand is as it should be; it is done then"
    verify = _command(commands, "verify", "labs", about)
    verify.add_argument("section", metavar="SECTION", help="its number: lab show tells of them")
    _name(verify)

    about = "run scenarios on platforms side by side, as many as the machine has room for"
    matrix = _command(commands, "matrix", "matrix", about, json=True)
    about = f"{_SCENARIO}; default: all scenarios"
    matrix.add_argument("scenario", nargs="*", metavar="SCENARIO", help=about)
    about = f"{_platforms()}; may be given again (default: all built here)"
    matrix.add_argument("--platform", action="append", default=[], metavar="PLATFORM", help=about)
    about = "podman or vagrant: what machines are made of (default: podman)"
    matrix.add_argument("--provider", default="podman", help=about)
    about = "with --provider vagrant: also without KVM, on emulated machines that take their time"
    matrix.add_argument("--emulated", action="store_true", help=about)
    about = "only the Ith of N equal parts"
    matrix.add_argument("--shard", default="1/1", metavar="I/N", help=about)
    about = "at most N at once, whatever the cores"
    matrix.add_argument("--jobs", type=int, default=0, metavar="N", help=about)
    matrix.add_argument("--keep", action="store_true", help="leave labs that did not pass")
    about = "where logs, JUnit files and reports go"
    matrix.add_argument("--output", type=something, metavar="DIR", help=about)

    down = _command(commands, "down", "labs", "remove a lab with everything that belongs to it")
    _lab(down)
    down.add_argument("--all", action="store_true", help="every lab there is")

    _command(commands, "list", "labs", "the labs that there are, and the scenarios", json=True)


def _plans(commands: _Commands) -> None:
    about = "a scenario's plan: what will be typed where; runs nothing"
    show = _command(commands, "show", "plans", about, json=True)
    show.add_argument("scenario", metavar="SCENARIO", help=_SCENARIO)
    about = f"the plan for this one, {_platforms()} (default: debian-12)"
    show.add_argument(
        "--platform", action=Once, default="debian-12", metavar="PLATFORM", help=about
    )

    about = "how much of the book is covered: by which scenario, with which last verdict"
    book = _command(commands, "book", "book", about, json=True)
    about = f"only this one, {_platforms()} (default: all built here)"
    book.add_argument("--platform", action=Once, type=something, metavar="PLATFORM", help=about)
    about = "what today's software does otherwise than the book, on this platform"
    book.add_argument("--drift", action=Once, type=something, metavar="PLATFORM", help=about)
    about = "write it as one HTML file; -: to standard output"
    book.add_argument("--html", type=something, metavar="FILE", help=about)
    about = "only the runs of this lab; may be given several times"
    book.add_argument("--lab", action="append", default=[], metavar="NAME", help=about)
    about = "the verdicts on record in the repository, not those of this machine's runs"
    book.add_argument("--recorded", action="store_true", help=about)
    about = "take this machine's verdicts into the repository's record and the README's table"
    book.add_argument("--record", action="store_true", help=about)

    about = "say what is wrong with scenarios, with file, line and key; runs nothing"
    check = _command(commands, "check", "plans", about)
    check.add_argument("file", nargs="+", metavar="FILE", help=_SCENARIO)

    _command(commands, "schema", "plans", "print the JSON Schema of scenarios, for editors")


def _nodes(commands: _Commands) -> None:
    about = "a lab's machines and cluster at a glance"
    _lab(_command(commands, "status", "labs", about, json=True))

    ssh = _command(commands, "ssh", "nodes", "log in to a node")
    ssh.add_argument("node", metavar="NODE", help=_NODE)
    _name(ssh)

    run = _command(commands, "exec", "nodes", "run a command on a node: lab exec NODE -- COMMAND")
    run.usage_line = "lab exec [--name LAB] NODE -- COMMAND"
    run.add_argument("node", metavar="NODE", help=_NODE)
    _name(run)
    about = "several words are run as they are: -- grep 'a b' file; one is a line for root's shell"
    about += " there: -- 'crm_mon -1 | head'"
    run.add_argument("argv", nargs="+", metavar="COMMAND", help=about)

    about = "run a program where a lab's libvirtd is: lab inside -- virsh list, … -- vagrant status"
    near = _command(commands, "inside", "inside", about)
    near.usage_line = "lab inside [--name LAB] -- COMMAND"
    _name(near)
    about = "a program of this machine, with what it is given"
    near.add_argument("argv", nargs="+", metavar="COMMAND", help=about)

    about = "print the path of a lab's OpenSSH config"
    _lab(_command(commands, "ssh-config", "nodes", about))

    about = "write the report of a lab's last run as one HTML file"
    report = _command(commands, "report", "labs", about)
    _lab(report)
    report.add_argument("--open", action="store_true", help="show it in a browser")
    about = "default: beside the results; -: standard output"
    report.add_argument("--output", type=something, metavar="FILE", help=about)


def _faults(commands: _Commands) -> None:
    deeds = _group(commands, "fault", "break something of a lab, list what is broken, heal it")
    inject = _command(deeds, "inject", "faults", "inject a fault; lab words lists them")
    about = f"{_NODE}; for partition: the groups, node1,remote1/node2"
    inject.add_argument("node", metavar="NODE", help=about)
    about = "freeze, cut, power_off, …: lab words tells of each, and what it takes"
    inject.add_argument("fault", metavar="FAULT", help=about)
    about = "what else the fault takes, in its order"
    inject.add_argument("argument", nargs="*", default=[], metavar="ARGUMENT", help=about)
    there = _command(deeds, "list", "faults", "the faults that stand", json=True)
    heal = _command(deeds, "heal", "faults", "heal faults, by default all that stand")
    about = "a fault's number: lab fault list shows it (default: all)"
    heal.add_argument("number", nargs="*", type=int, metavar="NUMBER", help=about)
    _name(inject, there, heal)


def _snapshots(commands: _Commands) -> None:
    about = "save a lab as it is, go back to it, list and delete what there is"
    deeds = _group(commands, "snapshot", about)
    save = _command(deeds, "save", "snapshots", "take a snapshot of all machines at once")
    restore = _command(deeds, "restore", "snapshots", "put all machines back to a snapshot")
    there = _command(deeds, "list", "snapshots", "the lab's snapshots", json=True)
    delete = _command(deeds, "delete", "snapshots", "forget a snapshot")
    save.add_argument("snapshot", metavar="SNAPSHOT", help="the name that it gets")
    about = "its name: lab snapshot list shows it"
    for deed in (restore, delete):
        deed.add_argument("snapshot", metavar="SNAPSHOT", help=about)
    _name(save, restore, there, delete)


def _images(commands: _Commands) -> None:
    about = "the images that machines are made of: build, list, prune, export"
    deeds = _group(commands, "images", about)
    build = _command(
        deeds, "build", "images", "build images now; the first lab would do it otherwise"
    )
    about = f"{_platforms()} (default: all built here)"
    build.add_argument("platform", nargs="*", metavar="PLATFORM", help=about)
    build.add_argument("--box", action="store_true", help="the box for the provider vagrant too")
    about = "of a platform that starts from a box: where that is, a file or an address"
    build.add_argument("--from", dest="source", default="", metavar="FILE_OR_ADDRESS", help=about)
    build.add_argument("--sha256", default="", metavar="HEX", help="its checksum")
    _command(deeds, "list", "images", "the images in the cache, and who uses them", json=True)
    about = "remove images of recipes that are no longer current and that no lab uses"
    prune = _command(deeds, "prune", "images", about)
    prune.add_argument("--all", action="store_true", help="of current recipes too")
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    export = _command(deeds, "export", "images", "write a platform's Vagrant box as one file")
    export.add_argument("platform", metavar="PLATFORM", help=_platforms())
    export.add_argument("file", metavar="FILE.box", help="the file to write")


def _aids(commands: _Commands) -> None:
    about = "what this machine lacks, why it matters, how to get it"
    doctor = _command(commands, "doctor", "plans", about, json=True)
    doctor.add_argument("--fix", action="store_true", help="install what can be installed")
    about = "podman or vagrant: what this one needs (default: auto, vagrant's needs as notes)"
    doctor.add_argument("--provider", default="auto", help=about)

    about = "the checks, actions, faults and audits of scenarios"
    words = _command(commands, "words", "plans", about)
    words.add_argument("word", nargs="?", default="", metavar="WORD", help="only this one")

    about = "print a shell's completion script"
    completion = _command(commands, "completion", "completion", about)
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="whose script")


def _group(commands: _Commands, name: str, about: str) -> _Commands:
    """A command that has commands of its own."""
    made = commands.add_parser(name, help=about, description=about)
    return made.add_subparsers(metavar="COMMAND", required=True, dest="deed")


def _command(
    commands: _Commands, name: str, module: str, about: str, *, json: bool = False
) -> Parser:
    """A command: a function of its name in that module of lab.commands, with a `_` behind it."""
    made: Parser = commands.add_parser(name, help=about, description=about)
    made.set_defaults(run=_function(module, name.replace("-", "_") + "_"))
    if json:
        made.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return made


def _function(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """It is imported only when it is called."""

    def run(options: argparse.Namespace) -> int:
        return int(getattr(import_module(f"lab.commands.{module}"), name)(options))

    return run


def _lab(command: Parser) -> None:
    """Of a command that is about a lab alone: which."""
    about = "default: the only lab"
    command.add_argument("lab", nargs="?", type=something, metavar="NAME", help=about)


def _name(*commands: Parser) -> None:
    """Of commands that are about something of a lab: which."""
    for command in commands:
        command.add_argument("--name", type=something, help="the lab (default: the only one)")


def _platforms() -> str:
    """As lab.platforms.names, without all that it imports."""
    names = sorted(path.parent.name for path in paths.BOXES.glob("*/platform.yaml"))
    return f"one of {', '.join(names)}"
