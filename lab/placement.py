"""Whether resources are where the rules of the CIB want them: groups, mandatory colocations.

Each function takes a survey and its view of the cluster, and yields words.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from lab.cib import Colocation, Group, Side
from lab.status import ClusterStatus
from lab.survey import Survey


def broken_groups(survey: Survey, view: ClusterStatus) -> Iterable[str]:
    """Groups that are not together, or that have a member running where the one before is not."""
    for group in survey.configuration.groups:
        if not _unmanaged(view, *group.members):
            yield from _broken_group(group, view)


def unjudged_groups(survey: Survey, view: ClusterStatus) -> Iterable[str]:
    """Groups for which that need not hold: `ID (why)`."""
    yield from survey.configuration.loose_groups
    for group in survey.configuration.groups:
        if _unmanaged(view, *group.members):
            yield f"{group.id} (unmanaged)"


def broken_colocations(survey: Survey, view: ClusterStatus) -> Iterable[str]:
    """Mandatory colocations that what is active now does not keep."""
    for one in survey.configuration.colocations:
        if not _unmanaged(view, one.dependent.primitive, one.primary.primitive):
            yield from _broken_colocation(one, survey, view)


def unjudged_colocations(survey: Survey, view: ClusterStatus) -> Iterable[str]:
    """Colocations of which nobody knows here whether they hold: `ID (why)`."""
    yield from survey.configuration.unread
    for one in survey.configuration.colocations:
        if _unmanaged(view, one.dependent.primitive, one.primary.primitive):
            yield f"{one.id} (unmanaged)"


def _broken_group(group: Group, view: ClusterStatus) -> Iterable[str]:
    places = [(member, _active(view, member)) for member in group.members]
    used = set[str]().union(*(nodes for _, nodes in places))
    if not group.cloned and len(used) > 1:
        yield f"{group.id} is not together: {', '.join(_on(m, nodes) for m, nodes in places)}"
        return
    for (earlier, before), (later, after) in pairwise(places):
        for node in sorted(after - before):
            yield f"{group.id}: {later} runs on {node}, {earlier} before it does not"


def _broken_colocation(one: Colocation, survey: Survey, view: ClusterStatus) -> Iterable[str]:
    here, there = _where(one.dependent, survey, view), _where(one.primary, survey, view)
    if one.apart:
        kept = not here & there
    elif one.mutual:
        kept = not here or not there or here == there
    else:
        kept = here <= there
    if not kept:
        yield f"{one.id}: {_on(one.dependent.text, here)}, {_on(one.primary.text, there)}"


def _unmanaged(view: ClusterStatus, *primitives: str) -> bool:
    """Whether one of them is not managed: the cluster keeps no rule for it then."""
    return any(p in view.resources and not view.resources[p].managed for p in primitives)


def _where(side: Side, survey: Survey, view: ClusterStatus) -> set[str]:
    active = _active(view, side.primitive)
    promoted = {node for name, node in survey.promoted if name == side.primitive}
    if side.role:
        return active & promoted if side.role == "Promoted" else active - promoted
    return active


def _active(view: ClusterStatus, primitive: str) -> set[str]:
    resource = view.resources.get(primitive)
    return set(resource.nodes) if resource else set()


def _on(what: str, nodes: set[str]) -> str:
    return f"{what} on {' '.join(sorted(nodes)) or 'none'}"
