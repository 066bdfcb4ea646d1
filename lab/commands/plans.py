"""Commands that need no lab: what a scenario will do, what words there are, what is missing."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from rich.text import Text

from lab import doctor as doctors
from lab import plan as plans
from lab import platforms, providers
from lab import scenario as scenarios
from lab.commands import Screen, aside, print_json
from lab.errors import BadInput
from lab.providers.choice import nowhere
from lab.report import plan as report
from lab.wording import be, counted


def show_(options: argparse.Namespace) -> int:
    """`lab show`"""
    scenario = scenarios.load(scenarios.find(options.scenario))
    platform = platforms.load(options.platform)
    plan = plans.plan(scenario, platform)
    cannot = nowhere(scenario, platform)
    if options.json:
        return print_json(
            {
                "platform": platform.name,
                "cannot_run": cannot,
                "counts": report.counts(plan),
                "sections": report.as_data(plan),
            }
        )
    screen = Screen(soft_wrap=True)
    screen.print(Text(f"{scenario.chapter}  {scenario.title}, on {platform.title}", "bold"))
    if cannot:
        screen.print(Text(f"cannot run there: {cannot}", "bold red"))
    report.show(screen, plan)
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
    """`lab check`: every file is planned for each platform, however many are wrong."""
    wrong = 0
    for name in options.file:
        try:
            scenario = scenarios.load(scenarios.find(name))
            plans.check(scenario)
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
    from lab import actions, audits, checks, faults, signature

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
                print(f"{kind} {word.name}: {signature.short(word)}")
                print("    " + word.about.replace("\n", "\n    ") + "\n")
                for name, said in signature.arguments(word):
                    print(f"    {name}: {said}")
                print()
    for audit in audits.TABLE.values():
        if options.word in ("", audit.name):
            print(f"audit {audit.name}")
            print("    " + audit.about.replace("\n", "\n    ") + "\n")
    return 0
