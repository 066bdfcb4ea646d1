"""Where the events of a run go: to every listener, one event at a time, from any thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from lab.events import Event, Listener


@dataclass
class Reporter:
    """Passes events on. It also knows the section that is being run, and what it costs.

    `cluster_seconds`: the time that the section's commands ran and that its expectations took
    to come true; the rest is the harness's.
    """

    listeners: list[Listener]
    section: str = ""
    cluster_seconds: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, section: str) -> None:
        """What comes from now on belongs to this section."""
        self.section, self.cluster_seconds = section, 0.0

    def __call__(self, event: Event) -> None:
        """Tell every listener."""
        with self._lock:
            for listener in self.listeners:
                listener(event)
