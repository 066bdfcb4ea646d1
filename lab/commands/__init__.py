"""What each command of the command line does: calls the library and prints what came back.

Here is what they share.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.errors import BadInput
from lab.lab import Lab
from lab.record import names

STDOUT = "-"  # in place of a file's name
_ENDLESS = 100_000  # characters of a line that no terminal folds


class Screen(Console):
    """rich's, which would exit with 1 by itself where the reader (head, less) is gone, and fold at
    80 characters where no terminal says how many there are.

    A text is what it is, in tables too: no markup in it, no emoji.
    """

    def __init__(self, *, soft_wrap: bool = False) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=soft_wrap)
        if not self.file.isatty() and "COLUMNS" not in os.environ:
            self.width = _ENDLESS

    def on_broken_pipe(self) -> None:
        """Called while the error is handled: the command line knows what to do with it."""
        raise


def only(there: list[str], how: str) -> str:
    """The name of the only lab, for commands that were given none. `how` to give one."""
    if len(there) == 1:
        return there[0]
    if not there:
        raise BadInput("there is no lab", hint="lab up SCENARIO makes one")
    raise BadInput(f"say which lab: {', '.join(there)}", hint=how)


def opened(name: str | None, how: str = "--name NAME") -> Lab:
    """The lab of that name; where none was given, the only one on disk. `how`: as `only`."""
    return Lab.open(name or only(names(), how))


def output_file(name: str) -> Path:
    """Where a command is to write. Raises BadInput for a folder, and for what can be in none."""
    file = Path(name)
    above = next((one for one in file.absolute().parents if one.exists()), Path("/"))
    if file.is_dir():
        problem = "it is a folder"
    elif not above.is_dir():
        problem = f"{above} is no folder"
    else:
        return file
    raise BadInput(f"{file} cannot be written: {problem}", hint="give the name of a file")


def aside(line: str) -> None:
    """Say something that is no part of the output, which may be JSON."""
    print(f"lab: {line}", file=sys.stderr)


def columns(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_json(data: Any) -> int:
    print(json.dumps(data, indent=2))
    return 0


def print_page(html: str) -> int:
    """To standard output, in the encoding that the page says it has."""
    sys.stdout.buffer.write(html.encode())
    return 0
