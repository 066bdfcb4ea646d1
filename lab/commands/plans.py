"""Commands that need no lab: what a scenario will do, what words there are, what is missing."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from rich.text import Text

from lab import doctor as doctors
from lab import plan as plans
from lab import platforms, providers
from lab import scenario as scenarios
from lab.commands import Screen, aside, print_json
from lab.errors import BadInput
from lab.plan import PlannedCommand, Use
from lab.providers.choice import nowhere
from lab.wording import be, counted


def show_(options: argparse.Namespace) -> int:
    """`lab show`"""
    scenario = scenarios.load(scenarios.find(options.scenario))
    platform = platforms.load(options.platform)
    plan = plans.plan(scenario, platform)
    cannot = nowhere(scenario, platform)
    verbatim = sum(step.verbatim for step in plan)
    adapted = sum(step.adapted for step in plan)
    added = sum(step.added for step in plan)
    if options.json:
        sections = [
            {
                "section": step.section,
                "title": step.title,
                "origin": step.origin,
                "commands": [_command(command) for command in step.commands],
                "actions": [use.text for part in step.parts for use in part.acts],
                "faults": [use.text for part in step.parts for use in part.faults],
                "before": [use.text for part in step.parts for use in part.before],
                "expect": [use.text for part in step.parts for use in (*part.expect, *part.healed)],
            }
            for step in plan
        ]
        counts = {"verbatim": verbatim, "adapted": adapted, "added": added}
        return print_json(
            {
                "platform": platform.name,
                "cannot_run": cannot,
                "counts": counts,
                "sections": sections,
            }
        )
    screen = Screen(soft_wrap=True)
    screen.print(f"{scenario.chapter}  {scenario.title}, on {platform.title}", style="bold")
    if cannot:
        screen.print(Text(f"cannot run there: {cannot}", "bold red"))
    for step in plan:
        screen.print()
        screen.print(Text(f"{step.section}  {step.title}", "bold underline"))
        if step.origin:
            screen.print(Text(f"preparation, from {step.origin}", "dim"))
        for part in step.parts:
            for use in part.before:
                _show_use(screen, "before: ", use, "dim")
            for command in part.commands:
                _show_command(screen, command)
            for use in part.acts:
                _show_use(screen, "» ", use)
            for use in part.faults:
                _show_use(screen, "fault: ", use, "bold")
            for use in part.expect:
                _show_use(screen, "expect: ", use, "dim")
            for use in part.healed:
                _show_use(screen, "healed: ", use, "dim")
    screen.print(
        f"\n{counted(verbatim, 'command')} of the book verbatim, {adapted} adapted, {added} added"
    )
    return 0


def doctor_(options: argparse.Namespace) -> int:
    """`lab doctor`"""
    providers.check(options.provider)
    if options.fix:
        doctors.fix(aside if options.json else print, options.provider)
    findings = doctors.examine(options.provider)
    bad = [finding for finding in findings if finding.needed and not finding.ok]
    if options.json:
        print_json([asdict(finding) for finding in findings])
        return 3 if bad else 0
    for finding in findings:
        mark = "ok  " if finding.ok else ("MISS" if finding.needed else "note")
        print(f"{mark}  {finding.name}: {finding.seen}")
        if not finding.ok:
            print(f"      why it matters: {finding.why}")
            if finding.fix:
                print(f"      how to get it:  {finding.fix}")
    of_vagrant = [finding for finding in findings if finding.provider == doctors.VAGRANT]
    if of_vagrant:
        lacking = ", ".join(finding.name for finding in of_vagrant if not finding.ok)
        print(f"provider vagrant: {f'lacks {lacking}' if lacking else 'works'}")
    again = "lab doctor --fix"
    if options.provider != providers.AUTO:
        again += f" --provider {options.provider}"
    if not bad:
        print("this machine can run labs")
        return 0
    names = ", ".join(finding.name for finding in bad)
    fixable = any(finding.packages for finding in bad)
    print(f"{len(bad)} missing: {names}{f'; try {again}' if fixable else ''}")
    return 3


def check_(options: argparse.Namespace) -> int:
    """`lab check`: every file is looked at, however many are wrong."""
    wrong = 0
    for name in options.file:
        try:
            scenario = scenarios.load(scenarios.find(name))
        except BadInput as error:
            wrong += 1
            print(error.message)
        else:
            print(f"{name}: {counted(len(scenario.steps), 'section')}, nothing is wrong")
    if wrong:
        raise BadInput(f"{wrong} of {len(options.file)} {be(wrong)} wrong")
    return 0


def schema_(_options: argparse.Namespace) -> int:
    """`lab schema`"""
    from lab.schema import scenario_schema

    return print_json(scenario_schema())


def words_(options: argparse.Namespace) -> int:
    """`lab words`"""
    from lab import actions, audits, checks, faults

    tables = {
        "check": checks.load().words,
        "action": actions.action.words,
        "fault": faults.load().words,
    }
    everything = {*audits.TABLE, *(name for table in tables.values() for name in table)}
    if options.word and options.word not in everything:
        valid = ", ".join(sorted(everything))
        raise BadInput(
            f"there is no check, action, fault or audit {options.word!r}; valid: {valid}"
        )
    for kind, table in tables.items():
        for word in table.values():
            if options.word in ("", word.name):
                takes = ", ".join(word.arguments.model_fields)
                print(f"{kind} {word.name}: {{{takes}}}")
                print("    " + word.about.replace("\n", "\n    ") + "\n")
    for audit in audits.TABLE.values():
        if options.word in ("", audit.name):
            print(f"audit {audit.name}")
            print("    " + audit.about.replace("\n", "\n    ") + "\n")
    return 0


def _command(command: PlannedCommand) -> dict[str, Any]:
    """A planned command as plain data; the book's own where it is verbatim."""
    return {
        "nodes": list(command.nodes),
        "run": command.text,
        "adapted": command.adapted,
        "book": list(command.book),
        "why": command.why,
    }


def _show_use(screen: Screen, label: str, use: Use, style: str = "") -> None:
    screen.print(Text(f"  {label}{use.text}", style))
    if use.why:
        screen.print(Text(f"          because: {use.why}", "dim"))
    if use.departs:
        screen.print(Text(f"          the book: {use.departs.book}", "dim"))
        screen.print(Text(f"          today: {use.departs.now}", "dim"))


def _show_command(screen: Screen, command: PlannedCommand) -> None:
    prompt = f"[root@{','.join(command.nodes)} ~]# "
    mark = "adapted " if command.adapted else "        "
    lines = (command.text or "(left out)").split("\n")
    screen.print(Text(f"{mark}{prompt}{lines[0]}", "yellow" if command.adapted else ""))
    for line in lines[1:]:
        screen.print(Text(f"        {line}"))
    if command.adapted:
        for original in command.book:
            screen.print(Text(f"          instead of: {original}", "dim"))
        screen.print(Text(f"          because: {command.why}", "dim"))
