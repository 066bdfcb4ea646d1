"""The time line of a recovery: each phase, when it came about, and when it did not."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from lab.recovery import History, Phase
from lab.status import ClusterStatus, Kind, NodeStatus, ResourceStatus

BEGAN = 1000.0
State = tuple[float, ClusterStatus]


def node(name: str, online: bool = True, kind: Kind = "member", **more: Any) -> NodeStatus:
    return NodeStatus(name, kind, online, **more)


def started(name: str, *places: str, failed: bool = False, role: str = "Started") -> ResourceStatus:
    return ResourceStatus(
        name, "ocf:x:y", role if places else "Stopped", places, bool(places), failed
    )


def cluster(*parts: NodeStatus | ResourceStatus) -> ClusterStatus:
    """Of these nodes and resources; node1 is there and well, if it is not said otherwise."""
    nodes = {"node1": node("node1")}
    nodes |= {one.name: one for one in parts if isinstance(one, NodeStatus)}
    resources = {one.id: one for one in parts if isinstance(one, ResourceStatus)}
    return ClusterStatus(dc="node1", nodes=nodes, resources=resources)


REMOTE, LOST = node("remote1", kind="remote"), node("remote1", online=False, kind="remote")
WEB1, WEB2, NO_WEB = started("web", "node1"), started("web", "remote1"), started("web")
CONNECTED, NOT_CONNECTED = started("remote1", "node1"), started("remote1")
WELL = cluster(REMOTE, WEB2, CONNECTED)


def phases(
    *states: State, before: ClusterStatus = WELL, off: list[float] | None = None
) -> dict[str, float | None]:
    """Seconds of each phase; the states come that many seconds after the fault."""
    history = History(
        BEGAN,
        before,
        [(BEGAN + at, status) for at, status in states],
        [BEGAN + at for at in off or []],
    )
    found = history.phases()
    assert tuple(found) == get_args(Phase) == ("detected", "fenced", "recovered", "reintegrated")
    return {name: None if at is None else round(at, 6) for name, at in found.items()}


def test_nothing_happened() -> None:
    assert phases() == dict.fromkeys(get_args(Phase))


def test_every_phase() -> None:
    assert phases(
        (1.5, cluster(LOST, WEB2, NOT_CONNECTED)),
        (3.0, cluster(LOST, NO_WEB, NOT_CONNECTED)),
        (4.0, cluster(LOST, WEB1, NOT_CONNECTED)),
        (9.0, cluster(REMOTE, WEB1, CONNECTED)),
        (9.5, cluster(REMOTE, WEB2, CONNECTED)),
        off=[2.0, 2.5],
    ) == {"detected": 1.5, "fenced": 2.0, "recovered": 4.0, "reintegrated": 9.0}


def test_detected_is_the_first_change_whatever_it_is() -> None:
    found = phases((0.25, cluster(REMOTE, WEB2, CONNECTED, node("node2"))))
    assert found == {**dict.fromkeys(get_args(Phase)), "detected": 0.25}


def test_fenced_is_the_first_machine_without_power() -> None:
    assert phases(off=[5.0, 3.0])["fenced"] == 3.0


@pytest.mark.parametrize(
    "ill",
    [
        NO_WEB,
        started("web", "remote1", failed=True),
        started("web", "remote1", role="Starting"),
        started("web", "remote1", role="Stopping"),
        started("other", "remote1"),  # it is not there at all
    ],
)
def test_recovered_is_when_the_service_is_back(ill: ResourceStatus) -> None:
    found = phases((1, cluster(REMOTE, ill, CONNECTED)), (2, cluster(REMOTE, WEB1, CONNECTED)))
    assert (found["recovered"], found["reintegrated"]) == (2, None)
    assert phases((1, cluster(REMOTE, ill, CONNECTED)))["recovered"] is None


def test_one_service_of_two_is_no_recovery() -> None:
    two = started("mail", "node1")
    before = cluster(WEB1, two)
    found = phases(
        (1, cluster(NO_WEB, started("mail"))),
        (2, cluster(WEB1, started("mail"))),
        (3, cluster(WEB1, two)),
        before=before,
    )
    assert found["recovered"] == 3


def test_recovered_and_reintegrated_are_for_good() -> None:
    ill, well = cluster(LOST, NO_WEB, NOT_CONNECTED), cluster(REMOTE, WEB2, CONNECTED)
    back_and_forth = ((1.0, ill), (2.0, well), (3.0, ill), (4.0, well))
    found = phases(*back_and_forth, (5.0, cluster(REMOTE, WEB1, CONNECTED)))
    assert (found["recovered"], found["reintegrated"]) == (4.0, 4.0)
    found = phases(*back_and_forth, (5.0, ill))
    assert (found["recovered"], found["reintegrated"]) == (None, None)
    assert found["detected"] == 1.0


def test_what_was_never_lost_has_not_recovered() -> None:
    found = phases((1.0, cluster(REMOTE, WEB1, CONNECTED)))  # it was moved, at one look
    assert (found["recovered"], found["reintegrated"]) == (None, None)


def test_what_did_not_run_before_need_not_run() -> None:
    before = cluster(WEB1, started("mail"), started("news", "node1", role="Stopping"))
    found = phases((1, cluster(NO_WEB)), (2, cluster(WEB1)), before=before)
    assert found["recovered"] == 2


def test_a_node_that_was_not_online_before_need_not_be() -> None:
    before = cluster(node("node2"), node("node3", online=False))
    found = phases(
        (1, cluster(node("node2", online=False))), (2, cluster(node("node2"))), before=before
    )
    assert found["reintegrated"] == 2


@pytest.mark.parametrize(
    "ill",
    [
        node("node2", online=False),
        node("node2", unclean=True),
        node("node2", pending=True),
        node("node2", standby=True),
        node("node3"),  # it is not listed at all
    ],
)
def test_reintegrated_is_online_and_nothing_else(ill: NodeStatus) -> None:
    before = cluster(node("node2"))
    found = phases((1, cluster(ill)), (2, before), before=before)
    assert found["reintegrated"] == 2
    assert phases((1, cluster(ill)), before=before)["reintegrated"] is None


@pytest.mark.parametrize("kind", ["remote", "guest"])
def test_the_connection_to_a_lost_node_is_no_service(kind: Kind) -> None:
    """It cannot be back before the node is, and says nothing of what ran there."""
    there, lost = node("remote1", kind=kind), node("remote1", online=False, kind=kind)
    found = phases(
        (1, cluster(lost, NO_WEB, NOT_CONNECTED)),
        (2, cluster(lost, WEB1, NOT_CONNECTED)),
        (8, cluster(there, WEB1, CONNECTED)),
        before=cluster(there, WEB2, CONNECTED),
    )
    assert (found["recovered"], found["reintegrated"]) == (2, 8)


def test_the_connection_to_a_node_that_was_not_lost_is_a_service() -> None:
    """Say, it moved off a cluster node that was."""
    found = phases((1, cluster(REMOTE, WEB2, NOT_CONNECTED)), (2, cluster(REMOTE, WEB2, CONNECTED)))
    assert found["recovered"] == 2


def test_a_resource_named_as_a_cluster_node_that_was_lost_is_a_service() -> None:
    named = started("node2", "node2")
    found = phases(
        (1, cluster(node("node2", online=False), started("node2"))),
        (2, cluster(node("node2", online=False), started("node2", "node1"))),
        before=cluster(node("node2"), named),
    )
    assert found["recovered"] == 2
