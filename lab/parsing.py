"""How a command line is read, where argparse does it otherwise. Imports nothing that takes long."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from lab.errors import BadInput


class Parser(argparse.ArgumentParser):
    """Complains of what it does not know by itself: argparse leaves that to the topmost one, whose
    help says nothing of it. `usage_line`: of a command that takes another program's command line.
    """

    usage_line = ""

    def error(self, message: str) -> NoReturn:
        raise BadInput(message, hint=self.usage_line or f"{self.prog} --help")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        given = list(args or ())
        options, left = super().parse_known_args(
            _kept(given) if self.usage_line else given, namespace
        )
        if left and self.usage_line and "--" not in given:
            self.error(f"put -- before COMMAND: {left[0]} is no option of {self.prog}")
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        if self.usage_line:
            options.argv = ["--" if word == _KEPT else word for word in options.argv]
        return options, left


class Once(argparse.Action):
    """An option that cannot be given again: where others collect, the last would win unseen."""

    given = False

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if self.given:
            parser.error(f"{option_string} is given twice: this command takes one")
        self.given = True
        setattr(namespace, self.dest, values)


def something(text: str) -> str:
    """An option's value that cannot be empty, as that of a variable is that nobody has set."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


_KEPT = "\0--"  # no argument of a process has a NUL in it


def _kept(given: list[str]) -> list[str]:
    """Behind the first `--` others are the other program's own, and argparse would drop one."""
    begun = given.index("--") + 1 if "--" in given else len(given)
    return [*given[:begun], *(_KEPT if word == "--" else word for word in given[begun:])]
