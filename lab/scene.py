"""What audits judge: every node's survey, and what the section left them to expect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from lab.status import ClusterStatus, FailedAction
    from lab.survey import Survey

Failure = tuple[str, str, str]  # a failed action's key, its node, when it failed ('' unknown)
Core = tuple[str, str]  # node, and the core file as its survey has it


class CannotLook(LabError):
    """There is nothing that an audit could judge by."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The surveys of one look, and what is to be expected of them.

    `machines_on`: machines with power, and guests that run and are nodes of their own.
    `cluster_nodes`: those that run the full stack. `expected_nodes`: the states that the section
    announced for nodes that are not online, in words ("offline unclean", "absent").
    `announced_failures`: "RESOURCE OPERATION" that may be on record. `announced_crashes`:
    patterns of journal lines. `known_failures`, `known_cores`: what was there before the section,
    see below. `expects_cluster`: a cluster was seen, and was not stopped on purpose.
    """

    surveys: Mapping[str, Survey]
    machines_on: frozenset[str]
    cluster_nodes: tuple[str, ...]
    expected_nodes: Mapping[str, str] = field(default_factory=dict)
    announced_failures: tuple[str, ...] = ()
    announced_crashes: tuple[str, ...] = ()
    known_failures: frozenset[Failure] = frozenset()
    known_cores: frozenset[Core] = frozenset()
    expects_cluster: bool = True

    @property
    def views(self) -> dict[str, tuple[Survey, ClusterStatus]]:
        """Each cluster node that answers: its survey and its view. CannotLook if none does."""
        found = {
            name: (self.surveys[name], view)
            for name in self.cluster_nodes
            if name in self.surveys and (view := self.surveys[name].status)
        }
        if not found:
            raise CannotLook("no cluster node answers")
        return found

    def told(self, look: Callable[[Survey, ClusterStatus], Iterable[str]]) -> list[str]:
        """What `look` tells of each view, each text once; by whose view, unless it is by all."""
        found: dict[str, list[str]] = {}
        views = self.views
        for viewer, (survey, view) in views.items():
            for text in dict.fromkeys(look(survey, view)):
                found.setdefault(text, []).append(viewer)
        return [
            text if len(viewers) == len(views) else f"{text} (as seen by {', '.join(viewers)})"
            for text, viewers in found.items()
        ]


def failure(action: FailedAction, survey: Survey) -> Failure:
    """What tells a failed action from others, and from an earlier one of the same operation."""
    when = survey.configuration.changed(action.key, action.node) if survey.cib else ""
    return action.key, action.node, when


def recorded_failures(surveys: Mapping[str, Survey]) -> frozenset[Failure]:
    """Every failed action that some node's cluster lists now, for Scene.known_failures."""
    return frozenset(
        failure(action, survey)
        for survey in surveys.values()
        if survey.status
        for action in survey.status.failed
    )


def found_cores(surveys: Mapping[str, Survey]) -> frozenset[Core]:
    """Every core file that is there now, for Scene.known_cores."""
    return frozenset((node, core) for node, survey in surveys.items() for core in survey.cores)
