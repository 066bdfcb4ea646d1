"""The command line: parses, calls, prints. Everything else is imported when it is needed."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from lab import __version__, paths, streams
from lab.errors import EXIT_INTERRUPTED, LabError
from lab.parsing import Once, Parser, something

EPILOG = """\
exit status: 0 all is well, 1 a section or command failed, 2 bad input,
3 this machine or its state does not allow it (see `lab doctor`), 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    streams.mend()
    if not os.environ.get("COLUMNS", "").strip("0"):  # 0: not known, and no width to fold to
        os.environ.pop("COLUMNS", None)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            options = parser().parse_args(given)
            status: int = options.run(options)
        except SystemExit as end:  # --help, --version
            status = int(end.code or 0)
        streams.flush()
        return status
    except KeyboardInterrupt:
        _complain("interrupted", "what is there stays: lab list shows it, lab down removes it")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        streams.flush()
        return 0
    except LabError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except OSError as error:
        if error.errno is None:
            raise
        _unforeseen(error, next(iter(given), ""))
        return 3


def parser() -> argparse.ArgumentParser:
    """The whole grammar of the command line."""
    top = Parser(
        prog="lab",
        description='The book "Pacemaker Remote: Scaling High Availability Clusters", executable.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"lab {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command")

    def command(
        name: str, module: str, about: str, *, json: bool = False, group: Any = commands
    ) -> Parser:
        made: Parser = group.add_parser(name, help=about, description=about)
        made.set_defaults(run=_command(module, name))
        if json:
            made.add_argument("--json", action="store_true", help="print JSON, for scripts")
        return made

    up = command("up", "labs", "bring a scenario's lab up and run its sections")
    scenario = "a scenario's name (lab list tells of them) or a YAML file"
    up.add_argument("scenario", metavar="SCENARIO", help=scenario)
    up.add_argument("--name", type=something, help="the lab's name (default: the scenario's)")
    platforms = f"one of {', '.join(_platforms())}"
    about = f"what the nodes run, {platforms} (default: debian-12)"
    up.add_argument("--platform", action=Once, default="", metavar="PLATFORM", help=about)
    about = "auto, podman or vagrant: what machines are made of (default: auto, what suits)"
    up.add_argument("--provider", default="auto", help=about)
    up.add_argument("--until", default="", metavar="SECTION", help="stop after this section")
    up.add_argument(
        "--remotes", type=int, metavar="N", help="how many remote nodes (scenarios with a fleet)"
    )
    up.add_argument("--keep-going", action="store_true", help="go on after a failed section")

    about = "run scenarios on platforms side by side, as many as the machine has room for"
    matrix = command("matrix", "matrix", about, json=True)
    about = f"{scenario}; default: all scenarios"
    matrix.add_argument("scenario", nargs="*", metavar="SCENARIO", help=about)
    about = f"{platforms}; may be given again (default: all built here)"
    matrix.add_argument("--platform", action="append", default=[], metavar="PLATFORM", help=about)
    about = "podman or vagrant: what machines are made of (default: podman)"
    matrix.add_argument("--provider", default="podman", help=about)
    about = "with --provider vagrant: also without KVM, on emulated machines that take their time"
    matrix.add_argument("--emulated", action="store_true", help=about)
    matrix.add_argument(
        "--shard", default="1/1", metavar="I/N", help="only the Ith of N equal parts"
    )
    matrix.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="at most N at once, whatever the cores"
    )
    matrix.add_argument("--keep", action="store_true", help="leave labs that did not pass")
    about = "where logs, JUnit files and reports go"
    matrix.add_argument("--output", type=something, metavar="DIR", help=about)

    alone = "default: the only lab"
    down = command("down", "labs", "remove a lab with everything that belongs to it")
    down.add_argument("lab", nargs="?", type=something, metavar="NAME", help=alone)
    down.add_argument("--all", action="store_true", help="every lab there is")

    command("list", "labs", "the labs that there are, and the scenarios", json=True)

    show = command(
        "show", "plans", "a scenario's plan: what will be typed where; runs nothing", json=True
    )
    show.add_argument("scenario", metavar="SCENARIO", help=scenario)
    about = f"the plan for this one, {platforms} (default: debian-12)"
    show.add_argument(
        "--platform", action=Once, default="debian-12", metavar="PLATFORM", help=about
    )

    about = "how much of the book is covered: by which scenario, with which last verdict"
    book = command("book", "book", about, json=True)
    about = f"only this one, {platforms} (default: all built here)"
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
    check = command("check", "plans", about)
    check.add_argument("file", nargs="+", metavar="FILE", help=scenario)

    command("schema", "plans", "print the JSON Schema of scenarios, for editors")

    status = command("status", "labs", "a lab's machines and cluster at a glance", json=True)
    status.add_argument("lab", nargs="?", type=something, metavar="NAME", help=alone)

    ssh = command("ssh", "nodes", "log in to a node")
    node = "a node or a guest of the lab: lab status shows them"
    ssh.add_argument("node", metavar="NODE", help=node)
    ssh.add_argument("--name", type=something, help="the lab (default: the only one)")

    run = command("exec", "nodes", "run a command on a node: lab exec NODE -- COMMAND")
    run.usage_line = "lab exec [--name LAB] NODE -- COMMAND"
    run.add_argument("node", metavar="NODE", help=node)
    run.add_argument("--name", type=something, help="the lab (default: the only one)")
    about = "several words are run as they are: -- grep 'a b' file; one is a line for root's shell"
    about += " there: -- 'crm_mon -1 | head'"
    run.add_argument("argv", nargs="+", metavar="COMMAND", help=about)

    about = "run a program where a lab's libvirtd is: lab inside -- virsh list, … -- vagrant status"
    near = command("inside", "inside", about)
    near.usage_line = "lab inside [--name LAB] -- COMMAND"
    near.add_argument("--name", type=something, help="the lab (default: the only one)")
    about = "a program of this machine, with what it is given"
    near.add_argument("argv", nargs="+", metavar="COMMAND", help=about)

    config = command("ssh-config", "nodes", "print the path of a lab's OpenSSH config")
    config.add_argument("lab", nargs="?", type=something, metavar="NAME", help=alone)

    report = command("report", "labs", "write the report of a lab's last run as one HTML file")
    report.add_argument("lab", nargs="?", type=something, metavar="NAME", help=alone)
    report.add_argument("--open", action="store_true", help="show it in a browser")
    about = "default: beside the results; -: standard output"
    report.add_argument("--output", type=something, metavar="FILE", help=about)

    about = "break something of a lab, list what is broken, mend it"
    fault = commands.add_parser("fault", help=about, description=about)
    deeds = fault.add_subparsers(metavar="COMMAND", required=True, dest="deed")
    inject = command("inject", "faults", "inject a fault; lab words lists them", group=deeds)
    about = f"{node}; for partition: the groups, node1,remote1/node2"
    inject.add_argument("node", metavar="NODE", help=about)
    about = "freeze, cut, power_off, …: lab words tells of each, and what it takes"
    inject.add_argument("fault", metavar="FAULT", help=about)
    about = "what else the fault takes, in its order"
    inject.add_argument("argument", nargs="*", default=[], metavar="ARGUMENT", help=about)
    there = command("list", "faults", "the faults that stand", json=True, group=deeds)
    heal = command("heal", "faults", "heal faults, by default all that stand", group=deeds)
    about = "a fault's number: lab fault list shows it (default: all)"
    heal.add_argument("number", nargs="*", type=int, metavar="NUMBER", help=about)
    for deed in (inject, there, heal):
        deed.add_argument("--name", type=something, help="the lab (default: the only one)")

    about = "save a lab as it is, go back to it, list and delete what there is"
    snapshot = commands.add_parser("snapshot", help=about, description=about)
    acts = snapshot.add_subparsers(metavar="COMMAND", required=True, dest="act")
    keep = command("save", "snapshots", "take a snapshot of all machines at once", group=acts)
    back = command("restore", "snapshots", "put all machines back to a snapshot", group=acts)
    kept = command("list", "snapshots", "the lab's snapshots", json=True, group=acts)
    gone = command("delete", "snapshots", "forget a snapshot", group=acts)
    keep.add_argument("snapshot", metavar="SNAPSHOT", help="the name that it gets")
    for act in (back, gone):
        act.add_argument(
            "snapshot", metavar="SNAPSHOT", help="its name: lab snapshot list shows it"
        )
    for act in (keep, back, kept, gone):
        act.add_argument("--name", type=something, help="the lab (default: the only one)")

    about = "the images that machines are made of: build, list, prune, export"
    group = commands.add_parser("images", help=about, description=about)
    deeds = group.add_subparsers(metavar="COMMAND", required=True, dest="deed")
    about = "build images now; the first lab would do it otherwise"
    build = command("build", "images", about, group=deeds)
    about = f"{platforms} (default: all built here)"
    build.add_argument("platform", nargs="*", metavar="PLATFORM", help=about)
    build.add_argument("--box", action="store_true", help="the box for the provider vagrant too")
    about = "of a platform that starts from a box: where that is, a file or an address"
    build.add_argument("--from", dest="source", default="", metavar="FILE_OR_ADDRESS", help=about)
    build.add_argument("--sha256", default="", metavar="HEX", help="its checksum")
    command("list", "images", "the images in the cache, and who uses them", json=True, group=deeds)
    about = "remove images of recipes that are no longer current and that no lab uses"
    prune = command("prune", "images", about, group=deeds)
    prune.add_argument("--all", action="store_true", help="of current recipes too")
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    about = "write a platform's Vagrant box as one file"
    export = command("export", "images", about, group=deeds)
    export.add_argument("platform", metavar="PLATFORM", help=platforms)
    export.add_argument("file", metavar="FILE.box", help="the file to write")

    doctor = command(
        "doctor", "plans", "what this machine lacks, why it matters, how to get it", json=True
    )
    doctor.add_argument("--fix", action="store_true", help="install what can be installed")
    about = "podman or vagrant: what this one needs (default: auto, vagrant's needs as notes)"
    doctor.add_argument("--provider", default="auto", help=about)

    words = command("words", "plans", "the checks, actions, faults and audits of scenarios")
    words.add_argument("word", nargs="?", default="", metavar="WORD", help="only this one")

    completion = command("completion", "completion", "print a shell's completion script")
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="whose script")
    return top


