"""What is this machine's own and no lab may change: kernel settings, network, firewall, cgroups.

`look` sees all of it, `changes` says what is otherwise than at an earlier look.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lab import command

SETTINGS = Path("/proc/sys")
# These count what is in use, are random, or are set by the kernel itself as it goes.
COUNTS = (
    "fs/*-nr",
    "fs/*-state",
    "fs/quota/*",
    "kernel/hung_task_detect_count",
    "kernel/ns_last_pid",
    "kernel/perf_event_max_sample_rate",
    "kernel/pty/nr",
    "kernel/random/*",
    "net/netfilter/nf_conntrack_count",
    "sunrpc/transports",
)
# What passes by itself in what `ip` says of addresses and routes.
TIMES = ("valid_life_time", "preferred_life_time", "expires", "age", "used")
# cgroups that a lab's machine may be in (docs/decisions/0009), this test's lab or one beside it.
# That none of a lab stays behind it is for `leftovers.traces` to see.
OURS = re.compile(r"lab\.[^./]+\.[^./]+|libpod_parent")
# … and those that systemd, where this machine has it, makes and removes at any time.
UNITS = re.compile(r".+\.(service|scope|slice|socket|mount|swap)")


@dataclass(frozen=True)
class Look:
    """What was there, by names that say what it is; and the kernel's modules."""

    found: dict[str, str]
    modules: frozenset[str] = frozenset()


def look() -> Look:
    """All of it, as it is now. What cannot be read is absent."""
    found = {**settings(SETTINGS), **_network(), **_firewall()}
    beside = _beside(Path("/proc/self/cgroup").read_text())
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            found[f"mount {line}"] = ""
            found |= {f"cgroup {group}": "" for group in groups(Path(point), beside)}
    modules = Path("/proc/modules")  # a kernel may have none
    lines = modules.read_text().splitlines() if modules.exists() else []
    return Look(found, frozenset(line.split()[0] for line in lines))


def changes(before: Look, now: Look | None = None) -> list[str]:
    """What is otherwise now than it was before, in words.

    A module of the kernel that was loaded meanwhile may bring settings. It changes none.
    """
    now = now or look()
    loaded = now.modules - before.modules
    told = []
    for name in sorted({*before.found, *now.found}):
        was, is_ = before.found.get(name), now.found.get(name)
        if was != is_ and not (was is None and _of_module(name, loaded)):
            told.append(f"{name}: {_said(was)} → {_said(is_)}")
    return told


def _said(value: str | None) -> str:
    return "absent" if value is None else repr(value) if value else "there"


def _of_module(name: str, loaded: Collection[str]) -> bool:
    """Whether it is a setting of one of these modules: a part of its path has the module's name."""
    if not name.startswith(f"{SETTINGS}/"):
        return False
    names = {"bridge" if module == "br_netfilter" else module for module in loaded}
    parts = Path(name).parts
    return any(re.match(rf"{re.escape(one)}([_-]|$)", part) for one in names for part in parts)


def settings(top: Path) -> dict[str, str]:
    """The kernel's settings, by path, but for `COUNTS`. What is mounted there is none of them."""
    found = {}
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if not os.path.ismount(Path(folder, name))]
        for path in (Path(folder, name) for name in files):
            inside = str(path.relative_to(top))
            if not any(fnmatchcase(inside, pattern) for pattern in COUNTS):
                with suppress(OSError):
                    found[str(path)] = path.read_text(errors="replace")
    return found


def _network() -> dict[str, str]:
    found = {f"link {link['ifname']}": steady(link) for link in _ip("link")}
    for link in _ip("address"):
        found[f"addresses of {link['ifname']}"] = steady(link["addr_info"])
    for family in ("-4", "-6"):
        for route in _ip(family, "route", "show", "table", "all"):
            found[f"route {family} {steady(route)}"] = ""
        for rule in _ip(family, "rule"):
            found[f"rule {family} {steady(rule)}"] = ""
    return found


def _ip(*arguments: str) -> list[dict[str, Any]]:
    printed = command.run(["ip", "-json", *arguments], within=10).stdout
    parsed: list[dict[str, Any]] = json.loads(printed or "[]")
    return parsed


def steady(value: Any) -> str:
    """As one line of JSON, without `TIMES`."""
    return json.dumps(_timeless(value), sort_keys=True)


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(one) for one in value]
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if key not in TIMES}
    return value


def _firewall() -> dict[str, str]:
    """Its rules as nft has them; where that is not here, or cannot, as iptables has."""
    found = _rules([["nft", "--stateless", "list", "ruleset"]])
    found = found or _rules([["iptables-save"], ["ip6tables-save"]])
    if not found:
        warnings.warn("neither nft nor iptables-save works here: no firewall seen", stacklevel=3)
    return found


def _rules(commands: Sequence[Sequence[str]]) -> dict[str, str]:
    found = {}
    for argv in commands:
        if shutil.which(argv[0]):
            done = command.run(argv, within=10, check=False)
            if done.returncode == 0:
                found[f"firewall by {argv[0]}"] = uncounted(done.stdout)
    return found


def uncounted(rules: str) -> str:
    """What iptables-save prints, without the time and without what was counted."""
    lines = [line for line in rules.splitlines() if not line.startswith("#")]
    return re.sub(r"\[\d+:\d+\]", "", "\n".join(lines))


def groups(top: Path, beside: Collection[str] = ()) -> Iterator[Path]:
    """The cgroups of a hierarchy but `OURS`, `UNITS`, and those in one of the groups `beside`."""
    for folder, folders, _ in os.walk(top):
        inside = str(Path(folder).relative_to(top))
        if inside in beside:
            folders.clear()
        elif inside == ".":
            folders[:] = [name for name in folders if not OURS.fullmatch(name)]
        folders[:] = [name for name in folders if not UNITS.fullmatch(name)]
        yield from (Path(folder, name) for name in folders)


def _beside(cgroup: str) -> set[str]:
    """Where groups come and go beside this process's own: whoever made that makes others."""
    parents = {Path(line.split(":", 2)[2]).parent for line in cgroup.splitlines()}
    return {str(parent).lstrip("/") for parent in parents} - {""}
