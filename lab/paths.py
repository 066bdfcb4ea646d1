"""Where things live on this machine.

BOXES, SCENARIOS       in the checkout (or beside the installed package)
cache()                built images: $LAB_CACHE, else $XDG_CACHE_HOME/lab, else ~/.cache/lab
state()                labs and results: $LAB_STATE, else $XDG_STATE_HOME/lab, else
                       ~/.local/state/lab
RUN                    sockets, namespaces and locks, gone with a reboot: /run/lab
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from lab.errors import CannotRun

ROOT = Path(__file__).resolve().parent.parent
BOXES = ROOT / "boxes"
SCENARIOS = ROOT / "scenarios"
RUN = Path("/run/lab")


def cache() -> Path:
    """The folder of built images. Raises CannotRun where there is no home directory for it."""
    return _own("LAB_CACHE", "XDG_CACHE_HOME", ".cache")


def state() -> Path:
    """The folder of labs and of their results. Raises CannotRun as `cache` does."""
    return _own("LAB_STATE", "XDG_STATE_HOME", ".local/state")


def labs() -> Path:
    """One folder a lab that exists."""
    return state() / "labs"


def results() -> Path:
    """One folder a lab name, in it one folder a run; they outlive the lab."""
    return state() / "results"


def stamped(top: Path, what: str = "") -> Path:
    """A folder in `top` named by the time now and `what`; one that is not there yet."""
    plain = top / "-".join(filter(None, (time.strftime("%Y-%m-%dT%H-%M-%S"), what)))
    folder, number = plain, 1
    while folder.exists():
        number += 1
        folder = plain.with_name(f"{plain.name}-{number}")
    return folder


def setting_of(file: object) -> str:
    """The setting, and its value, by which a file is where it is: '' if it is by none."""
    if isinstance(file, str):
        for name, folder in (("LAB_STATE", state), ("LAB_CACHE", cache)):
            with suppress(CannotRun):
                top, path = folder(), Path(file).absolute()
                # Also what is on the way to the folder, which is not there yet.
                if path.is_relative_to(top) or top.is_relative_to(path):
                    return f"{name}={top}"
    return ""


def _own(variable: str, xdg: str, fallback: str) -> Path:
    if own := os.environ.get(variable):
        return Path(own).absolute()
    if base := os.environ.get(xdg):
        return Path(base) / "lab"
    try:
        return Path.home() / fallback / "lab"
    except RuntimeError as error:
        raise CannotRun(
            f"{variable} has no default here: HOME is not set, and user id {os.geteuid()} has no "
            "home directory",
            hint=f"set {variable} to a folder, or HOME",
        ) from error
