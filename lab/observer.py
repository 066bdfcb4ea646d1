"""Looks at the cluster beside everything else, so that its changes are all on record."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from lab import bmc
from lab.errors import LabError
from lab.events import ClusterChanged, PowerSwitched
from lab.lab import Lab
from lab.recovery import History
from lab.reporter import Reporter
from lab.status import ClusterStatus

INTERVAL = 0.25  # seconds between two looks; crm_mon itself takes some 50 ms of a processor


@dataclass
class Observer:
    """Knows the cluster's last state, and tells every change of it.

    `history`: the states since a fault was injected, as long as one stands.
    """

    lab: Lab
    report: Reporter
    last: ClusterStatus = field(default_factory=ClusterStatus)
    history: History | None = None
    _began: float = 0.0  # when the look began that `last` is from
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _switched: int = 0  # how many of the BMCs' entries were told

    def status(self) -> ClusterStatus:
        """The cluster's state now. Raises NoStatus where the cluster does not run."""
        began = time.time()
        status = self.lab.status()
        self.notice(status, began)
        return status

    def notice(self, status: ClusterStatus, began: float | None = None) -> None:
        """Take note of a state; `began`: when the look began that saw it, by default now."""
        with self._lock:
            at = time.time() if began is None else began
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

    def begin_history(self) -> History:
        """From now on keep the cluster's states."""
        self.history = History(time.time(), self.last)
        return self.history

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look all the time while the block runs, from when there is a cluster to be looked at."""
        self._switched = len(bmc.log(self.lab))
        end = threading.Event()
        thread = threading.Thread(target=self._watch, args=(end.wait,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
            self._power()

    def _watch(self, ended: Callable[[float], bool]) -> None:
        while not ended(INTERVAL):
            if not self.last.nodes:
                continue
            with suppress(LabError):  # nobody answers now; what is awaited says so in the end
                self.status()
            self._power()
        for node in self.lab.scenario.cluster_nodes:
            self.lab.machine(node).drop()  # connections belong to a thread, and this one ends

    def _power(self) -> None:
        entries = bmc.log(self.lab)
        for entry in entries[self._switched :]:
            off = entry["action"] in ("off", "reset") or entry.get("state") == "off"
            if self.history and off and not entry["problem"]:
                self.history.powered_off.append(entry["at"])
            if entry["action"] in ("on", "off", "reset"):
                self.report(
                    PowerSwitched(
                        at=entry["at"],
                        section=self.report.section,
                        node=entry["node"],
                        action=entry["action"],
                        problem=entry["problem"],
                    )
                )
        self._switched = len(entries)
