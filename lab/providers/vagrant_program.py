"""The program vagrant, through python-vagrant: in the lab's namespaces, by a deadline.

python-vagrant knows vagrant's command line and reads what it prints; how a program is run, and
ended, is `lab.command`'s business.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab import command, paths
from lab.errors import CommandFailed, CommandTimeout
from lab.providers import libvirtd
from lab.vagrant_cli import ASK, OWN, PLAIN

# It warns where vagrant is missing; doctor says it better.
_said = logging.getLogger("vagrant")
_said.addHandler(logging.NullHandler())
_said.propagate = False

import vagrant  # noqa: E402


def settings(nodes: Path) -> dict[str, str | None]:
    """The environment of a lab's vagrant; `nodes`: the file that the Vagrantfile reads."""
    own = nodes.parent / "vagrant"
    return OWN | {
        "LAB_NODES": str(nodes),
        "VAGRANT_CWD": str(paths.ROOT),
        "VAGRANT_HOME": str(own),
        "VAGRANT_DOTFILE_PATH": str(own / "dot"),
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
    }


class Program(vagrant.Vagrant):
    """vagrant, for one lab."""

    def __init__(self, lab: str, home: Path, nodes: Path, say: Callable[[str], None]) -> None:
        """`home`: a VAGRANT_HOME with the box; `nodes`: the file that the Vagrantfile reads."""
        super().__init__(root=str(paths.ROOT))  # type: ignore[no-untyped-call]
        self._lab = lab
        self._say = say
        self._within = ASK
        own = nodes.parent / "vagrant"
        own.mkdir(exist_ok=True)
        self._log = own / "log"
        if not (own / "boxes").exists():
            (own / "boxes").symlink_to(home / "boxes")
        self.env = settings(nodes) | PLAIN

    def bring_up(self, within: float) -> None:
        """`vagrant up`, for what is not there yet. Raises CommandFailed with what it said last."""
        self._within = within
        lines = self.up(provider="libvirt", stream_output=True)  # type: ignore[no-untyped-call]
        for _ in lines:
            pass

    def _call_vagrant_command(self, args: Sequence[str | None]) -> None:
        self._run(args)

    def _run_vagrant_command(self, args: Sequence[str | None]) -> str:
        return self._run(args)

    def _stream_vagrant_command(self, args: Sequence[str | None]) -> Iterator[str]:
        yield from self._run(args).splitlines()

    def _run(self, args: Sequence[str | None]) -> str:
        words = ["vagrant", *(one for one in args if one)]
        # It ends with the one who asked for it, whatever ends that one: a machine that it would
        # finish behind our back is worse than half a machine.
        argv = ["setpriv", "--pdeathsig", "KILL", *libvirtd.inside(self._lab, words)]
        try:
            done = command.run(argv, within=self._within, env=self.env, on_line=self._line)
        except CommandTimeout as error:
            raise CommandTimeout(
                f"`{' '.join(words)}` did not end within {self._within:g} s; all that it said "
                f"is in {self._log}"
            ) from error
        except CommandFailed as error:
            # Without the backtrace of Ruby that some of its errors end with.
            said = [line for line in error.output.splitlines() if not line.startswith("\tfrom ")]
            raise CommandFailed(
                f"`{' '.join(words)}` failed; all that it said is in {self._log}; at last:\n  "
                + "\n  ".join(said[-8:])
            ) from error
        return done.stdout

    def _line(self, line: str) -> None:
        with self._log.open("a") as log:
            log.write(line + "\n")
        # Of all that it says of a machine, what it does and what it complains of: not its settings.
        found = re.match(r"(?:==> |    )(\S+: (?!--|Warning: Conn|Warning: Host)\w.*)", line)
        if found:
            self._say(f"vagrant: {found[1]}")
