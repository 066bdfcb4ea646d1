"""Which packages a machine has, asked of its package manager once for all of them.

(testinfra asks for one fact of one package at a time, and on an emulated machine each question
takes a fifth of a second.)
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab.errors import CommandFailed
from lab.fields import Family

if TYPE_CHECKING:
    from lab.machine import Machine

# Each prints a line `installed NAME VERSION` for one that is there, and says otherwise of others.
_ASK = {
    "debian": "dpkg-query --show --showformat='${db:Status-Status} ${Package} ${Version}\\n'",
    "redhat": "rpm --query --queryformat 'installed %{NAME} %{VERSION}\\n'",
}


def installed(machine: Machine, family: Family, names: Iterable[str]) -> dict[str, str]:
    """The version of each of these packages that is installed there; the others are left out.

    CommandFailed if the package manager cannot tell.
    """
    asked = list(names)
    done = machine.run(f"{_ASK[family]} {shlex.join(asked)}")
    # dpkg-query ends with 1 where it does not know one, rpm with how many it does not know.
    if done.exit > (1 if family == "debian" else len(asked)):
        raise CommandFailed(f"on {machine.name}, packages: {done.output.strip()}")
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[1]: line[2] for line in lines if len(line) == 3 and line[0] == "installed"}
