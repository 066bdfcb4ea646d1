"""`lab images`: what machines are made of, before there are any and after."""

from __future__ import annotations

import argparse
import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from lab import boxes, fetched, images, platforms
from lab import doctor as doctors
from lab.commands import Screen, aside, columns, print_json
from lab.errors import BadInput
from lab.fetched import Offer
from lab.platform import Platform
from lab.report.screen import Lasting

if TYPE_CHECKING:
    from lab.cache import Stored


def build_(options: argparse.Namespace) -> int:
    """`lab images build`"""
    names = dict.fromkeys(options.platform or platforms.built_here())
    wanted = [platforms.load(name) for name in names]  # a wrong name before anything is built
    offer = _offer(options, wanted)
    if options.box:
        doctors.require_box()
    else:
        doctors.require()
    # A build goes on when nobody looks any more.
    tell = Lasting(markup=False, emoji=False, highlight=False, soft_wrap=True).print
    for platform in wanted:
        began = time.monotonic()
        before = images.built(platform)
        made = images.ensure(platform, tell, offer)
        there = before == made
        took = "there already" if there else f"built in {time.monotonic() - began:.0f} s"
        tell(f"{platform.name}: {took}, {made.folder}")
        if options.box or platform.box:
            there = boxes.made(made)
            with images.in_use():
                box = boxes.ensure(made)
            tell(f"box {boxes.name(made)}: {'there already' if there else 'made'}, {box}")
    return 0


def _offer(options: argparse.Namespace, wanted: Sequence[Platform]) -> Offer | None:
    """What is said of a box by --from and --sha256; None where nothing is."""
    source, sha256 = options.source, options.sha256.lower()
    if not source and not sha256:
        return None
    if len(wanted) != 1 or not wanted[0].box:
        boxed = [name for name in platforms.names() if platforms.load(name).box]
        raise BadInput(
            "--from and --sha256 are of one box: name one platform that starts from one, of "
            + ", ".join(boxed)
        )
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise BadInput(f"--sha256 takes 64 hexadecimal digits, and {options.sha256!r} is none such")
    if "://" in source and not fetched.is_address(source):
        raise BadInput(f"--from takes a file, or an address of http or https, not {source}")
    if source and not fetched.is_address(source):
        source = str(Path(source).absolute())
    return Offer(source, sha256)


def list_(options: argparse.Namespace) -> int:
    """`lab images list`"""
    from lab import cache

    doctors.require()
    there = cache.stored()
    if options.json:
        return print_json([_plain(one) for one in there])
    table = columns("platform", "key", "size", "built", "recipe", "box", "used by")
    for one in there:
        table.add_row(
            one.platform,
            one.key,
            _mib(one.size),
            f"{datetime.fromtimestamp(one.built):%m-%d %H:%M}",
            Text("current", "green") if one.current else "older",
            "yes" if one.box else "no",
            ", ".join([*one.labs, *(f"perhaps {lab}" for lab in one.perhaps)]) or "no lab",
        )
    screen = Screen()
    screen.print(table if there else "no images; lab images build, or the first lab up, makes some")
    return 0


def prune_(options: argparse.Namespace) -> int:
    """`lab images prune`"""
    from lab import cache

    doctors.require()
    fates = cache.prune(everything=options.all, dry_run=options.dry_run)
    for fate in fates:
        done = "would go" if options.dry_run else "removed"
        print(f"{f'kept, {fate.kept}' if fate.kept else done}: {fate.what} ({_mib(fate.size)})")
    freed = sum(fate.size for fate in fates if not fate.kept)
    print(f"{freed} bytes {'would be freed' if options.dry_run else 'freed'} ({_mib(freed)})")
    return 0


def export_(options: argparse.Namespace) -> int:
    """`lab images export`"""
    platform = platforms.load(options.platform)
    file = Path(options.file)
    if file.is_dir() or not file.parent.is_dir():
        raise BadInput(
            f"{file} cannot be written: {'it' if file.is_dir() else file.parent} is "
            f"{'a' if file.is_dir() else 'no'} folder",
            hint=f"lab images export {platform.name} {platform.name}.box",
        )
    doctors.require_box()
    with images.in_use():
        made = images.ensure(platform, aside)
        aside(f"packing the box into {file}")
        boxes.pack(made, file)
    with file.open("rb") as content:
        print(f"sha256 {hashlib.file_digest(content, 'sha256').hexdigest()}  {file}")
    print(f"vagrant box add --name {boxes.name(made)} {file}")
    return 0


def _plain(one: Stored) -> dict[str, Any]:
    built = datetime.fromtimestamp(one.built, UTC).isoformat(timespec="seconds")
    return asdict(one) | {"folder": str(one.folder), "built": built}


def _mib(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"
