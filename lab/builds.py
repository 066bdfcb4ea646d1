"""How a program runs that makes images: on record, by a deadline, gone with who asked for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab import command
from lab.errors import CannotRun, CommandFailed

# Killed when this process is (whatever kills it), in a PID namespace that takes every process of a
# package's script along, in a mount namespace that takes the mounts.
_CONFINED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork",
             "--kill-child", "--mount-proc")  # fmt: skip
_STAGE = re.compile(r"(?:### |\[ *\d+\.\d\] )(.+)")  # of our own scripts, of virt-customize


def run(
    argv: Sequence[str],
    work: Path,
    what: str,
    say: Callable[[str], None],
    *,
    within: float,
    env: Mapping[str, str],
    hint: str,
) -> None:
    """Run it; all that it prints is in `work`/log, and `say` gets a line at each of its stages.

    Raises CannotRun, with what it said last and `hint`, where it fails. `what`: "the build of …".
    """
    with (work / "log").open("w") as log:

        def keep(line: str) -> None:
            log.write(line + "\n")
            if stage := _STAGE.match(line):
                say(stage[1])

        try:
            command.run([*_CONFINED, *argv], within=within, on_line=keep, env=env)
        except CommandFailed as error:
            tail = "\n  ".join((error.output or error.message).splitlines()[-12:])
            raise CannotRun(f"{what} failed; it last said:\n  {tail}", hint=hint) from error
