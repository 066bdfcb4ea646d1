"""A survey: everything that the audits want to know of a node, fetched with one command.

A machine is asked over its login for core files, for what its journal says of crashes, and, a
cluster node, for the cluster's status and the CIB as it has them itself. What others think of the
cluster a cluster node told them, and an emulated guest takes seconds to repeat it. The journal is
read on from where the last look ended, across reboots too; what went with a volatile journal
cannot be had.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lab import pacemaker, status
from lab.cib import Cib
from lab.cib import parse as parse_cib
from lab.errors import LabError
from lab.status import ClusterStatus, NoStatus, Unreadable
from lab.together import on_each

if TYPE_CHECKING:  # the audits' names are needed to read a scenario, a lab is not
    from lab.lab import Lab
    from lab.machine import Machine

WITHIN = 20.0  # seconds for all of a node's survey
_EACH = 6  # seconds for each of its three slow parts, so that one that hangs is named


def patience(lab: Lab, node: str) -> int:
    """How many times as long a node may take: a guest's processor may be an emulated one."""
    return 3 if node in lab.scenario.guests else 1


@dataclass(frozen=True)
class Survey:
    """One node at one instant.

    `status` is None and `cib` empty where the cluster does not answer, and of all but cluster
    nodes; `promoted` has (primitive, node) of each instance in that role. A core is "PATH, SIZE
    bytes, TIME", so that a new one differs from an old one of its name. A crash is "TIME WHO:
    WHAT" from the journal, of those since `Surveyor.forget`. `problem`: why the node could not be
    surveyed.
    """

    node: str
    status: ClusterStatus | None = None
    cib: str = ""
    promoted: frozenset[tuple[str, str]] = frozenset()
    cores: tuple[str, ...] = ()
    crashes: tuple[str, ...] = ()
    problem: str = ""

    @cached_property
    def configuration(self) -> Cib:
        """The CIB, parsed once. Raises NoCib if there is none."""
        return parse_cib(self.cib)


