"""What each command of the command line does: calls the library and prints what came back."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab import doctor as doctors
from lab import lab as labs
from lab import platforms
from lab import scenario as scenarios
from lab.errors import BadInput, LabError
from lab.lab import Lab
from lab.scenario import PlannedCommand


class Screen(Console):
    """rich's, which would exit with 1 by itself where the reader (head, less) is gone."""

    def on_broken_pipe(self) -> None:
        """Called while the error is handled: the command line knows what to do with it."""
        raise


def up_(options: argparse.Namespace) -> int:
    """`lab up`"""
    from lab.report.console import Console as Report
    from lab.up import Wish, up

    doctors.require()
    wish = Wish(
        scenario=options.scenario,
        name=options.name,
        platform=options.platform,
        provider=options.provider,
        until=options.until,
        keep_going=options.keep_going,
    )
    with Report() as console:
        outcome = up(wish, console)
    name = outcome.name
    print(f"\ntranscript and results: {outcome.results}")
    if outcome.verdict != "passed":
        print(f"the lab is left as it is: lab ssh NODE --name {name} looks at it,")
        print(f"lab up {options.scenario} --name {name} does the failed section again, from its")
        print("start: what it did already must be undone first;")
        print(f"lab down {name} removes it")
        return 1
    if outcome.left:
        again = f"lab up {options.scenario} --name {name}"
        print(f"still to do: {', '.join(outcome.left)}; {again} carries on")
    print(f"the lab is up: lab status {name}, lab ssh NODE --name {name}, lab down {name}")
    return 0


def down_(options: argparse.Namespace) -> int:
    """`lab down`"""
    doctors.require()
    if options.all and options.lab:
        raise BadInput("give a lab's name or --all, not both")
    there = labs.everything()
    names = there if options.all else [options.lab or _only(there)]
    if options.lab and options.lab not in there:
        raise BadInput(f"there is no lab {options.lab!r}; labs: {', '.join(there) or 'none'}")
    if not names:
        print("there is no lab")
    for name in names:
        with labs.held(name, within=10):
            found = labs.down(name)
        if not found:
            raise BadInput(f"there is no lab {name!r}; labs: {', '.join(there) or 'none'}")
        print(f"lab {name} is removed; the results of its runs stay")
    return 0


def list_(options: argparse.Namespace) -> int:
    """`lab list`"""
    doctors.require()
    rows: list[dict[str, Any]] = []
    for name in labs.everything():
        try:
            if name not in labs.names():
                raise LabError("machines without their folder; lab down removes them")
            rows.append(labs.summary(Lab.open(name)))
        except LabError as error:  # half of a lab: it is listed, so that it can be removed
            rows.append({"name": name, "problem": error.message})
    known = []
    for name in scenarios.names():
        scenario = scenarios.load(scenarios.find(name))
        known.append({"scenario": name, "chapter": scenario.chapter, "about": scenario.about})
    if options.json:
        return _json({"labs": rows, "scenarios": known, "platforms": platforms.names()})
    table = _table("lab", "scenario", "platform", "machines", "sections done")
    for row in rows:
        if problem := row.get("problem"):
            table.add_row(row["name"], Text(str(problem), "red"))
            continue
        on = sum(row["machines"].values())
        table.add_row(
            row["name"],
            Path(row["scenario"]).stem,
            f"{row['platform']} ({row['provider']})",
            f"{on} of {len(row['machines'])} on",
            f"{len(row['done'])} of {len(row['sections'])}",
        )
    screen = Screen()
    screen.print(table if rows else "no labs; lab up SCENARIO makes one")
    table = _table("scenario", "chapter", "")
    for entry in known:
        table.add_row(entry["scenario"], entry["chapter"], entry["about"])
    screen.print()
    screen.print(table)
    return 0


def show_(options: argparse.Namespace) -> int:
    """`lab show`"""
    scenario = scenarios.load(scenarios.find(options.scenario))
    platform = platforms.load(options.platform)
    plan = scenarios.plan(scenario, platform)
    verbatim = sum(step.verbatim for step in plan)
    adapted = sum(step.adapted for step in plan)
    added = sum(step.added for step in plan)
    if options.json:
        sections = [
            {
                "section": step.section,
                "title": step.title,
                "commands": [_command(command) for command in step.commands],
                "actions": [use.text for part in step.parts for use in part.acts],
                "before": [use.text for part in step.parts for use in part.before],
                "expect": [use.text for part in step.parts for use in part.expect],
            }
            for step in plan
        ]
        counts = {"verbatim": verbatim, "adapted": adapted, "added": added}
        return _json({"platform": platform.name, "counts": counts, "sections": sections})
    screen = Screen(highlight=False, soft_wrap=True)
    screen.print(f"{scenario.chapter}  {scenario.title}, on {platform.title}", style="bold")
    for step in plan:
        screen.print()
        screen.print(Text(f"{step.section}  {step.title}", "bold underline"))
        for part in step.parts:
            for use in part.before:
                screen.print(Text(f"  before: {use.text}", "dim"))
            for command in part.commands:
                _show_command(screen, command)
            for use in part.acts:
                screen.print(Text(f"  » {use.text}"))
            for use in part.expect:
                screen.print(Text(f"  expect: {use.text}", "dim"))
    screen.print(f"\n{verbatim} commands of the book verbatim, {adapted} adapted, {added} added")
    return 0


