"""What a check or an action is given: the lab, and what this part of a section did so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.status import ClusterStatus

if TYPE_CHECKING:  # to import these takes long, and a plan does not need them
    from lab.lab import Lab
    from lab.machine import Machine, Result


@dataclass
class Context:
    """Made anew for each part. `done`: the results of the part's commands, in order."""

    lab: Lab
    on_status: Callable[[ClusterStatus], None] = lambda status: None
    done: list[Result] = field(default_factory=list)
    _replaced: tuple[str, ...] = ()

    def machine(self, node: str) -> Machine:
        """The machine of a node."""
        return self.lab.machine(node)

    def asked(self) -> Machine:
        """The machine that is asked about the cluster: a cluster node."""
        return self.machine(next(iter(self.lab.scenario.nodes)))

    def keep(self, result: Result, book: tuple[str, ...], *, adapted: bool) -> None:
        """Note the result of a command that stands for these commands of the book.

        Results are counted as the book's commands are, so that a check means the same one on
        every platform: of several commands in place of one the last counts, and those that a
        platform needs in addition do not.
        """
        if adapted and book and book == self._replaced:
            del self.done[-len(book) :]
        self._replaced = book if adapted else ()
        self.done += [result] * len(book)

    def typed(self, number: int) -> Result:
        """The result of the book's command of that number in this part, counted from 1.

        The commands that actions run are counted on from there.
        """
        if not 1 <= number <= len(self.done):
            raise IndexError(f"there is no command {number}; {len(self.done)} were typed")
        return self.done[number - 1]

    def status(self) -> ClusterStatus:
        """The cluster's state now. Raises NoStatus where the cluster does not run."""
        status = self.lab.status()
        self.on_status(status)
        return status

    def status_from(self, node: str) -> ClusterStatus:
        """The cluster's state as that node's own crm_mon tells it."""
        return self.lab.status(node)
