"""What a check or an action is given: the lab, and what this part of a section did so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.status import ClusterStatus

if TYPE_CHECKING:  # to import these takes long, and a plan does not need them
    from lab.lab import Lab
    from lab.machine import Machine, Result
    from lab.observer import Observer


@dataclass
class Context:
    """Made anew for each part. `done`: the results of the part's commands, in order; of each
    command one for each node that it was typed on.
    """

    lab: Lab
    observer: Observer | None = None
    done: list[tuple[Result, ...]] = field(default_factory=list)
    _replaced: tuple[str, ...] = ()

    def machine(self, node: str) -> Machine:
        """The machine of a node."""
        return self.lab.machine(node)

    def asked(self) -> Machine:
        """The machine that is asked about the cluster: the cluster node that answered last."""
        if not self.lab.asked:
            self.status()
        return self.machine(self.lab.asked)

    def keep(self, results: tuple[Result, ...], book: tuple[str, ...], *, adapted: bool) -> None:
        """Note the results of a command that stands for these commands of the book.

        Results are counted as the book's commands are, so that a check means the same one on
        every platform: of several commands in place of one the last counts, and those that a
        platform needs in addition do not.
        """
        if adapted and book and book == self._replaced:
            del self.done[-len(book) :]
        self._replaced = book if adapted else ()
        self.done += [results] * len(book)

    def typed(self, number: int) -> tuple[Result, ...]:
        """The results of the book's command of that number in this part, counted from 1.

        The commands that actions run are counted on from there.
        """
        if not 1 <= number <= len(self.done):
            raise IndexError(f"there is no command {number}; {len(self.done)} were typed")
        return self.done[number - 1]

    def status(self) -> ClusterStatus:
        """The cluster's state now. Raises NoStatus where the cluster does not run."""
        return self.observer.status() if self.observer else self.lab.status()

    def stopped(self) -> None:
        """No node is left that could tell the cluster's state: it was stopped everywhere."""
        if self.observer:
            self.observer.notice(ClusterStatus())

    def status_from(self, node: str) -> ClusterStatus:
        """The cluster's state as that node's own crm_mon tells it."""
        return self.lab.status(node)
