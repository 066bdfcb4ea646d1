"""`lab fault`: break something of a lab by hand, list what is broken, heal it."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import Annotated, Any, get_args, get_origin

from lab import doctor as doctors
from lab import faults, labs
from lab.commands import Screen, aside, columns, opened, print_json
from lab.errors import BadInput, LabError
from lab.vocabulary import Word


def inject_(options: argparse.Namespace) -> int:
    """`lab fault inject`"""
    doctors.require()
    word = faults.load().words.get(options.fault)
    if word is None:
        valid = ", ".join(faults.load().words)
        raise BadInput(f"there is no fault {options.fault!r}; faults: {valid}")
    arguments = _arguments(word, [options.node, *options.argument])
    lab = opened(options.name)
    with labs.held(lab.name):
        try:
            one = faults.inject(lab, word.name, arguments)
        finally:
            lab.close()
    print(f"fault {one.number}: {one.text}")
    print(f"lab fault heal {one.number} --name {lab.name} heals it")
    return 0


def list_(options: argparse.Namespace) -> int:
    """`lab fault list`"""
    standing = faults.standing(opened(options.name))
    if options.json:
        return print_json([asdict(one) | {"text": one.text} for one in standing])
    if not standing:
        print("no fault stands")
        return 0
    table = columns("fault", "since", "")
    for one in standing:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at))
        table.add_row(str(one.number), since, one.text)
    Screen().print(table)
    return 0


def heal_(options: argparse.Namespace) -> int:
    """`lab fault heal`: those that were named, or all; the last one first."""
    doctors.require()
    lab = opened(options.name)
    failed: LabError | None = None
    with labs.held(lab.name):
        standing = faults.standing(lab)
        known = [one.number for one in standing]
        for number in options.number:
            if number not in known:
                numbers = ", ".join(map(str, known)) or "none"
                raise BadInput(f"there is no fault {number}; faults that stand: {numbers}")
        if not standing:
            print("no fault stands")
        try:
            for one in reversed(standing):
                if options.number and one.number not in options.number:
                    continue
                try:
                    faults.heal(lab, one)
                    print(f"healed {one.number}: {one.text}")
                except LabError as error:  # the others are healed all the same
                    if failed:
                        aside(failed.message)  # the last one is told as any error is
                    failed = error
        finally:
            lab.close()
    if failed:
        raise failed
    return 0


def _arguments(word: Word, texts: list[str]) -> dict[str, Any]:
    """A fault's arguments from words of the command line, in their order.

    A list of names is `a,b`, a list of such lists `a,b/c`.
    """
    fields = word.arguments.model_fields
    if len(texts) != len(fields):
        first, *more = (name.upper() for name in fields)
        raise BadInput(
            f"{word.name} takes {first} and {' '.join(more) or 'nothing else'}",
            hint=" ".join(["lab fault inject", first, word.name, *more]),
        )
    found: dict[str, Any] = {}
    for (name, field), text in zip(fields.items(), texts, strict=True):
        kind = field.annotation
        if kind is int:
            if not text.isdecimal():
                raise BadInput(f"{word.name}: {name} is a number, not {text!r}")
            found[name] = int(text)
        elif get_origin(kind) is list and get_origin(_bare(get_args(kind)[0])) is list:
            found[name] = [part.split(",") for part in text.split("/")]
        else:
            found[name] = text
    return found


def _bare(hint: Any) -> Any:
    """The type without what marks it."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint
