"""A plan as `lab show` prints it, and as plain data for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console as Screen
from rich.text import Text

from lab.plan import PlannedCommand, PlannedPart, PlannedStep, Use
from lab.report.text import typed
from lab.wording import counted

_MARGIN = " " * 8
_NOTE = " " * 10


def counts(steps: Sequence[PlannedStep]) -> dict[str, int]:
    """How many commands are the book's, are others in their place, are none of the book's."""
    return {
        "verbatim": sum(step.verbatim for step in steps),
        "adapted": sum(step.adapted for step in steps),
        "added": sum(step.added for step in steps),
    }


def as_data(steps: Sequence[PlannedStep]) -> list[dict[str, Any]]:
    """The sections, each with its parts, as JSON can have them."""
    return [
        {
            "section": step.section,
            "title": step.title,
            "origin": step.origin,
            "parts": [_part(part) for part in step.parts],
        }
        for step in steps
    ]


def _part(part: PlannedPart) -> dict[str, Any]:
    return {
        "before": [_use(use) for use in part.before],
        "commands": [_command(command) for command in part.commands],
        "actions": [_use(use) for use in part.acts],
        "faults": [_use(use) for use in part.faults],
        "within": part.within,
        "expect": [_use(use) for use in part.expect],
        "healed": [_use(use) for use in part.healed],
    }


def _command(command: PlannedCommand) -> dict[str, Any]:
    """A planned command; the book's own where it is verbatim."""
    return {
        "nodes": list(command.nodes),
        "run": command.text,
        "exit": list(command.exit),
        "secret": command.secret,
        "adapted": command.adapted,
        "book": list(command.book),
        "why": command.why,
    }


def _use(use: Use) -> dict[str, Any]:
    departs = use.departs and use.departs.model_dump(include={"kind", "book", "now"})
    return {
        "text": use.text,
        "word": use.word.name,
        "arguments": use.arguments,
        "why": use.why,
        "departs": departs,
    }


def show(screen: Screen, steps: Sequence[PlannedStep]) -> None:
    """Print the sections, and at the end how many commands are the book's."""
    for step in steps:
        screen.print()
        screen.print(Text(f"{step.section}  {step.title}", "bold underline"))
        if step.origin:
            screen.print(Text(f"preparation, from {step.origin}", "dim"))
        for number, part in enumerate(step.parts, start=1):
            if len(step.parts) > 1:
                screen.print(Text(f"  part {number} of {len(step.parts)}", "bold"))
            _show_part(screen, part)
    total = counts(steps)
    verbatim = counted(total["verbatim"], "command")
    others = f"{total['adapted']} adapted, {total['added']} added"
    screen.print(f"\n{verbatim} of the book verbatim, {others}")


def _show_part(screen: Screen, part: PlannedPart) -> None:
    for use in part.before:
        _show_use(screen, "before: ", use, "dim")
    for command in part.commands:
        _show_command(screen, command)
    for use in part.acts:
        _show_act(screen, use)
    for use in part.faults:
        _show_use(screen, "fault: ", use, "bold")
    if part.expect or part.healed:
        screen.print(Text(f"  within {part.within:g} s", "dim"))
    for use in part.expect:
        _show_use(screen, "expect: ", use, "dim")
    for use in part.healed:
        _show_use(screen, "healed: ", use, "dim")


def _show_use(screen: Screen, label: str, use: Use, style: str = "") -> None:
    screen.print(Text(f"  {label}{use.text}", style))
    _show_reasons(screen, use)


def _show_reasons(screen: Screen, use: Use) -> None:
    if use.why:
        _note(screen, f"because: {use.why}")
    if use.departs:
        _note(screen, f"the book: {use.departs.book}")
        _note(screen, f"today: {use.departs.now}")


def _show_act(screen: Screen, use: Use) -> None:
    """An action; one that types a command as the command is typed, so that its end can be seen."""
    if use.word.name != "run":
        _show_use(screen, "» ", use)
        return
    given = use.arguments
    _show_typed(screen, "      » ", [given["node"]], given["command"])
    _show_ends(screen, given.get("exits") or (0,), given.get("secret") or "")
    _show_reasons(screen, use)


def _show_command(screen: Screen, command: PlannedCommand) -> None:
    mark, style = _MARGIN, ""
    if command.adapted:
        mark, style = ("adapted " if command.book else "added   "), "yellow"
    _show_typed(screen, mark, command.nodes, command.text or "(left out)", style)
    _show_ends(screen, command.exit, command.secret)
    if command.adapted:
        for original in command.book:
            _note(screen, f"instead of: {original}")
        _note(screen, f"because: {command.why}")


def _show_typed(
    screen: Screen, mark: str, nodes: Sequence[str], text: str, style: str = ""
) -> None:
    (prompt, first), *others = typed(",".join(nodes), text)
    screen.print(Text(f"{mark}{prompt}{first}", style))
    for more, line in others:
        screen.print(Text(f"{_MARGIN}{more}{line}"))


def _show_ends(screen: Screen, exits: Sequence[int], secret: str) -> None:
    if tuple(exits) != (0,):
        _note(screen, f"exit status: {' or '.join(map(str, exits))}")
    if secret:
        _note(screen, f"reads: the password of {secret}")


def _note(screen: Screen, text: str) -> None:
    screen.print(Text(f"{_NOTE}{text}", "dim"))