def status_(options: argparse.Namespace) -> int:
    """`lab status`"""
    doctors.require()
    lab = Lab.open(options.lab or _only(labs.everything()))
    running = lab.provider.running(lab.name)
    machines = [
        {"node": node, "address": m.address, "state": "on" if running.get(node) else "off"}
        for node, m in lab.scenario.nodes.items()
    ]
    for guest, spec in lab.scenario.guests.items():
        try:
            state = lab.guests_of(guest).state(guest) if running.get(spec.host) else "unknown"
        except LabError:
            state = "unknown"  # libvirtd is not installed yet, or does not run
        machines.append({"node": guest, "address": spec.address, "state": state})
    problem = ""
    status = None
    try:
        status = lab.status()
    except LabError as error:
        problem = error.message
    lab.close()
    if options.json:
        cluster = asdict(status) if status else {"problem": problem}
        return _json({"lab": lab.name, "machines": machines, "cluster": cluster})
    screen = Screen(highlight=False)
    table = _table("machine", "address", "state")
    for row in machines:
        table.add_row(row["node"], row["address"], row["state"])
    screen.print(table)
    screen.print()
    if status is None:
        screen.print(Text(f"cluster: {problem}"), soft_wrap=True)
        return 0
    quorum = "with quorum" if status.quorum else "WITHOUT quorum"
    screen.print(f"cluster: DC {status.dc or 'none'}, {quorum}")
    table = _table("node", "kind", "state", "resources")
    for node in status.nodes.values():
        active = [r.id for r in status.resources.values() if node.name in r.nodes]
        table.add_row(node.name, node.kind, node.text, " ".join(active))
    screen.print(table)
    for name, resource in status.resources.items():
        if not resource.active:
            screen.print(f"  {name}: {resource.text}")
    for action in status.failed:
        screen.print(Text(f"  failed: {action.text}", "red"))
    return 0


def ssh_(options: argparse.Namespace) -> int:
    """`lab ssh`: becomes ssh, so that the terminal is its own."""
    doctors.require()
    _become_ssh(options.name, options.node, [])
    return 3


def exec_(options: argparse.Namespace) -> int:
    """`lab exec`: becomes ssh, so that the exit status is the command's own."""
    doctors.require()
    _become_ssh(options.name, options.node, [" ".join(options.argv)])
    return 3


def ssh_config_(options: argparse.Namespace) -> int:
    """`lab ssh-config`"""
    print(Lab.open(options.lab or _only(labs.everything())).access.ssh_config)
    return 0


def doctor_(options: argparse.Namespace) -> int:
    """`lab doctor`"""
    if options.fix:
        doctors.fix(print)
    findings = doctors.examine()
    bad = [finding for finding in findings if finding.needed and not finding.ok]
    if options.json:
        _json([asdict(finding) for finding in findings])
        return 3 if bad else 0
    for finding in findings:
        mark = "ok  " if finding.ok else ("MISS" if finding.needed else "note")
        print(f"{mark}  {finding.name}: {finding.seen}")
        if not finding.ok:
            print(f"      why it matters: {finding.why}")
            if finding.fix:
                print(f"      how to get it:  {finding.fix}")
    print("this machine can run labs" if not bad else f"{len(bad)} missing; try lab doctor --fix")
    return 3 if bad else 0


def words_(options: argparse.Namespace) -> int:
    """`lab words`"""
    from lab import actions, checks

    tables = {"check": checks.load().words, "action": actions.action.words}
    everything = {**tables["check"], **tables["action"]}
    if options.word and options.word not in everything:
        raise BadInput(
            f"there is no check or action {options.word!r}; valid: {', '.join(sorted(everything))}"
        )
    for kind, table in tables.items():
        for word in table.values():
            if options.word in ("", word.name):
                takes = ", ".join(word.arguments.model_fields)
                print(f"{kind} {word.name}: {{{takes}}}")
                print("    " + word.about.replace("\n", "\n    ") + "\n")
    return 0


def completion_(options: argparse.Namespace) -> int:
    """`lab completion`"""
    import shtab

    from lab.cli import parser

    print(shtab.complete(parser(), shell=options.shell))
    return 0


def _become_ssh(name: str, node: str, command: list[str]) -> None:
    lab = Lab.open(name or _only(labs.everything()))
    lab.machine(node)  # BadInput for a node that is none
    sys.stdout.flush()
    os.execvp("ssh", ["ssh", "-F", str(lab.access.ssh_config), node, *command])


def _only(there: list[str]) -> str:
    """The name of the only lab, for commands that were given none."""
    if len(there) == 1:
        return there[0]
    if not there:
        raise BadInput("there is no lab", hint="lab up SCENARIO makes one")
    raise BadInput(f"say which lab: {', '.join(there)}")


def _command(command: PlannedCommand) -> dict[str, Any]:
    """A planned command as plain data; the book's own where it is verbatim."""
    return {
        "node": command.node,
        "run": command.text,
        "adapted": command.adapted,
        "book": list(command.book),
        "why": command.why,
    }


def _show_command(screen: Screen, command: PlannedCommand) -> None:
    prompt = f"[root@{command.node} ~]# "
    mark = "adapted " if command.adapted else "        "
    lines = (command.text or "(left out)").split("\n")
    screen.print(Text(f"{mark}{prompt}{lines[0]}", "yellow" if command.adapted else ""))
    for line in lines[1:]:
        screen.print(Text(f"        {line}"))
    if command.adapted:
        for original in command.book:
            screen.print(Text(f"          instead of: {original}", "dim"))
        screen.print(Text(f"          because: {command.why}", "dim"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _json(data: Any) -> int:
    print(json.dumps(data, indent=2))
    return 0
