"""`lab snapshot`: save a lab as it is, go back to it, list and delete what there is."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict

from lab import doctor as doctors
from lab import labs, snapshots
from lab.commands import Screen, columns, opened, print_json


def save_(options: argparse.Namespace) -> int:
    """`lab snapshot save`"""
    doctors.require()
    lab = opened(options.name)
    with labs.held(lab.name):
        taken = snapshots.save(lab, options.snapshot)
    print(f"snapshot {taken.name} of {lab.name}: {_after(taken)}")
    print(f"lab snapshot restore {taken.name} --name {lab.name} goes back to it")
    return 0


def restore_(options: argparse.Namespace) -> int:
    """`lab snapshot restore`"""
    doctors.require()
    lab = opened(options.name)
    with labs.held(lab.name):
        try:
            taken = snapshots.restore(lab, options.snapshot)
        finally:
            lab.close()
    print(f"{lab.name} is as it was in snapshot {taken.name}: {_after(taken)}")
    return 0


def delete_(options: argparse.Namespace) -> int:
    """`lab snapshot delete`"""
    doctors.require()
    lab = opened(options.name)
    with labs.held(lab.name):
        snapshots.delete(lab, options.snapshot)
    print(f"lab {lab.name} has no snapshot {options.snapshot} any more")
    return 0


def list_(options: argparse.Namespace) -> int:
    """`lab snapshot list`"""
    lab = opened(options.name)
    found = snapshots.listed(lab)
    if options.json:
        return print_json([asdict(one) for one in found])
    if not found:
        print(f"lab {lab.name} has no snapshot")
        return 0
    table = columns("snapshot", "taken", "")
    for one in found:
        taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at))
        table.add_row(one.name, taken, _after(one))
    Screen().print(table)
    return 0


def _after(one: snapshots.Snapshot) -> str:
    if one.damaged:
        return "its record is damaged"
    return f"after section {one.done[-1]}" if one.done else "before the first section"
