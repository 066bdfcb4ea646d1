"""The time line of a recovery: from what the cluster looked like since a fault.

Phases and their meaning: `lab.events.Recovered`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from lab.status import ClusterStatus

Phase = Literal["detected", "fenced", "recovered", "reintegrated"]


@dataclass
class History:
    """What happened since a fault: times are seconds since the epoch.

    `began`: when the fault was injected; `before`: the cluster's state then; `states`: each
    later one that was another than the one before it; `powered_off`: when a BMC took a
    machine's power away, or found it without as it was to give it.
    """

    began: float
    before: ClusterStatus
    states: list[tuple[float, ClusterStatus]] = field(default_factory=list)
    powered_off: list[float] = field(default_factory=list)

    def phases(self) -> dict[str, float | None]:
        """Seconds from the fault to each phase, None for what did not happen (so far)."""
        at: dict[str, float | None] = {
            "detected": self.states[0][0] if self.states else None,
            "fenced": min(self.powered_off, default=None),
            "recovered": self._since(_serves(self)),
            "reintegrated": self._since(_whole(self.before)),
        }
        return {name: when - self.began if when else None for name, when in at.items()}

    def _since(self, well: Callable[[ClusterStatus], bool]) -> float | None:
        """Since when all has been well again; None if it always was, or is not."""
        since: float | None = None
        ill = False
        for at, status in self.states:
            if not well(status):
                ill, since = True, None
            elif ill and since is None:
                since = at
        return since


def _whole(before: ClusterStatus) -> Callable[[ClusterStatus], bool]:
    names = [name for name, node in before.nodes.items() if node.online]

    def well(status: ClusterStatus) -> bool:
        return all(name in status.nodes and status.nodes[name].text == "online" for name in names)

    return well


def _serves(history: History) -> Callable[[ClusterStatus], bool]:
    """Whether each resource is active that was. The connection to a node that was itself lost is
    none of them: it is back when the node is.
    """
    states = [status for _at, status in history.states]
    lost = {
        name
        for status in states
        for name, node in status.nodes.items()
        if not node.online and node.kind != "member"
    }
    names = [
        name
        for name, resource in history.before.resources.items()
        if resource.role == "Started" and name not in lost
    ]

    def well(status: ClusterStatus) -> bool:
        found = [status.resources.get(name) for name in names]
        return all(r and r.role == "Started" and r.nodes and not r.failed for r in found)

    return well
