"""Podman's copies of images: `localhost/lab/PLATFORM:KEY`, and `PLATFORM-slim:KEY` made of that."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

Podman = Callable[..., str]
_NAME = re.compile(r"localhost/lab/(.+?)(?:-slim)?:([0-9a-f]{12})")


@dataclass(frozen=True)
class Copy:
    """A copy by its name, and the bytes that it has for itself."""

    name: str
    size: int


def original(name: str) -> str:
    """The set of images that it is a copy of, as `lab.cache` names it; '' for any other image."""
    found = _NAME.fullmatch(name)
    return f"{found[1]}-{found[2]}" if found else ""


def copies(podman: Podman) -> list[Copy]:
    """All there are; one that was made of another comes before that one."""
    listing = json.loads(podman(["images", "--format=json"]) or "[]")
    sizes = {entry["Id"]: int(entry["Size"]) for entry in listing}
    found = [
        Copy(name, sizes[entry["Id"]] - sizes.get(entry.get("ParentId", ""), 0))
        for entry in listing
        for name in entry.get("Names") or ()
        if original(name)
    ]
    return sorted(found, key=lambda copy: "-slim:" not in copy.name)


def orphans(podman: Podman, kept: Collection[str]) -> list[Copy]:
    """The copies of sets that are not `kept`."""
    return [copy for copy in copies(podman) if original(copy.name) not in kept]


def remove(podman: Podman, doomed: Sequence[Copy]) -> list[Copy]:
    """Remove copies; those that podman would not part with, since something is made of them."""
    return [c for c in doomed if not podman(["image", "rm", c.name], within=300, check=False)]
