"""Images of a platform: what its nodes and guests start from, built once, keyed by content.

`boxes/<family>/build` makes them, or `lab.customize` of a box that was fetched; this file decides
whether that is needed, and keeps what was made in the cache under a key of everything that went
into it. A build happens in a folder beside the final one and is renamed when it is whole, so that
an interrupted build leaves nothing that could be taken for an image.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lab import builds, command, customize, fetched, lock, mirror, paths, platforms
from lab.errors import CannotRun
from lab.fetched import Offer
from lab.platform import Platform

WAIT = 60.0  # seconds for who looks who uses what; longer than that only a box is packed
BUILD_DEADLINE = 1800.0  # seconds; about 90 on two cores with a near mirror
# What apt-get says of each index: its kind, where it is, whose it is.
_TARGET = "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
ROOM = 4 * 1024**3  # bytes that a build takes at its peak, with some to spare


@dataclass(frozen=True)
class Images:
    """A platform's images in the cache."""

    platform: str
    key: str
    folder: Path

    @property
    def rootfs(self) -> Path:
        """A node's root file system, a tar file."""
        return self.folder / "rootfs.tar"

    @property
    def packages(self) -> Path:
        """The package repository, a folder."""
        return self.folder / "packages"

    @property
    def packages_disk(self) -> Path:
        """The package repository, a disk."""
        return self.folder / "packages.ext4"

    @property
    def box_disk(self) -> Path:
        """The disk of a box that was fetched, made a node of: packages, boot loader, all of it."""
        return self.folder / "box.img"

    @property
    def fetched(self) -> bool:
        """Whether they are of a box that was fetched: that disk, and nothing else."""
        return self.box_disk.exists()

    def version(self, package: str) -> str:
        """The version of a package in the repository or on the nodes ('' if in neither)."""
        for line in (self.folder / "versions").read_text().splitlines():
            name, _, version = line.partition(" ")
            if name == package:
                return version
        return ""


def key(platform: Platform, box: str = "") -> str:
    """Twelve hex digits of everything that the images are made by.

    `box`: the SHA-256 of what they start from, where that is not the one that was agreed upon.
    """
    digest = hashlib.sha256()
    for path in platforms.recipe(platform):
        digest.update(f"{path.relative_to(paths.BOXES)} {path.stat().st_mode:o}\n".encode())
        digest.update(path.read_bytes())
    if platform.box:
        digest.update((box or fetched.agreed(platform).sha256).encode())
    return digest.hexdigest()[:12]


def built(platform: Platform) -> Images | None:
    """The images of this very recipe, if the cache holds them."""
    return _built(platform, key(platform))


@contextmanager
def in_use(*, by_nobody: bool = False) -> Iterator[None]:
    """Keep `lab images prune` waiting for the block: to say on record what is used, or to use it.

    With `by_nobody`, to be the one who prunes. Builds need neither: nobody looks for half of one.
    """
    what = "the cache of images"
    with lock.hold(paths.cache() / "use.lock", what, within=WAIT, shared=not by_nobody):
        yield


def ensure(
    platform: Platform,
    say: Callable[[str], None] = lambda _line: None,
    offer: Offer | None = None,
) -> Images:
    """The platform's images, built now if the cache has none of this recipe.

    `say` gets a line at each stage of a build. `offer`: of the box that they start from, something
    that was not known before. Two callers build once: the second waits.
    Raises CannotRun where a build is not possible here.
    """
    if not offer and (ready := built(platform)):
        return ready
    with lock.hold(
        paths.cache() / f"{platform.name}.lock",
        f"the image build of {platform.name}",
        within=BUILD_DEADLINE if platform.is_built else customize.WITHIN,
    ):
        if not offer and (ready := built(platform)):
            return ready
        if not platform.box:
            return _build(platform, say)
        customize.require()  # before much is fetched for nothing
        file, agreed = fetched.file(platform, offer or Offer(), say)
        images = _built(platform, key(platform, agreed.sha256))
        images = images or _build(platform, say, file, agreed.sha256)
        # Not before: a box that no node can be made of leaves the platform what it has.
        fetched.agree(platform, agreed)
        return images


def _built(platform: Platform, recipe: str) -> Images | None:
    images = Images(platform.name, recipe, paths.cache() / f"{platform.name}-{recipe}")
    return images if (images.folder / "versions").exists() else None


