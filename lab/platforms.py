"""The platforms: folders of `boxes/` that hold a platform.yaml."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lab import paths
from lab.errors import BadInput
from lab.platform import Platform
from lab.yamlfile import load_model

DEFAULT = "debian-12"


def names() -> list[str]:
    """Every platform's name, sorted."""
    return sorted(path.parent.name for path in paths.BOXES.glob("*/platform.yaml"))


def built_here() -> list[str]:
    """The platforms whose images are built of packages, sorted: what any machine can run.

    The others start from a box that is fetched, and are used where they are asked for by name.
    """
    return [name for name in names() if load(name).is_built]


def load(name: str) -> Platform:
    """The platform of that name; BadInput lists the valid names."""
    if name not in names():
        raise BadInput(f"there is no platform {name!r}; choose one of: {', '.join(names())}")
    path = paths.BOXES / name / "platform.yaml"
    platform = _read(path, path.stat().st_mtime_ns)
    if platform.name != name:
        raise BadInput(f"boxes/{name}/platform.yaml: name: is {platform.name!r}, not its folder's")
    return platform


@cache
def _read(path: Path, _changed: int) -> Platform:
    """The file, parsed once for each state that it was seen in: a scenario asks at each `when:`."""
    return load_model(path, Platform)


def recipe(platform: Platform) -> list[Path]:
    """Every file that the platform's images are made by, sorted: what their key is made of."""
    folders = [paths.BOXES / platform.name, paths.BOXES / platform.family]
    return sorted(p for folder in folders for p in folder.rglob("*") if p.is_file())
