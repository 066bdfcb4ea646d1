"""What a fault did to a cluster: its time line as rows and marks, ready to be drawn.

All times here are seconds after the fault; before it they are negative.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field, replace
from typing import Literal

from lab.events import (
    ClusterChanged,
    Event,
    FaultHealed,
    FaultInjected,
    MachineChanged,
    PowerSwitched,
    Recovered,
)
from lab.fleet import named
from lab.report.history import History, Section

_BEFORE = 0.08  # how much of the picture shows the time before the fault
_AFTER = 0.05  # … and after the last mark
_FAR = 2.0  # a healing that comes so many times later than all else is not drawn to scale
ROWS = 24  # of nodes, and of resources, in one picture
_WELL = {("online", False), ("Started", False)}
_SAME = 0.001  # seconds; a fault's own `at` as Recovered.began is in its time, too

MarkKind = Literal["fault", "phase", "healed", "other"]


@dataclass(frozen=True)
class Mark:
    """A moment. `missing` ones did not happen, their `at` says nothing."""

    name: str
    at: float = 0.0
    kind: MarkKind = "phase"
    missing: bool = False


@dataclass(frozen=True)
class Stretch:
    """A row's state for a while. A node's has words, a resource's a role and its nodes."""

    begin: float
    end: float
    state: str
    nodes: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class Row:
    """A node or a resource over time; where it was not known of there is no stretch.

    `off`: from when to when the machine had no power, and why, where somebody knows. `switched`:
    all that was done to it.
    """

    name: str
    stretches: tuple[Stretch, ...]
    off: tuple[tuple[float, float, str], ...] = ()
    switched: tuple[tuple[float, str, str], ...] = ()  # when, action, problem


@dataclass(frozen=True)
class Recovery:
    """What followed on faults. The picture is from `begin` to `end`.

    `faults`: their numbers, mostly one; none if it was the book's own `kill`. `observed`:
    whether a Recovered is on record; else the phases are unknown. Of very many rows those are left
    out that are all well all the time (`unchanged`), and `more` that are beyond ROWS.
    """

    text: str
    faults: tuple[int, ...]
    observed: bool
    marks: tuple[Mark, ...]
    begin: float
    end: float
    nodes: tuple[Row, ...] = ()
    resources: tuple[Row, ...] = ()
    unchanged: int = 0
    more: int = 0

    def phase(self, name: str) -> float | None:
        """When a phase was reached; None if it was not, or nobody looked."""
        found = [m.at for m in self.marks if (m.name, m.kind, m.missing) == (name, "phase", False)]
        return found[0] if found else None

    @property
    def nodes_lost(self) -> bool:
        """Whether any node was seen otherwise than online since the fault."""
        return any(
            one.state != "online" and one.end > 0 for row in self.nodes for one in row.stretches
        )

    @property
    def resources_lost(self) -> bool:
        """Whether any resource was seen not to be started, or failed, since the fault."""
        return any(
            (one.state != "Started" or one.failed) and one.end > 0
            for row in self.resources
            for one in row.stretches
        )

    def missed(self, phase: str) -> str:
        """Why a phase is not on record, in words: a recovery may have had nothing to recover."""
        lost = {"recovered": self.resources_lost, "reintegrated": self.nodes_lost}
        what = {"recovered": "resource", "reintegrated": "node"}
        if self.nodes and not lost.get(phase, True):
            return f"no {what[phase]} was lost"
        return f"not {phase}"


@dataclass
class _Seed:
    """A recovery and the faults that it was from. One of the two may not be on record."""

    began: float
    faults: list[FaultInjected] = field(default_factory=list)
    recovered: Recovered | None = None


