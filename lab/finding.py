"""One thing that the doctor looked at, and how programs are looked for."""

from __future__ import annotations

import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. Where `needed` is false, lab does without it.

    `provider`: the only one that is of no use without it; '' where that is all of them, or none.
    """

    name: str
    ok: bool
    needed: bool
    seen: str
    why: str
    fix: str
    packages: tuple[str, ...] = ()
    provider: str = ""


def program(name: str, package: str, why: str, *, provider: str = "") -> Finding:
    """Whether a program is there. `package`: the Debian package that it is in."""
    path = shutil.which(name)
    fix = f"lab doctor --fix{f' --provider {provider}' if provider else ''}, or install {package}"
    return Finding(name, bool(path), True, path or "not installed", why, fix, (package,), provider)
