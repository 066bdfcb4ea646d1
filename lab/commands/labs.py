"""Commands on a whole lab: up, down, list, status, report."""

from __future__ import annotations

import argparse
import webbrowser
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from lab import bmc, faults, labs, owner, paths, platforms
from lab import doctor as doctors
from lab import record as records
from lab import scenario as scenarios
from lab.commands import (
    STDOUT,
    Screen,
    aside,
    columns,
    only,
    opened,
    output_file,
    print_json,
    print_page,
)
from lab.errors import BadInput, LabError
from lab.lab import Lab
from lab.wording import counted

if TYPE_CHECKING:
    from lab.up import Outcome


def up_(options: argparse.Namespace) -> int:
    """`lab up`"""
    from lab.report.console import Console as Report
    from lab.up import Wish, up

    doctors.require(options.provider)
    wish = Wish(
        scenario=options.scenario,
        name=options.name or "",
        platform=options.platform,
        provider=options.provider,
        until=options.until,
        keep_going=options.keep_going,
        remotes=options.remotes,
    )
    with Report() as console:
        outcome = up(wish, console)
    with suppress(BrokenPipeError):  # the exit status tells it all the same
        _tell(outcome, f"lab up {options.scenario} --name {outcome.name}")
    return 0 if outcome.verdict == "passed" else 1


def _tell(outcome: Outcome, again: str) -> None:
    """What a run came to, and what can be done with its lab."""
    name = outcome.name
    print(f"\ntranscript and results: {outcome.results}")
    if outcome.verdict != "passed":
        print(f"the lab is left as it is: lab ssh NODE --name {name} looks at it,")
        print(f"{again} does the failed section again, from its")
        print("start: what it did already must be undone first;")
        print(f"lab down {name} removes it")
        return
    if outcome.left:
        print(f"still to do: {', '.join(outcome.left)}; {again} carries on")
    print(f"the lab is up: lab status {name}, lab ssh NODE --name {name}, lab down {name}")


def verify_(options: argparse.Namespace) -> int:
    """`lab verify`"""
    from lab.report.console import Console as Report
    from lab.verify import verify

    doctors.require()
    name = options.name or only(records.names(), "--name NAME")
    with labs.held(name), closing(Lab.open(name)) as lab:
        with Report() as console:
            found = verify(lab, options.section, console)
        path = Path(lab.record.scenario)
        scenario = path.stem if path.parent == paths.SCENARIOS else path
    print()
    expects = counted(found.expected, "thing")
    print(f"{options.section} expects {expects}; {found.looked} can be seen afterwards")
    if found.problems:
        print(f"not as it should be: {len(found.problems)} of {found.looked}")
        return 1
    print(f"all is as it should be, and {options.section} counts as done")
    print(f"lab up {scenario} --name {name} carries on")
    return 0


def down_(options: argparse.Namespace) -> int:
    """`lab down`"""
    doctors.require()
    if options.all and options.lab:
        raise BadInput("give a lab's name or --all, not both")
    if options.lab:
        owner.require_own(options.lab)
    there = labs.ours()
    names = there if options.all else [options.lab or only(there, "lab down NAME, or --all")]
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
    if options.all:
        for name in labs.everything():
            if place := owner.elsewhere(name):
                print(f"lab {name} stays: it belongs to LAB_STATE={place}")
    return 0


def list_(options: argparse.Namespace) -> int:
    """`lab list`"""
    doctors.require()
    rows: list[dict[str, Any]] = []
    for name in labs.everything():
        try:
            if owner.elsewhere(name) or name not in records.names():
                raise LabError(labs.remains(name))
            rows.append(labs.summary(Lab.open(name)))
        except LabError as error:  # half of a lab: it is listed, so that it can be removed
            rows.append({"name": name, "problem": error.message})
    known = []
    for name in scenarios.names():
        scenario = scenarios.load(scenarios.find(name))
        known.append({"scenario": name, "chapter": scenario.chapter, "about": scenario.about})
    if options.json:
        return print_json({"labs": rows, "scenarios": known, "platforms": platforms.names()})
    table = columns("lab", "scenario", "platform", "machines", "sections done")
    problems = []
    for row in rows:
        if problem := row.get("problem"):
            table.add_row(row["name"], Text("see below", "red"))
            problems.append(Text.assemble((f"{row['name']}: ", "bold"), (str(problem), "red")))
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
    for told in problems:
        screen.print()
        screen.print(told, soft_wrap=True)
    table = columns("scenario", "chapter", "")
    for entry in known:
        table.add_row(entry["scenario"], entry["chapter"], entry["about"])
    screen.print()
    screen.print(table)
    return 0


def status_(options: argparse.Namespace) -> int:
    """`lab status`"""
    doctors.require()
    lab = opened(options.lab, "lab status NAME")
    running = lab.provider.running(lab.name)
    if running:
        try:
            bmc.ensure(lab, aside)
        except LabError as error:  # what can be seen of the lab is shown all the same
            aside(error.message)
    paused = lab.provider.paused(lab.name) if running else set()
    machines = [
        {
            "node": node,
            "address": m.address,
            "bmc": "" if m.slim else bmc.address(lab.scenario, node),
            "state": "paused" if node in paused else "on" if running.get(node) else "off",
        }
        for node, m in lab.scenario.nodes.items()
    ]
    for guest, spec in lab.scenario.guests.items():
        try:
            state = lab.guests_of(guest).state(guest) if running.get(spec.host) else "unknown"
        except LabError:
            state = "unknown"  # libvirtd is not installed yet, or does not run
        machines.append({"node": guest, "address": spec.address, "bmc": "", "state": state})
    standing = faults.standing(lab)
    problem = ""
    status = None
    try:
        status = lab.status()
    except LabError as error:
        problem = error.message
    lab.close()
    if options.json:
        cluster = asdict(status) if status else {"problem": problem}
        told = [asdict(one) | {"text": one.text} for one in standing]
        return print_json(
            {"lab": lab.name, "machines": machines, "faults": told, "cluster": cluster}
        )
    screen = Screen()
    table = columns("machine", "address", "BMC", "state")
    for row in machines:
        table.add_row(row["node"], row["address"], row["bmc"], row["state"])
    screen.print(table)
    for one in standing:
        screen.print(Text(f"  fault {one.number}: {one.text}", "yellow"), soft_wrap=True)
    screen.print()
    if status is None:
        screen.print(Text(f"cluster: {problem}"), soft_wrap=True)
        return 0
    quorum = "with quorum" if status.quorum else "WITHOUT quorum"
    screen.print(f"cluster: DC {status.dc or 'none'}, {quorum}")
    table = columns("node", "kind", "state", "resources")
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


def report_(options: argparse.Namespace) -> int:
    """`lab report`"""
    if options.open and options.output == STDOUT:
        raise BadInput("--open needs a file, and --output - writes none")
    from lab.report import html, results

    there = sorted(path.parent.name for path in paths.results().glob("*/latest"))
    name = options.lab or only(records.names() or there, "lab report NAME")
    run = paths.results() / name / "latest"
    if not (run / "results.jsonl").exists():
        raise BadInput(f"no run of a lab {name!r} is on record; runs: {', '.join(there) or 'none'}")
    events = results.read(run / "results.jsonl")
    if options.output == STDOUT:
        return print_page(html.render(events))
    output = output_file(options.output) if options.output else run.resolve() / "report.html"
    html.write(output, events)
    print(output)
    if options.open and not webbrowser.open(output.resolve().as_uri()):
        raise LabError("no browser could be started", hint=f"open {output} in one")
    return 0