@dataclass
class _Record:
    """What a whole results file knows that pictures are made of, in order."""

    changes: list[ClusterChanged] = field(default_factory=list)
    powers: list[PowerSwitched] = field(default_factory=list)
    machines: list[MachineChanged] = field(default_factory=list)  # their power alone
    faults: list[FaultInjected] = field(default_factory=list)
    healed: list[FaultHealed] = field(default_factory=list)
    last: float = 0.0

    def until(self, at: float) -> _Record:
        """As it was then: its states and switches of power."""
        return replace(
            self,
            changes=[one for one in self.changes if one.at <= at],
            powers=[one for one in self.powers if one.at <= at],
            machines=[one for one in self.machines if one.at <= at],
        )

    def keep(self, event: Event) -> None:
        match event:
            case ClusterChanged() if event.nodes:  # older versions told no more than the changes
                self.changes.append(event)
            case PowerSwitched():  # told when the BMC's log is read, which may be later
                bisect.insort(self.powers, event, key=lambda one: one.at)
            case MachineChanged() if event.state in ("on", "off"):
                bisect.insort(self.machines, event, key=lambda one: one.at)
            case FaultInjected():
                self.faults.append(event)
            case FaultHealed():
                self.healed.append(event)
        self.last = max(self.last, event.at)

    def healing(self, fault: FaultInjected) -> FaultHealed | None:
        """The healing of this fault, not of an earlier or later one of the same number."""
        again = [f.at for f in self.faults if f.number == fault.number and f.at > fault.at]
        for one in self.healed:
            if one.number == fault.number and fault.at <= one.at < min([*again, float("inf")]):
                return one
        return None


def recoveries(history: History) -> dict[str, list[Recovery]]:
    """The recoveries of each section that has any, by the section's anchor."""
    record = _Record()
    for event in history.events:
        record.keep(event)
    sections = [one for told in history.told for one in told]
    found = {one.anchor: [_recovery(seed, one, record) for seed in _seeds(one)] for one in sections}
    return {anchor: those for anchor, those in found.items() if those}


def _seeds(section: Section) -> list[_Seed]:
    """Each Recovered with the faults that were injected in its time; the other faults alone."""
    told = [one for one in section.entries if isinstance(one, Recovered)]
    seeds = [_Seed(one.began, recovered=one) for one in told]
    for fault in (one for one in section.entries if isinstance(one, FaultInjected)):
        around = [
            seed
            for seed in seeds
            if seed.recovered and seed.began - _SAME <= fault.at <= seed.recovered.at
        ]
        if around:
            max(around, key=lambda seed: seed.began).faults.append(fault)
        else:
            seeds.append(_Seed(fault.at, [fault]))
    return sorted(seeds, key=lambda seed: seed.began)


def _recovery(seed: _Seed, section: Section, record: _Record) -> Recovery:
    recovered, began = seed.recovered, seed.began
    own = [one.at for one in seed.faults]
    later = [one.at for one in record.faults if one.at > began and one.at not in own]
    until = (recovered.at if recovered else min([section.last, *later])) - began
    marks = _faults(seed)
    phases = recovered.phases if recovered else {}
    marks += [Mark(name, at or 0.0, missing=at is None) for name, at in phases.items()]
    switches = [one.at - began for one in (*record.powers, *record.machines)]
    power = [at for at in switches if 0 <= at <= until]
    shown = max([0.0, *power, *(one.at for one in marks)])
    if phases.get("recovered") is None or phases.get("reintegrated") is None:
        shown = max(shown, until)
    for fault in seed.faults:
        healing = record.healing(fault)
        if healing:
            name = "healed" if len(seed.faults) == 1 else f"fault {fault.number} healed"
            marks.append(Mark(name, healing.at - began, "healed"))
    near = [one.at for one in marks if one.kind == "healed" and one.at <= _FAR * shown]
    shown = max([shown, *near]) or 1.0
    begin, end = -_BEFORE * shown, max(shown, min(shown * (1 + _AFTER), record.last - began))
    for other in record.faults:
        if other not in seed.faults and begin <= other.at - began <= end:
            marks.append(Mark(f"fault {other.number}", other.at - began, "other"))
    seen = record.until(began + until)  # what came later is the next part's
    nodes, few_nodes = few(_nodes(seen, began, begin, end))
    resources, few_resources = few(_resources(seen, began, begin, end))
    return Recovery(
        text=", ".join(one.text for one in seed.faults) or (recovered.text if recovered else ""),
        faults=tuple(one.number for one in seed.faults),
        observed=recovered is not None,
        marks=tuple(sorted(marks, key=lambda mark: (mark.missing, mark.at))),
        begin=begin,
        end=end,
        nodes=nodes,
        resources=resources,
        unchanged=few_nodes[0] + few_resources[0],
        more=few_nodes[1] + few_resources[1],
    )


