"""Where Vagrant has its boxes: it knows a server, which has a page of JSON for each box.

`vagrant box add` is not used: for a box with a page it ignores the checksum that it is told, and it
keeps nothing that could be compared with one later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urljoin

from lab import vagrant_cli
from lab.download import urlopen
from lab.errors import CannotRun, CommandFailed
from lab.platform import Box

PAGE = 1 << 22  # bytes of a page; some have hundreds of versions
_ARCHITECTURES = ("amd64", "unknown")  # where a page tells them apart; older ones do not
_QUESTION = 'puts "server #{Vagrant.server_url}"\n'


@dataclass(frozen=True)
class Entry:
    """A box's file. `sha256`: as its publisher lists it, '' where he does not."""

    address: str
    sha256: str


def look_up(box: Box) -> Entry:
    """The file of a box that has a name. Raises CannotRun where there is none."""
    page = f"{server()}/{box.name}"
    found = _read(page)
    versions = {str(one["version"]): one for one in found}
    if box.version not in versions:
        there = ", ".join(sorted(versions)) or "none"
        raise CannotRun(f"{page} has no version {box.version} of the box; those it has: {there}")
    for one in versions[box.version]["providers"]:
        if one["name"] == "libvirt" and one.get("architecture", "amd64") in _ARCHITECTURES:
            listed = one.get("checksum_type") == "sha256" and one.get("checksum")
            return Entry(urljoin(page, one["url"]), str(listed or "").lower())
    raise CannotRun(f"{page} has the box {box.version}, but not for libvirt on x86_64")


def server() -> str:
    """Its address, which is Vagrant's own: VAGRANT_SERVER_URL where that is set."""
    try:
        said = vagrant_cli.ask("validate", vagrantfile=_QUESTION)
    except CommandFailed as error:
        raise CannotRun(f"Vagrant does not say where its boxes are: {error}") from error
    for line in said.splitlines():
        if line.startswith("server "):
            return line.removeprefix("server ").strip().rstrip("/")
    raise CannotRun("Vagrant does not say where its boxes are", hint="give the box by --from")


def _read(page: str) -> list[dict[str, Any]]:
    with urlopen(page, "application/json") as answer:
        try:
            found: list[dict[str, Any]] = json.loads(answer.read(PAGE))["versions"]
            # All that is looked at: what is otherwise is no such page.
            for version in found:
                for one in [version["version"], *version["providers"]]:
                    assert isinstance(one, str) or {"name", "url"} <= one.keys()
        except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError,
                AssertionError) as error:  # fmt: skip
            raise CannotRun(f"{page} is no page of Vagrant's about a box") from error
    return found