def _build(
    platform: Platform, say: Callable[[str], None], box: Path | None = None, sha256: str = ""
) -> Images:
    """Make them: of packages, or of a `box`'s file."""
    paths.cache().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(paths.cache()).free
    room = customize.ROOM if box else ROOM
    if free < room:
        raise CannotRun(
            f"building {platform.name} needs {room >> 20} MiB in {paths.cache()}, "
            f"{free >> 20} MiB are free",
            hint="free some room, or set LAB_CACHE to a folder on another disk",
        )
    recipe = key(platform, sha256)
    with _work_folder(platform) as work:
        if box:
            say(f"making nodes of the {platform.title} that was fetched: once, some ten minutes")
            customize.make(platform, box, work, say)
        else:
            say(f"building the images of {platform.title}: once for this recipe, about two minutes")
            _of_packages(platform, work, say)
        images = Images(platform.name, recipe, work)
        _compare_versions(platform, images)
        if key(platform, sha256) != recipe:
            raise CannotRun(
                f"boxes/ changed while the images of {platform.name} were built from it",
                hint="build them again",
            )
        (work / "manifest.json").write_text(
            json.dumps({"platform": platform.name, "key": images.key}) + "\n"
        )
        final = replace(images, folder=paths.cache() / f"{platform.name}-{recipe}")
        shutil.rmtree(final.folder, ignore_errors=True)  # it is not whole, or we would not be here
        work.rename(final.folder)
    return final


def _of_packages(platform: Platform, work: Path, say: Callable[[str], None]) -> None:
    assert platform.suite is not None
    groups = "\n".join(" ".join(group) for group in platform.repository.groups)
    (work / "groups").write_text(groups + "\n")
    (work / "apt.conf").write_text(_apt_options())
    builds.run(
        [str(paths.BOXES / platform.family / "build"), str(work), platform.suite],
        work,
        f"the image build of {platform.name}",
        say,
        within=BUILD_DEADLINE,
        env={
            "BASE": " ".join(platform.base),
            "GUEST": " ".join(platform.guest),
            "GROUPS_FILE": str(work / "groups"),
            "SOURCES": "\n".join(sources(platform)),
            "APT_CONF": str(work / "apt.conf"),
        },
        hint="is the package mirror reachable? `apt-get update` tells",
    )


@contextmanager
def _work_folder(platform: Platform) -> Iterator[Path]:
    """A folder that is gone after the block, unless the block renamed it."""
    remove_old = list(paths.cache().glob(f".{platform.name}.build-*"))  # we hold the lock
    for folder in remove_old:
        shutil.rmtree(folder)
    work = Path(tempfile.mkdtemp(prefix=f".{platform.name}.build-", dir=paths.cache()))
    work.chmod(0o755)
    try:
        yield work
    finally:
        if work.exists():
            shutil.rmtree(work)


def _compare_versions(platform: Platform, images: Images) -> None:
    """Refuse images whose software is not what the platform's file says it is."""
    path = f"boxes/{platform.name}/platform.yaml"
    text = (paths.BOXES.parent / path).read_text()
    wrong = []
    for software, package in platform.packages.items():
        said = platform.versions[software]
        real = re.sub(r"^\d+:", "", images.version(package))
        if not re.match(re.escape(said) + r"(?![\d])", real):
            found = re.search(rf"^versions:[^\0]*?\b{re.escape(software)}:", text, re.MULTILINE)
            line = f":{text.count(chr(10), 0, found.end()) + 1}" if found else ""
            wrong.append(
                f"{path}{line} says {software} {said}, but the mirror has {package} "
                f"{real or '(none)'}"
            )
    if wrong:
        raise CannotRun(
            "\n  ".join(wrong),
            hint="correct versions: there and look through the scenarios' `when:`",
        )


def sources(platform: Platform) -> list[str]:
    """Lines of apt sources for its suite, on the mirrors that this machine itself uses.

    LAB_MIRROR overrides, see lab.mirror: the address of a Debian mirror. Raises CannotRun when
    neither is there.
    """
    suite = platform.suite
    assert suite is not None
    if own := mirror.of(platform.name):
        return [f"deb {own} {suite} main", f"deb {own} {suite}-updates main"]
    listing = command.run(["apt-get", "indextargets", "--format", _TARGET], within=60).stdout
    # Debian's own first: others too have a component main for Debian's releases.
    known = re.findall(r"^Packages (\S+) (\S+) main (.*)$", listing, re.MULTILINE)
    lines: list[str] = []
    for uri, release, _ in sorted(set(known), key=lambda one: (one[2] != "Debian", one)):
        for suffix in ("", "-updates", "-security"):
            if re.fullmatch(rf"[a-z]+{suffix}", release) and (suite + suffix) not in (
                entry.split()[2] for entry in lines
            ):
                lines.append(f"deb {uri} {suite}{suffix} main")
    if not any(line.split()[2] == suite for line in lines):
        raise CannotRun(
            f"no Debian mirror for {suite} is known here",
            hint=f"set {mirror.setting(platform.name)} to one, or give this machine an apt source",
        )
    return lines


def _apt_options() -> str:
    """This machine's own settings for fetching packages (proxies, time checks)."""
    dump = command.run(["apt-config", "dump"], within=30).stdout
    keep = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    return "\n".join(line for line in dump.splitlines() if line.startswith(keep)) + "\n"