def _platforms() -> list[str]:
    """As lab.platforms.names, without all that it imports: a help is to be there at once."""
    return sorted(path.parent.name for path in paths.BOXES.glob("*/platform.yaml"))


def _command(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """The function of a command, found and imported only when it is called."""

    def run(options: argparse.Namespace) -> int:
        found = import_module(f"lab.commands.{module}")
        return int(getattr(found, name.replace("-", "_") + "_")(options))

    return run


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _unforeseen(error: OSError, command: str) -> None:
    """Complain of what the system did not allow, where nobody expected it."""
    try:
        if not error.filename:  # of something that is open: one line more tells whether it is this
            sys.stdout.write("\n")
        streams.flush()
    except OSError as stuck:
        error = OSError(stuck.errno, stuck.strerror, "standard output")
    message, hint = str(error.strerror), ""
    if error.filename:
        message += f" ({error.filename})"
    if setting := paths.setting_of(error.filename):
        message += f", used because of {setting}"
        hint = f"set {setting.partition('=')[0]} to a folder that can be written"
    elif command in ("up", "down", "matrix"):
        hint = "lab down removes what is there of a lab"
    _complain(message, hint)


def _complain(message: str, hint: str = "") -> None:
    print(f"lab: {message}", file=sys.stderr)
    if hint:
        print(f"  try: {hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
