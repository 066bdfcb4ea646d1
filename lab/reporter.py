"""Where the events of a run go: to every listener, one event at a time, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lab.events import Event, Listener


@dataclass
class Reporter:
    """Passes events on. It also knows the section that is being run, and what it costs.

    `hide` takes secrets out of a text: whatever a command printed, no listener gets one.

    `cluster_seconds`: the time that the section's commands ran and that its expectations took
    to come true; the rest is the harness's.
    """

    listeners: list[Listener]
    hide: Callable[[str], str] = lambda text: text
    section: str = ""
    cluster_seconds: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, section: str) -> None:
        """What comes from now on belongs to this section."""
        self.section, self.cluster_seconds = section, 0.0

    def __call__(self, event: Event) -> None:
        """Tell every listener."""
        texts = {k: self.hide(v) for k, v in vars(event).items() if isinstance(v, str)}
        event = replace(event, **texts)  # type: ignore[arg-type]  # texts stay texts
        with self._lock:
            for listener in self.listeners:
                listener(event)
