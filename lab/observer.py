"""Looks at the cluster beside everything else, so that its changes are all on record."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from lab import bmc, hypervisor
from lab.errors import LabError
from lab.events import ClusterChanged, MachineChanged, PowerSwitched, Progress
from lab.lab import Lab
from lab.lifecycle import Lifecycle
from lab.recovery import History
from lab.reporter import Reporter
from lab.status import ClusterStatus

INTERVAL = 0.25  # seconds between two looks; crm_mon itself takes some 50 ms of a processor


@dataclass
class Observer:
    """Knows the cluster's last state, and tells every change of it.

    `history`: the states since a fault was injected, as long as one stands. `lifecycle`: who
    listens to the machines' libvirtd; None where there is none. `ended`: the machines that ended,
    or stand, by themselves since that was asked last, in words.
    """

    lab: Lab
    report: Reporter
    lifecycle: Lifecycle | None = None
    ended: list[str] = field(default_factory=list)
    last: ClusterStatus = field(default_factory=ClusterStatus)
    history: History | None = None
    _began: float = 0.0  # when the look began that `last` is from, by the monotonic clock
    _noticed: float = -INTERVAL  # when any look ended, by that clock
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _told: Counter[str] | None = None  # switches told, of each node; those before are nobody's
    _deaf: str = ""  # why libvirtd is not heard, as it was told last

    def status(self) -> ClusterStatus:
        """The cluster's state now. Raises NoStatus where the cluster does not run."""
        began = time.monotonic()
        status = self.lab.status()
        self.notice(status, began)
        return status

    def notice(self, status: ClusterStatus, began: float | None = None) -> None:
        """Take note of a state; `began`: when the look began that saw it, by default now."""
        self._noticed = time.monotonic()
        with self._lock:
            at = time.monotonic() if began is None else began
            if at < self._began:
                return  # another thread's look began later and is here already
            changes = status.changes_since(self.last)
            self.last, self._began = status, at
            if not changes:
                return
            if self.history:
                self.history.states.append((time.time(), status))
            self.report(
                ClusterChanged(
                    section=self.report.section,
                    changes=tuple(changes),
                    dc=status.dc,
                    quorum=status.quorum,
                    nodes={name: node.text for name, node in status.nodes.items()},
                    resources={
                        name: {"role": r.role, "nodes": list(r.nodes), "failed": r.failed}
                        for name, r in status.resources.items()
                    },
                )
            )

    def begin_history(self) -> None:
        """From now on keep the cluster's states."""
        with suppress(LabError):  # what it was at the last look will do then
            self.status()
        with self._lock:
            self.history = History(time.time(), self.last)
            self._began = time.monotonic()  # a look that began before is of before the fault

    def end_history(self) -> History | None:
        """Keep them no more; those that were kept."""
        with self._lock:
            history, self.history = self.history, None
        return history

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look all the time while the block runs, from when there is a cluster to be looked at,
        and nobody else does: each look takes time from what the cluster is doing.
        """
        self._listen()
        self._power()
        end = threading.Event()
        defects: list[Exception] = []
        thread = threading.Thread(target=self._watch, args=(end.wait, defects), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
        self._power()
        if defects:  # without an observer nothing that was seen is whole
            raise defects[0]

    def _watch(self, ended: Callable[[float], bool], defects: list[Exception]) -> None:
        try:
            pause = INTERVAL
            while not ended(pause):
                if not self.last.nodes:
                    continue
                began = time.monotonic()
                if began - self._noticed >= INTERVAL:
                    with suppress(LabError):  # nobody answers now; what is awaited says so
                        self.status()
                self._power()
                # An emulated node takes seconds for an answer: it shall have time for its own.
                pause = max(INTERVAL, time.monotonic() - began)
        except Exception as error:  # noqa: BLE001  # told by the thread that waits for this one
            defects.append(error)

    def _listen(self) -> None:
        deaf = self.lifecycle.listen() if self.lifecycle else ""
        if deaf and deaf != self._deaf:
            self.report(Progress(text=deaf))
        self._deaf = deaf

    def hear(self) -> None:
        """Tell what became of machines since this was done last."""
        for one in self.lifecycle.heard() if self.lifecycle else ():
            changed = MachineChanged(
                at=one.at,
                section=self.report.section,
                node=one.machine,
                state=one.state,
                reason=one.reason,
            )
            if changed.by_itself:
                self.ended.append(f"{one.machine} is {one.state} by itself ({one.reason})")
            self.report(changed)

    def _power(self) -> None:
        self.hear()
        entries = bmc.log(self.lab)
        with suppress(LabError):  # a hypervisor that does not answer now will later
            entries += hypervisor.log(self.lab)
        count = Counter(entry["node"] for entry in entries)
        told = count if self._told is None else self._told
        self._told = Counter({node: max(told[node], count[node]) for node in {*told, *count}})
        left = told.copy()
        for entry in entries:
            if left[entry["node"]] > 0:
                left[entry["node"]] -= 1
                continue
            if entry["action"] not in ("on", "off", "reset"):
                continue
            off = entry["action"] != "on" or entry["was"] == "off"
            with self._lock:
                since = self.history.began if self.history else entry["at"]
                if self.history and off and not entry["problem"] and entry["at"] > since:
                    self.history.powered_off.append(entry["at"])
            self.report(
                PowerSwitched(
                    at=entry["at"],
                    section=self.report.section,
                    node=entry["node"],
                    action=entry["action"],
                    problem=entry["problem"],
                )
            )
