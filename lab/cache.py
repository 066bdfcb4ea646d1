"""The cache of images: what is in it, which labs use it, and what of it can go.

    <cache>/PLATFORM-KEY        a set of images, perhaps with
        vagrant/                … a box: see lab.boxes
        images.ext4             … the disk of what guests are made from: see lab.images_disk
        box.new, images.new     … one of them in the making, or interrupted
    <cache>/.PLATFORM.build-*   a build: at work, or interrupted
    <cache>/.PLATFORM.gone-*    a set that is being removed, or half removed
    <cache>/fetched             boxes that were downloaded: see lab.fetched

Podman has copies of its own, see `lab.providers.podman_images`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lab import boxes, fetched, images, lock, paths, platforms, providers
from lab import record as records
from lab.errors import Busy, LabError
from lab.images import Images
from lab.lab import Lab
from lab.providers.podman import Podman

_SET = re.compile(r"(.+)-([0-9a-f]{12})")


@dataclass(frozen=True)
class Stored:
    """A set of images. `size`: bytes on disk; `current`: of today's recipe; `labs`: its users;
    `perhaps`: labs of which nobody knows what they use.
    """

    platform: str
    key: str
    folder: Path
    size: int
    built: float
    current: bool
    box: bool
    labs: tuple[str, ...]
    perhaps: tuple[str, ...]

    @property
    def name(self) -> str:
        """As its folder is called."""
        return self.folder.name


@dataclass(frozen=True)
class Fate:
    """What becomes of one thing: it goes, unless `kept` says why not."""

    what: str
    size: int
    kept: str = ""


def stored() -> list[Stored]:
    """Every set in the cache, sorted."""
    recipes = {name: images.key(platforms.load(name)) for name in platforms.names()}
    users = _users()
    return [
        Stored(
            platform=platform,
            key=key,
            folder=folder,
            size=size(folder),
            built=_built(folder),
            current=recipes.get(platform) == key,
            box=boxes.made(Images(platform, key, folder)),
            labs=tuple(sorted(users.get(folder.name, ()))),
            perhaps=tuple(sorted(users[""])),
        )
        for platform, key, folder in _sets()
    ]


def prune(*, everything: bool = False, dry_run: bool = False) -> list[Fate]:
    """Remove what no lab uses: the sets of other recipes than today's, with `everything` all sets,
    what interrupted builds left, boxes that no set is made of, and podman's copies of sets that
    are gone.
    """
    with images.in_use(by_nobody=True):
        fates = {one.name: Fate(one.name, one.size, _kept(one, everything)) for one in stored()}
        doomed = {name for name, fate in fates.items() if not fate.kept}
        for platform, key, folder in _sets():
            if folder.name in doomed and not dry_run:
                # At once out of everybody's sight: half of a set must not be taken for one.
                hidden = folder.with_name(f".{platform}.gone-{key}")
                _remove(hidden)  # half removed earlier
                folder.rename(hidden)
    left = _leftovers(doomed, dry_run=dry_run)

    def still() -> set[str]:
        return {folder.name for _, _, folder in _sets() if folder.name not in doomed} | set(
            _users()
        )

    copies, stuck = Podman().prune(still, dry_run=dry_run)
    of_podman = [
        Fate(f"podman image {copy.name}", copy.size, "podman uses it" if copy in stuck else "")
        for copy in copies
    ]
    return [*fates.values(), *left, *_downloads(everything, dry_run=dry_run), *of_podman]


def size(folder: Path) -> int:
    """Bytes on disk of a folder: of files with holes what they fill, of links to one file one."""
    blocks: dict[tuple[int, int], int] = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it went meanwhile
            found = path.lstat()
            blocks[found.st_dev, found.st_ino] = found.st_blocks
    return 512 * sum(blocks.values())


def _sets() -> Iterator[tuple[str, str, Path]]:
    """Platform, key and folder of every set."""
    if paths.cache().exists():
        for folder in sorted(paths.cache().iterdir()):
            if (found := _SET.fullmatch(folder.name)) and not folder.name.startswith("."):
                yield found[1], found[2], folder


def _built(folder: Path) -> float:
    last = folder / "manifest.json"  # written last; a box that is made later changes the folder
    return (last if last.exists() else folder).stat().st_mtime


def _users() -> dict[str, set[str]]:
    """Each set that labs use, and these labs; under '' those of which nobody knows what they use.

    Containers say themselves what they are made of, also where a lab's folder is gone.
    """
    found = Podman().users()
    known = set()
    for name in records.names():
        with suppress(LabError):  # a damaged record
            record = Lab.open(name).record
            if record.images:
                found.setdefault(f"{record.platform}-{record.images}", set()).add(name)
                known.add(name)
    found[""] = providers.load("vagrant").labs() - known
    return found


def _kept(one: Stored, everything: bool) -> str:
    if one.labs:
        return f"lab {', '.join(one.labs)} uses it"
    if one.perhaps:
        return f"lab {', '.join(one.perhaps)} may use it: what that uses is not on record"
    return "" if everything or not one.current else "the recipe is current"


def _leftovers(gone: set[str], *, dry_run: bool) -> list[Fate]:
    """Remove what interrupted builds and removals left, and what was put out of sight just now."""
    fates = []
    for folder in sorted(paths.cache().glob(".*.gone-*")):
        _, platform, key = re.split(r"^\.|\.gone-", folder.name)
        if f"{platform}-{key}" not in gone:
            fates.append(Fate(f"{folder.name}, half removed", size(folder)))
        if not dry_run:
            _remove(folder)
    builds = [
        (folder, folder.name[1:].partition(".build-")[0])
        for folder in paths.cache().glob(".*.build-*")
    ]
    builds += [
        (folder / draft, platform)
        for platform, _, folder in _sets()
        for draft in ("box.new", "images.new")
    ]
    for folder, platform in builds:
        if not folder.exists():
            continue
        what = f"{folder.relative_to(paths.cache())}, of an interrupted build"
        bytes_ = size(folder)
        try:
            with lock.hold(paths.cache() / f"{platform}.lock", f"the build of {platform}"):
                if not dry_run:
                    _remove(folder)
            fates.append(Fate(what, bytes_))
        except Busy as error:
            fates.append(Fate(what, bytes_, error.message))
    return fates


def _downloads(everything: bool, *, dry_run: bool) -> list[Fate]:
    """Remove boxes that were downloaded. Those that machines are made of stay: a next recipe needs
    them again.
    """
    fates = []
    for file, name in fetched.downloads().items():
        current = name in platforms.names() and fetched.current(platforms.load(name), file)
        kept = "the next recipe is made of it" if current and not everything else ""
        fate = Fate(f"fetched/{file.name}", file.stat().st_size, kept)
        try:
            with lock.hold(paths.cache() / f"{name}.lock", f"the build of {name}"):
                if not kept and not dry_run:
                    file.unlink()
            fates.append(fate)
        except Busy as error:
            fates.append(replace(fate, kept=error.message))
    return fates


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):  # another one removes it as well
        shutil.rmtree(folder)