def _faults(seed: _Seed) -> list[Mark]:
    if len(seed.faults) > 1:
        return [Mark(f"fault {one.number}", one.at - seed.began, "fault") for one in seed.faults]
    return [Mark("fault", seed.faults[0].at - seed.began if seed.faults else 0.0, "fault")]


def _snapshots(
    record: _Record, began: float, begin: float, end: float
) -> list[tuple[float, float, ClusterChanged]]:
    """The states within the picture, each with its begin and end."""
    before = [one for one in record.changes if one.at - began <= begin]
    within = [one for one in record.changes if begin < one.at - began < end]
    states = [*before[-1:], *within]
    edges = [*(max(begin, one.at - began) for one in states), end]
    return [(edges[i], edges[i + 1], one) for i, one in enumerate(states)]


def _nodes(record: _Record, began: float, begin: float, end: float) -> tuple[Row, ...]:
    found: dict[str, list[Stretch]] = {}
    for since, till, one in _snapshots(record, began, begin, end):
        for name, state in one.nodes.items():
            _add(found.setdefault(name, []), Stretch(since, till, state))
    switched = [p for p in record.powers if p.at - began <= end]
    changed = [m for m in record.machines if m.at - began <= end]
    powers: list[PowerSwitched | MachineChanged] = [*switched, *changed]
    for power in powers:
        if power.at - began >= begin:
            found.setdefault(power.node, [])  # the cluster may not know the machine any more
    rows = []
    for name, stretches in found.items():
        own = [(p.at - began, p.action, p.problem) for p in switched if p.node == name]
        shown = tuple(one for one in own if one[0] >= begin)
        # What was asked of a BMC is not all that takes a machine's power: libvirtd saw what did.
        power_of = [(m.at - began, m.state, m.reason) for m in changed if m.node == name]
        power_of = power_of or [(at, action, "") for at, action, problem in own if not problem]
        rows.append(Row(name, tuple(stretches), _off(power_of, begin, end), shown))
    return tuple(rows)


def _off(
    switched: list[tuple[float, str, str]], begin: float, end: float
) -> tuple[tuple[float, float, str], ...]:
    """When the machine was without power, and why; a reset takes it away for no time."""
    found: list[tuple[float, float, str]] = []
    since: tuple[float, str] | None = None
    for at, action, reason in switched:
        if action == "off":
            since = since or (at, reason)
        elif since is not None:
            found.append((since[0], at, since[1]))
            since = None
    if since is not None:
        found.append((since[0], end, since[1]))
    return tuple((max(a, begin), b, reason) for a, b, reason in found if b > begin)


def _resources(record: _Record, began: float, begin: float, end: float) -> tuple[Row, ...]:
    found: dict[str, list[Stretch]] = {}
    for since, till, one in _snapshots(record, began, begin, end):
        for name, state in one.resources.items():
            nodes = tuple(state.get("nodes", ()))
            failed = bool(state.get("failed"))
            role = str(state.get("role", ""))
            _add(found.setdefault(name, []), Stretch(since, till, role, nodes, failed))
    return tuple(Row(name, tuple(stretches)) for name, stretches in found.items())


def few(rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], tuple[int, int]]:
    """No more than ROWS of them: without those that were well throughout, and with those that look
    the same as one; and how many of the first kind, and how many more, are not there.
    """
    if len(rows) <= ROWS:
        return rows, (0, 0)
    alike: dict[tuple[object, ...], list[str]] = {}
    unchanged = 0
    for row in rows:
        states = {(one.state, one.failed) for one in row.stretches}
        if len(row.stretches) == 1 and states <= _WELL and not row.switched:
            unchanged += 1
        else:
            alike.setdefault((row.stretches, row.off, row.switched), []).append(row.name)
    found = [Row(named(names), *key) for key, names in alike.items()]  # type: ignore[arg-type]
    return tuple(found[:ROWS]), (unchanged, len(found[ROWS:]))


def _add(row: list[Stretch], new: Stretch) -> None:
    """One stretch for what did not change, however often the cluster was looked at."""
    if row and row[-1].end == new.begin and _state(row[-1]) == _state(new):
        new = Stretch(row.pop().begin, new.end, *_state(new))
    row.append(new)


def _state(one: Stretch) -> tuple[str, tuple[str, ...], bool]:
    return one.state, one.nodes, one.failed
