"""The program vagrant, through python-vagrant: in the lab's namespaces, by a deadline.

python-vagrant knows vagrant's command line and reads what it prints; how a program is run, and
ended, is `lab.command`'s business.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab import command, paths
from lab.errors import CannotRun, CommandFailed, CommandTimeout
from lab.providers import libvirtd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns where vagrant is missing; doctor says it better
    import vagrant

SUPPORTED = ((2, 2, 16), (2, 5))  # from, and not any more
ASK = 120.0  # seconds for a question; Ruby alone takes two
_QUIET = {"VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_NO_COLOR": "1"}
# The user's settings for other Vagrantfiles; an empty one would be a setting, too.
UNSET = [f"--unset=VAGRANT_{name}" for name in ("VAGRANTFILE", "NO_PARALLEL", "LOG")]


def settings(nodes: Path) -> dict[str, str]:
    """The environment of a lab's vagrant; `nodes`: the file that the Vagrantfile reads."""
    own = nodes.parent / "vagrant"
    return {
        "LAB_NODES": str(nodes),
        "VAGRANT_CWD": str(paths.ROOT),
        "VAGRANT_HOME": str(own),
        "VAGRANT_DOTFILE_PATH": str(own / "dot"),
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
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
        self.env = settings(nodes) | _QUIET

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
        argv = ["setpriv", "--pdeathsig", "KILL", "env", *UNSET]
        argv += libvirtd.inside(self._lab, words)
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


def ask(*arguments: str) -> str:
    """What vagrant says outside of any lab, with a home of its own as it has in one."""
    with tempfile.TemporaryDirectory(prefix="lab-vagrant-") as home:
        env = {"VAGRANT_HOME": home, "VAGRANT_CWD": home, **_QUIET}
        return command.run(["vagrant", *arguments], within=ASK, env=env).stdout


def plugins() -> dict[str, str]:
    """The plugins that a lab's Vagrant has, each with its version."""
    found = re.findall(r"^(\S+) \(([^,)]+)", ask("plugin", "list"), re.MULTILINE)
    return dict(found)


def check_version(said: str) -> None:
    """Raise CannotRun if `vagrant --version` names one that is not known to work."""
    found = re.search(r"\d+(\.\d+)+", said)
    number = tuple(int(part) for part in found[0].split(".")) if found else ()
    first, end = SUPPORTED
    if not first <= number < end:
        wanted = f"{'.'.join(map(str, first))} to below {'.'.join(map(str, end))}"
        raise CannotRun(
            f"{said.strip() or 'this vagrant'} is not supported; lab works with {wanted}",
            hint="install another version, or use --provider podman",
        )
