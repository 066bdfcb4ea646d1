"""The program vagrant outside of any lab: its version, its plugins, what it says of itself."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from lab import command
from lab.errors import CannotRun

SUPPORTED = ((2, 2, 16), (2, 5))  # from, and not any more
ASK = 120.0  # seconds for a question; Ruby alone takes two
OWN: dict[str, str | None] = {
    "VAGRANT_CHECKPOINT_DISABLE": "1",
    # The user's settings for other Vagrantfiles; an empty one would be a setting, too.
    "VAGRANT_VAGRANTFILE": None,
    "VAGRANT_NO_PARALLEL": None,
    "VAGRANT_LOG": None,
}
PLAIN = {"VAGRANT_NO_COLOR": "1"}


def ask(*arguments: str, vagrantfile: str = "") -> str:
    """What vagrant says outside of any lab, with a home of its own as it has in one."""
    with tempfile.TemporaryDirectory(prefix="lab-vagrant-") as home:
        if vagrantfile:
            (Path(home) / "Vagrantfile").write_text(vagrantfile)
        env = {"VAGRANT_HOME": home, "VAGRANT_CWD": home, **OWN, **PLAIN}
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
