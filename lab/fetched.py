"""Boxes that are fetched: the file that a platform's machines start from, and its checksum.

    <cache>/fetched/PLATFORM.json           where it was from, and the SHA-256 that was agreed upon
    <cache>/fetched/PLATFORM.WHERE.download one that was downloaded

Nothing is used before its SHA-256 is what somebody said that it is: the platform's file, the user,
or the publisher's own page about a box that has a name. A file of the user's own stays where it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import catalogue, mirror, paths
from lab.download import download
from lab.errors import BadInput, CannotRun
from lab.platform import Box, Platform
from lab.whole import write_json


@dataclass(frozen=True)
class Offer:
    """What is said of a box: a file or an address, and its SHA-256. '' where nothing is said."""

    source: str = ""
    sha256: str = ""


def folder() -> Path:
    """Where all of it is."""
    return paths.cache() / "fetched"


def agreed(platform: Platform) -> Offer:
    """What was agreed upon last."""
    try:
        found = Offer(**json.loads(_record(platform).read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # none, or damaged: agreed upon once more
        found = Offer()
    known = _box(platform).checksum
    return found if not known or known == found.sha256 else Offer(sha256=known)


def check(platform: Platform) -> None:
    """Raise CannotRun if nobody has said where the box is, or the packages for it, or if it is not
    there any more.
    """
    _check_mirror(platform)
    source = agreed(platform).source
    if not source:
        _address(platform)
    elif not is_address(source) and not Path(source).is_file():
        raise _moved(platform, source)


def file(platform: Platform, offer: Offer, say: Callable[[str], None]) -> tuple[Path, Offer]:
    """The box's file, fetched unless it is there; and what is to be agreed upon, see `agree`.

    For who holds the platform's lock. Raises BadInput for an offer that cannot be, CannotRun
    where the file cannot be had, or its SHA-256 is another, or nobody has said which it is to be.
    """
    _check_mirror(platform)
    box = _box(platform)
    last = agreed(platform)
    if offer.sha256 and box.checksum and offer.sha256 != box.checksum:
        raise BadInput(
            f"boxes/{platform.name}/platform.yaml has another checksum of the {box.text}: "
            f"{box.checksum}"
        )
    source = offer.source or last.source
    wanted = offer.sha256 or box.checksum or (last.sha256 if source == last.source else "")
    there = Path(source)
    if not source or is_address(source):
        there = folder() / f"{platform.name}.{_digest(source or box.text)[:12]}.download"
        if not there.exists() or not wanted:
            listed = _download(platform, source, there, say)
            wanted = wanted or listed
    elif not there.is_file():
        if not offer.source:
            raise _moved(platform, source)
        raise BadInput(
            f"there is no file {source}", hint="--from takes a file, or an address of http or https"
        )
    say(f"checking {there.name}")
    with there.open("rb") as content:
        real = hashlib.file_digest(content, "sha256").hexdigest()
    if not wanted:
        again = f"lab images build {platform.name}" + (f" --from {source}" if source else "")
        raise CannotRun(
            f"the SHA-256 of {source or box.text} is {real}, and nobody has said what it is to be",
            hint=f"compare it with what its publisher lists, then: {again} --sha256 {real}",
        )
    if real != wanted:
        ours = there.parent == folder()
        if ours:
            there.unlink()
        raise CannotRun(
            f"the SHA-256 of {source or box.text} is {real}, and was to be {wanted}"
            + ("; the download was removed" if ours else ""),
            hint="a file that is replaced now and then has another one each time: --sha256 says it",
        )
    return there, Offer(source, real)


def agree(platform: Platform, offer: Offer) -> None:
    """Put on record what the platform's machines are made of: its images' key is of it."""
    folder().mkdir(parents=True, exist_ok=True)
    write_json(_record(platform), asdict(offer))


def downloads() -> dict[Path, str]:
    """Every download, whole or half, and the platform that it is of."""
    return {path: path.name.partition(".")[0] for path in sorted(folder().glob("*.download*"))}


def current(platform: Platform, path: Path) -> bool:
    """Whether that download is what the platform's machines are made of."""
    last = agreed(platform)
    name = f"{platform.name}.{_digest(last.source or _box(platform).text)[:12]}.download"
    return bool(last.sha256) and path.name == name


def _download(platform: Platform, source: str, there: Path, say: Callable[[str], None]) -> str:
    """See to it that the download is there; its SHA-256 as its publisher lists it, or ''."""
    box = _box(platform)
    entry = catalogue.Entry(source, "")
    if not source:
        entry = catalogue.look_up(box) if box.name else catalogue.Entry(_address(platform), "")
    if not there.exists():
        folder().mkdir(parents=True, exist_ok=True)
        say(f"fetching {entry.address}")
        download(entry.address, there, say)
    return entry.sha256


def _check_mirror(platform: Platform) -> None:
    if _box(platform).mirror and not mirror.of(platform.name):
        raise CannotRun(
            f"the packages of {platform.title} are in no mirror that its box knows",
            hint=f"set {mirror.setting(platform.name)} to its distribution's vault: the folder "
            "with the releases in it",
        )


def _address(platform: Platform) -> str:
    """Where the image is; '' for a box, which Vagrant knows by its name."""
    box = _box(platform)
    if box.name:
        return ""
    if address := mirror.of(platform.name):
        return f"{address.rstrip('/')}/{box.image}"
    raise CannotRun(
        f"where the {box.text} is, only you can say",
        hint=f"lab images build {platform.name} --from FILE_OR_ADDRESS, "
        f"or set {mirror.setting(platform.name)} to the folder that has it",
    )


def _moved(platform: Platform, source: str) -> CannotRun:
    return CannotRun(
        f"{platform.name} was made of the file {source}, and that is not there any more",
        hint=f"lab images build {platform.name} --from FILE_OR_ADDRESS",
    )


def _record(platform: Platform) -> Path:
    return folder() / f"{platform.name}.json"


def _box(platform: Platform) -> Box:
    assert platform.box is not None
    return platform.box


def is_address(source: str) -> bool:
    """Whether it is one of a web server, and no file's."""
    return bool(re.match(r"https?://", source))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
