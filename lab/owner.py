"""Which state folder a lab belongs to, on record where its machinery is.

Machines, networks and locks are this machine's, a lab's folder is in one of its state folders. So
whoever works with another LAB_STATE does not take a lab for one whose folder is gone:

    /run/lab/owners/NAME    the state folder; from before anything of the lab is made until it is
                            all removed, or this machine is rebooted: then no machine of it runs
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lab import paths
from lab.errors import BadInput


def claim(lab: str) -> None:
    """Put on record that a lab is of this state folder. For who holds the lab."""
    file = _file(lab)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{_own()}\n")


def release(lab: str) -> None:
    """Nothing of the lab is there any more."""
    _file(lab).unlink(missing_ok=True)


def names() -> set[str]:
    """Every lab that is on record."""
    folder = paths.RUN / "owners"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def elsewhere(lab: str) -> Path | None:
    """The other state folder that a lab belongs to, as long as that has a folder of it."""
    if lab not in names():  # also what is a path and no name
        return None
    with suppress(FileNotFoundError):  # the lab went just now
        text = _file(lab).read_text().rstrip("\n")
        # Nothing is in a file whose writer was killed.
        if text and text != str(_own()) and (Path(text) / "labs" / lab).exists():
            return Path(text)
    return None


def require_own(lab: str) -> None:
    """Raise BadInput for a lab that belongs to another state folder."""
    if there := elsewhere(lab):
        raise BadInput(
            f"lab {lab} belongs to another state folder: {there}",
            hint=f"set LAB_STATE={there}; a new lab gets another --name",
        )


def _own() -> Path:
    return paths.state().resolve()


def _file(lab: str) -> Path:
    return paths.RUN / "owners" / lab
