"""What happens in a run, as values. The runner makes them, the reports read them.

`at` is seconds since the epoch; durations are seconds. `to_json` gives what results.jsonl
holds: the event's class name under "event" and its fields.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all: when it happened."""

    at: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        """The event as plain data."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins. `sections`: those that this run is going to do, in order."""

    lab: str
    scenario: str
    title: str
    platform: str
    provider: str
    sections: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """A stage outside any section, say of bringing the machines up."""

    text: str


@dataclass(frozen=True, kw_only=True)
class StepStarted(Event):
    """A section begins. `origin`: the scenario that it is borrowed from, if it is."""

    section: str
    title: str
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class CommandStarted(Event):
    """A command is about to be typed.

    `book` holds the book's commands that it stands for: itself where it is verbatim, others
    where it is adapted, none where the platform needs it in addition. `why`: the
    adaptation's reason. `omitted`: the book's command is left out, nothing is typed.
    `secret`: name of the secret that the command reads from its standard input.
    """

    section: str
    node: str
    text: str
    adapted: bool = False
    book: tuple[str, ...] = ()
    why: str = ""
    omitted: bool = False
    secret: str = ""


@dataclass(frozen=True, kw_only=True)
class CommandEnded(Event):
    """A command ended. `exit` is None if it did not within its deadline; then `problem` says."""

    section: str
    node: str
    text: str
    exit: int | None
    expected: tuple[int, ...]
    output: str
    seconds: float
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended as it should."""
        return self.exit in self.expected


@dataclass(frozen=True, kw_only=True)
class Acted(Event):
    """Something that the book asks for in words was done (reboot, shut the guest down).

    `output`: what the commands that were run for it printed.
    """

    section: str
    text: str
    seconds: float
    output: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Waiting(Event):
    """An expectation is not true yet. Made often; for a live display, not for keeping."""

    section: str
    what: str
    seen: str
    left: float


@dataclass(frozen=True, kw_only=True)
class Checked(Event):
    """An expectation's verdict: `what` was expected, `seen` is the last value.

    `waited` is how long it took to come true. `phase` is "before" for what had to hold
    before the section's commands. `departs`: what it shows today's software to do otherwise than
    the book, if it is there for that.
    """

    section: str
    what: str
    seen: str
    verdict: Verdict
    waited: float
    phase: Literal["before", "expect"] = "expect"
    hint: str = ""
    departs: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterChanged(Event):
    """The cluster's state is another than at the last look. `changes`: in words, one a line.

    The whole state after them: `nodes` has each node's state in words ("online", "offline
    unclean"), `resources` each primitive's role, the nodes that it is active on, and whether
    it failed: `{"role": "Started", "nodes": ["node1"], "failed": False}`.
    """

    section: str
    changes: tuple[str, ...]
    dc: str = ""
    quorum: bool = False
    nodes: dict[str, str] = field(default_factory=dict)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FaultInjected(Event):
    """A fault stands from now on. `number` names it within the lab, `text` says it in words."""

    section: str
    number: int
    text: str


@dataclass(frozen=True, kw_only=True)
class FaultHealed(Event):
    """A fault was healed, and was looked at: `problem` says what of it is still there."""

    section: str
    number: int
    text: str
    seconds: float
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class PowerSwitched(Event):
    """A machine's BMC was told to switch its power: `action` is off, on or reset.

    `at` is when it was done. `problem`: why it could not be.
    """

    section: str
    node: str
    action: str
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class MachineChanged(Event):
    """A virtual machine's state, as its libvirtd saw it: `state` is on, off, paused, resumed or
    crashed, `reason` libvirt's word for why. See lab.lifecycle.
    """

    section: str
    node: str
    state: str
    reason: str

    @property
    def by_itself(self) -> bool:
        """Whether it was nobody's order: its process ended, or it could not go on."""
        return self.state == "crashed" or self.reason in ("crashed", "failed", "ioerror")


@dataclass(frozen=True, kw_only=True)
class Recovered(Event):
    """The time line of a recovery. `began`: just before the fault was injected.

    `phases`: seconds after that, in this order, None for what did not happen:

        detected      the cluster's state changed for the first time
        fenced        a BMC took a machine's power away, or found it without as it was to give it
        recovered     every resource that was active before is active again, for good
        reintegrated  every node that was online before is online again, for good
    """

    section: str
    text: str
    began: float
    phases: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Audited(Event):
    """What an audit found after a section. `seen`: each violation in words, or what was looked at.

    `announced`: the scenario said beforehand that it may be violated.
    """

    section: str
    audit: str
    verdict: Verdict
    seen: str
    announced: bool = False


@dataclass(frozen=True, kw_only=True)
class Grew(Event):
    """A cluster with so many remote `nodes` was measured. `points`: it and those before it on this
    machine, one for each number of nodes, each with the fields of `lab.growth.Point`.
    """

    section: str
    nodes: int
    points: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class StepEnded(Event):
    """A section's verdict.

    `cluster`: seconds that commands ran and that expectations took to come true, `harness`
    all the rest. `verbatim`/`adapted`: how many of the book's commands were typed as
    printed, and how many otherwise; `added`: commands that the platform needs beside them.
    `problem`: the first thing that failed, or for a skipped section why it was. `origin`: the
    scenario that the section is borrowed from, if it is. `plan`: the key of what was run
    (lab.plan.key), '' for a skipped section.
    """

    section: str
    title: str
    verdict: Verdict
    cluster: float = 0.0
    harness: float = 0.0
    verbatim: int = 0
    adapted: int = 0
    added: int = 0
    problem: str = ""
    origin: str = ""
    plan: str = ""


@dataclass(frozen=True, kw_only=True)
class EvidenceCollected(Event):
    """Where the evidence of a failure lies."""

    section: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The run is over. `verdict` is the worst one of its sections."""

    verdict: Verdict
    seconds: float


Listener = Callable[[Event], None]