class Surveyor:
    """Surveys a lab's nodes, again and again. Crashes count from when it was made."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._made = time.monotonic()
        self._cursors: dict[str, str] = {}
        self._crashes: dict[str, tuple[str, ...]] = {}

    def look(self, machines: Iterable[str]) -> dict[str, Survey]:
        """Survey these nodes, which should have power, and the guest nodes that are online.

        A guest is looked at where a cluster node says that it is online.
        """
        first = on_each(self._lab, machines, self._one)
        guests = [
            guest
            for guest in self._lab.scenario.guests
            if guest not in first
            and any(_online(guest, survey.status) for survey in first.values())
        ]
        return first | on_each(self._lab, guests, self._one)

    def forget(self) -> None:
        """The crashes so far were reported: surveys have those from now on."""
        self._crashes.clear()

    def _one(self, machine: Machine) -> Survey:
        token = secrets.token_hex(8)  # no output has this in it by chance
        node = machine.name
        try:
            within = WITHIN * patience(self._lab, node)
            printed = machine.run(self._script(node, token), within=within).stdout
        except LabError as error:
            return Survey(node, problem=error.message, crashes=self._crashes.get(node, ()))
        parts = split(printed, token)
        if self._lab.scenario.is_slim(node):
            return self._of_slim(node, parts)
        found, cursor = journal(parts.get("journal", ("", 0))[0], self._cursors.get(node, ""))
        if cursor:
            self._cursors[node] = cursor
        crashes = tuple(dict.fromkeys([*self._crashes.get(node, ()), *found]))
        self._crashes[node] = crashes
        return made(node, parts, crashes, member=self._is_member(node))

    def _of_slim(self, node: str, parts: dict[str, tuple[str, int]]) -> Survey:
        """A slim machine's: its daemon's log instead of a journal, read on from where it ended."""
        log, code = parts.get("log", ("", 0))
        first, _, rest = log.lstrip("\n").partition("\n")
        problem = "" if first.strip().isdigit() and not code else "its log could not be read"
        if missing := [name for name in ("cores", "log") if name not in parts]:
            problem = f"the survey broke off: no {', '.join(missing)}"
        if not problem:
            self._cursors[node] = first.strip()
        found = [line.strip() for line in rest.splitlines() if re.search(_LOGGED, line)]
        crashes = tuple(dict.fromkeys([*self._crashes.get(node, ()), *found]))
        self._crashes[node] = crashes
        return Survey(node, cores=_cores(parts), crashes=crashes, problem=problem)

    def _is_member(self, node: str) -> bool:
        return node in self._lab.scenario.cluster_nodes

    def _script(self, node: str, token: str) -> str:
        cursor = self._cursors.get(node)
        if self._lab.scenario.is_slim(node):
            return _SLIM.format(token=token, cores=_CORES, start=cursor or 0, hints=_HINTS)
        # Relative to the node's own clock, which need not be right. With --after-cursor, an
        # entry would be missed where the cursor's own went with a volatile journal.
        since = f"--since=-{time.monotonic() - self._made + 1:.0f}s"
        each = _EACH * patience(self._lab, node)
        crm_mon = pacemaker.status_command(self._lab.platform)
        return _SCRIPT.format(
            token=token,
            each=each,
            cluster=_CLUSTER.format(each=each, crm_mon=crm_mon) if self._is_member(node) else "",
            start=f"--cursor={shlex.quote(cursor)}" if cursor else since,
            hints=shlex.quote(_HINTS),
            cores=_CORES,
        )


# One search for all of them: to start a program takes an emulated node longer than to look.
_CORES = """\
find /var/lib/pacemaker/cores /var/lib/systemd/coredump /var/lib/corosync/*core* /core* \\
    -type f -printf '%p\\t%s\\t%T@\\n' 2>/dev/null; mark cores 0"""

_CLUSTER = """\
timeout {each} {crm_mon} 2>/dev/null; mark status $?
timeout {each} cibadmin --query --local 2>/dev/null; mark cib $?
"""

_SCRIPT = """\
mark() {{ printf '\\n%s %s %s\\n' {token} "$1" "$2"; }}
{cluster}{cores}
{{ timeout {each} journalctl --no-pager --quiet --output=json --show-cursor {start} 2>/dev/null
mark journal $?; }} | grep -E -e {hints} -e '^-- cursor: ' -e '^{token} '
"""

_SLIM = """\
mark() {{ printf '\\n%s %s %s\\n' {token} "$1" "$2"; }}
{cores}
log=/var/log/pcmk-init.log
size=$(stat -c %s $log) && echo "$size" &&
    {{ head -c "$size" $log | tail -c +$(({start} + 1)) | grep -E '{hints}'; true; }}
mark log $?
"""


def split(printed: str, token: str) -> dict[str, tuple[str, int]]:
    """What the script printed, by part: text and exit status. Each part ends with its mark."""
    found, rest = {}, printed
    while match := re.search(rf"^{token} (\w+) (\d+)\s*$", rest, re.M):
        found[match[1]] = (rest[: match.start()], int(match[2]))
        rest = rest[match.end() :]
    return found


def made(
    node: str, parts: dict[str, tuple[str, int]], crashes: tuple[str, ...], *, member: bool
) -> Survey:
    """The survey of a node (`member`: a cluster node) from its script's parts. What is missing of
    them is its problem.
    """
    wanted = [*(("status", "cib") if member else ()), "cores", "journal"]
    missing = [name for name in wanted if name not in parts]
    late = [name for name, (_, code) in parts.items() if code == 124]  # see timeout(1)
    problem = ""
    if missing:
        problem = f"the survey broke off: no {', '.join(missing)}"
    elif late:
        problem = f"no answer within {_EACH} s: {', '.join(late)}"
    elif code := parts["journal"][1]:
        problem = f"its journal could not be read: journalctl ended with exit status {code}"
    text, failed = parts.get("status", ("", 1))
    own, no_cib = parts.get("cib", ("", 1))
    seen = None
    try:
        seen = status.parse(text.strip()) if member else None
    except Unreadable as error:
        problem = problem or ("" if failed else error.message)
    except NoStatus:
        pass  # most often, the cluster does not run there, and its tool says so
    return Survey(
        node=node,
        status=seen,
        cib=own.strip() if seen and not no_cib else "",
        promoted=_promoted(text.strip()) if seen else frozenset(),
        cores=_cores(parts),
        crashes=crashes,
        problem=problem,
    )


def _online(guest: str, seen: ClusterStatus | None) -> bool:
    return seen is not None and guest in seen.nodes and seen.nodes[guest].online


def _promoted(crm_mon: str) -> frozenset[tuple[str, str]]:
    """Instances in the role Promoted (Master, before Pacemaker 2.1).

    ClusterStatus has the instances of a clone as one, and tells no roles by node.
    """
    return frozenset(
        (resource.get("id", ""), node.get("name", ""))
        for resource in ET.fromstring(crm_mon).iter("resource")
        if resource.get("role") in ("Promoted", "Master")
        for node in resource.findall("node")
    )


def _cores(parts: dict[str, tuple[str, int]]) -> tuple[str, ...]:
    lines = [line.split("\t") for line in parts.get("cores", ("", 0))[0].splitlines()]
    return tuple(
        f"{path}, {size} bytes, {_time(float(at))}"
        for path, size, at in (line for line in lines if len(line) == 3)
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


# -- crashes in the journal -----------------------------------------------------------------

_DAEMON = (
    r"(?:pacemaker[\w-]*|corosync[\w-]*|pcsd|libvirtd|virtqemud"
    r"|crmd|cib|stonithd|lrmd|attrd|pengine)"  # the last are Pacemaker 1.1's
)
_SIGNAL = r"(?:ILL|ABRT|BUS|FPE|SEGV)"  # faults send others: KILL, TERM, STOP
_FAULT = r"(?:segfault|general protection|trap )"

# Who says it (the entry's identifier) and what. Without a core, systemd says code=killed.
_CRASHES = [
    (_DAEMON, r"terminated with signal (?:4|6|7|8|11)\b"),
    (_DAEMON, r"dumped core|[Tt]riggered (?:(?:non-)?fatal )?assert|Assertion .+ failed"),
    ("systemd", rf"^{_DAEMON}\.service: .*(?:code=dumped|status=\d+/{_SIGNAL})"),
    ("systemd-coredump", rf"^Process \d+ \({_DAEMON}\) .*dumped core"),
    ("abrt.*", rf"\({_DAEMON}\) .*killed by SIG{_SIGNAL}"),
    ("kernel", rf"(?:^|: ){_DAEMON}\[\d+\]:? .*{_FAULT}"),
]
# The same in a log of Pacemaker's own: `TIME NODE DAEMON [PID] (FUNCTION) LEVEL: WHAT`.
_LOGGED = rf" {_DAEMON} +\[\d+\] .*(?:{'|'.join(say for _, say in _CRASHES[:2])})"
# For the node to send but the lines that may say so: a word of each of the above.
_HINTS = "terminated with signal|dumped|[Aa]ssert|code=killed|killed by|segfault|protection|trap "


def journal(lines: str, cursor: str) -> tuple[list[str], str]:
    """The crashes in lines of `journalctl --output=json`, and where to read on.

    `cursor` is where it was read from: that entry, if it still exists, was seen before.
    """
    crashes, end = [], ""
    for line in lines.splitlines():
        if line.startswith("-- cursor: "):
            end = line.removeprefix("-- cursor: ").strip()
        elif line.startswith("{") and (entry := _entry(line)).get("__CURSOR") != cursor:
            who, what = str(entry.get("SYSLOG_IDENTIFIER", "")), str(entry.get("MESSAGE", ""))
            if any(re.fullmatch(w, who) and re.search(say, what) for w, say in _CRASHES):
                at = _time(int(entry.get("__REALTIME_TIMESTAMP", 0)) / 1e6)
                crashes.append(f"{at} {who}: {what.strip().splitlines()[0]}")
    return crashes, end


def _entry(line: str) -> dict[str, Any]:
    """An entry; {} if it was cut off: then no cursor came after it, and it is read again."""
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return entry
