"""crm_mon's XML, both generations of it, as the cluster's state."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import status
from lab.errors import LabError
from lab.status import ClusterStatus, FailedAction, NodeStatus, NoStatus

DATA = Path(__file__).parent / "data"


def sample(name: str) -> ClusterStatus:
    return status.parse((DATA / f"crm_mon-{name}.xml").read_text())


def made(resources: str = "", nodes: str = "") -> ClusterStatus:
    return status.parse(
        "<pacemaker-result><summary/>"
        f"<nodes>{nodes}</nodes><resources>{resources}</resources></pacemaker-result>"
    )


def test_summary() -> None:
    found = sample("2.1.5-started")
    assert (found.dc, found.quorum, found.fencing) == ("example-host", True, False)
    assert (found.nodes_configured, found.resources_configured) == (2, 7)
    assert found.failed == ()


def test_guest_node_is_told_from_a_cluster_node() -> None:
    nodes = sample("2.1.5-started").nodes
    assert list(nodes) == ["example-host", "guest1"]
    host, guest = nodes.values()
    assert (host.kind, host.guest_of, host.online, host.running) == ("member", "", True, 3)
    assert (guest.kind, guest.guest_of, guest.online) == ("guest", "vm-guest1", True)


def test_resources_and_where_they_are() -> None:
    found = sample("2.1.5-recovered").resources
    assert list(found) == ["vm-guest1", *(f"FAKE{n}" for n in range(1, 6)), "guest1"]
    assert found["vm-guest1"].agent == "ocf:heartbeat:VirtualDomain"
    assert found["FAKE3"].nodes == ("guest1",)
    assert found["FAKE3"].text == "Started guest1"
    one = found["FAKE4"]
    assert (one.role, one.nodes, one.active, one.failed, one.managed, one.blocked) == (
        "Started",
        ("example-host",),
        True,
        False,
        True,
        False,
    )


def test_guest_that_was_lost() -> None:
    found = sample("2.1.5-guest-lost")
    assert (found.nodes["guest1"].online, found.nodes["guest1"].text) == (False, "offline")
    assert found.nodes["guest1"].kind == "guest"
    assert (found.resources["FAKE1"].role, found.resources["FAKE1"].nodes) == ("Stopped", ())
    assert not found.resources["FAKE1"].active
    (action,) = found.failed
    assert (action.resource, action.operation, action.node) == ("guest1", "monitor", "example-host")
    assert (action.status, action.reason) == ("error", "Lost connection to remote executor")
    assert action.text == "guest1_monitor_30000 on example-host: error"


def test_pacemaker_3() -> None:
    found = sample("3.0.0-remote")
    assert (found.dc, found.quorum, found.fencing) == ("node1", True, True)
    assert (found.nodes_configured, found.resources_configured) == (3, 7)
    assert {n.name: (n.kind, n.text, n.running) for n in found.nodes.values()} == {
        "node1": ("member", "online", 2),
        "node2": ("member", "online", 3),
        "remote1": ("remote", "online", 0),
    }
    assert found.resources["remote1"].text == "Started node2"
    assert found.resources["fence-node1"].agent == "stonith:fence_ipmilan"
    assert (found.resources["FAKE1"].role, found.resources["FAKE1"].nodes) == ("Stopped", ())


def test_old_generation() -> None:
    found = sample("1.1.16-started")
    assert (found.dc, found.quorum, found.fencing) == ("example-host", True, False)
    assert (found.nodes_configured, found.resources_configured) == (3, 5)
    assert {n.name: (n.kind, n.guest_of, n.text) for n in found.nodes.values()} == {
        "example-host": ("member", "", "online"),
        "guest1": ("guest", "vm-guest1", "online"),
        "remote1": ("remote", "", "online standby"),
    }
    assert found.resources["vm-guest1"].agent == "ocf:heartbeat:VirtualDomain"
    assert found.resources["vm-guest1"].nodes == ("example-host",)
    assert found.resources["FAKE1"].nodes == ("guest1",)
    assert (found.resources["FAKE2"].role, found.resources["FAKE2"].nodes) == ("Stopped", ())


def test_old_generations_failures() -> None:
    first, second = sample("1.1.16-started").failed
    assert (first.resource, first.operation, first.status) == ("guest1", "monitor", "unknown error")
    assert first.reason == ""  # that generation writes "none" where there is no reason
    assert (second.resource, second.node, second.reason) == ("FAKE1", "guest1", "no state file")


@pytest.mark.parametrize(
    ("key", "resource", "operation"),
    [
        ("guest1_monitor_30000", "guest1", "monitor"),
        ("vm-guest1_start_0", "vm-guest1", "start"),
        ("my_own_rsc_stop_0", "my_own_rsc", "stop"),
        ("vm-guest1_migrate_to_0", "vm-guest1", "migrate_to"),
        ("vm-guest1_migrate_from_0", "vm-guest1", "migrate_from"),
        ("FAKE1_last_failure_0", "FAKE1", "last_failure"),
        ("odd", "odd", ""),
    ],
)
def test_key_of_a_failed_action(key: str, resource: str, operation: str) -> None:
    action = FailedAction(key, "n", "error")
    assert (action.resource, action.operation) == (resource, operation)


def test_states_of_a_node_in_words() -> None:
    flags = 'online="false" unclean="true" standby="true" maintenance="true" pending="true"'
    node = made(nodes=f'<node name="n" type="member" {flags}/>').nodes["n"]
    assert node.text == "offline unclean standby maintenance pending"
    assert NodeStatus("n", "member", True).text == "online"


def resource(name: str, role: str, *nodes: str, **flags: str) -> str:
    there = "".join(f'<node name="{node}"/>' for node in nodes)
    more = "".join(f' {key}="{value}"' for key, value in flags.items())
    active = "true" if nodes else "false"
    start = f'<resource id="{name}" resource_agent="ocf:a:b" role="{role}" active="{active}"'
    return f"{start}{more}>{there}</resource>"


def test_members_of_groups_and_bundles_are_found() -> None:
    found = made(
        f'<group id="g">{resource("a", "Started", "n1")}</group>'
        f'<bundle id="b"><replica id="0">{resource("c", "Started", "n2")}</replica></bundle>'
    )
    assert {r.id: r.nodes for r in found.resources.values()} == {"a": ("n1",), "c": ("n2",)}


def test_replicas_are_nodes_of_their_own_kind() -> None:
    nodes = sample("2.1.5-bundle").nodes
    assert {n.name: (n.kind, n.guest_of) for n in nodes.values()} == {
        "example-host": ("member", ""),
        "guest1": ("guest", "lxc-guest1"),
        "web-0": ("replica", "web-podman-0"),
        "web-1": ("replica", "web-podman-1"),
    }


def test_replicas_of_a_bundle() -> None:
    found = sample("2.1.5-bundle")
    assert list(found.bundles) == ["web"]
    first, second = found.bundles["web"]
    assert (first.container.text, first.container.agent) == (
        "Started example-host",
        "ocf:heartbeat:podman",
    )
    for number, one in enumerate((first, second)):
        assert one.container == found.resources[f"web-podman-{number}"]
        assert one.connection == found.resources[f"web-{number}"]
        assert one.primitive
        assert (one.primitive.id, one.primitive.text) == (
            f"FAKE2:{number}",
            f"Started web-{number}",
        )


def test_instances_in_replicas_that_share_an_id_are_told_apart_by_replica() -> None:
    def replica(number: int, *inside: str) -> str:
        container = resource(f"b-docker-{number}", "Started", "n1")
        return f'<replica id="{number}">{"".join(inside)}{container}</replica>'

    replicas = [
        replica(0, resource("b-ip-10.0.0.1", "Started", "n1"), resource("a", "Started", "b-0")),
        replica(1, resource("a", "Stopped")),
        replica(2),
    ]
    found = made(f'<bundle id="b" type="docker">{"".join(replicas)}</bundle>').bundles["b"]
    assert [one.primitive and one.primitive.text for one in found] == [
        "Started b-0",
        "Stopped",
        None,
    ]
    assert [one.connection for one in found] == [None, None, None]


@pytest.mark.parametrize("stopped_first", [False, True])
def test_instances_of_an_anonymous_clone_do_not_hide_each_other(stopped_first: bool) -> None:
    instances = [
        resource("ping", "Started", "n1", managed="true"),
        resource("ping", "Started", "n2", managed="false", failed="true"),
        resource("ping", "Stopped", managed="true"),
    ]
    order = reversed(instances) if stopped_first else instances
    (one,) = made(f'<clone id="c">{"".join(order)}</clone>').resources.values()
    assert (one.role, one.active, sorted(one.nodes)) == ("Started", True, ["n1", "n2"])
    assert (one.failed, one.managed) == (True, False)


def test_failed_resource_in_words() -> None:
    found = made(resource("a", "Started", "n1", failed="true") + resource("b", "Stopped"))
    assert [r.text for r in found.resources.values()] == ["Started n1 (failed)", "Stopped"]


def test_no_dc() -> None:
    found = status.parse(
        '<pacemaker-result><summary><current_dc present="false"/></summary></pacemaker-result>'
    )
    assert (found.dc, found.quorum) == ("", False)


def test_cluster_that_does_not_run() -> None:
    """What the tool gives as its errors says more than the name of its exit status."""
    with pytest.raises(
        NoStatus, match=r"^no cluster status: .*; crm_mon: Connection to cluster fa"
    ):
        sample("2.1.5-not-connected")
    alone = '<pacemaker-result><status code="102" message="Not connected"/></pacemaker-result>'
    with pytest.raises(NoStatus, match=r"^no cluster status: Not connected$"):
        status.parse(alone)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bash: line 1: crm_mon: command not found\n",
        "Connection to cluster failed: Transport endpoint is not connected",
        "<crm_mon",
        "<crm_mon version='1.1.16'/>",
        "<pacemaker-result><status code='102' message='Not connected'/></pacemaker-result>",
        "<html><summary/></html>",
    ],
)
def test_what_is_no_status(text: str) -> None:
    with pytest.raises(NoStatus) as caught:
        status.parse(text)
    assert isinstance(caught.value, LabError)


def test_no_status_shows_what_was_printed() -> None:
    with pytest.raises(NoStatus, match="crm_mon: command not found"):
        status.parse("bash: line 1: crm_mon: command not found\n")


# Changes


def test_nothing_changed() -> None:
    assert sample("2.1.5-started").changes_since(sample("2.1.5-started")) == []


def test_changes_in_both_directions() -> None:
    before, after = sample("2.1.5-started"), sample("2.1.5-guest-lost")
    assert after.changes_since(before) == [
        "node guest1: online → offline",
        "vm-guest1: Started example-host → Stopping example-host",
        "FAKE1: Started guest1 → Stopped",
        "FAKE2: Started guest1 → Stopped",
        "FAKE3: Started guest1 → Stopped",
        "FAKE4: Started guest1 → Started example-host",
        "guest1: Started example-host → Stopped",
        "failed: guest1_monitor_30000 on example-host: error",
    ]
    assert before.changes_since(after) == [
        "node guest1: offline → online",
        "vm-guest1: Stopping example-host → Started example-host",
        "FAKE1: Stopped → Started guest1",
        "FAKE2: Stopped → Started guest1",
        "FAKE3: Stopped → Started guest1",
        "FAKE4: Started example-host → Started guest1",
        "guest1: Stopped → Started example-host",
        "cleared: guest1_monitor_30000 on example-host: error",
    ]


def test_failure_that_is_still_listed_is_no_change() -> None:
    changes = sample("2.1.5-recovered").changes_since(sample("2.1.5-guest-lost"))
    assert "node guest1: offline → online" in changes
    assert not [change for change in changes if change.startswith(("failed", "cleared"))]


def test_dc_and_quorum() -> None:
    nothing, cluster = ClusterStatus(), ClusterStatus(dc="a", quorum=True)
    assert cluster.changes_since(nothing) == ["DC: none → a", "quorum gained"]
    assert nothing.changes_since(cluster) == ["DC: a → none", "quorum lost"]
    assert ClusterStatus(dc="b", quorum=True).changes_since(cluster) == ["DC: a → b"]


def test_what_came_and_what_went() -> None:
    empty, full = made(), made(resource("a", "Started", "n1"))
    assert full.changes_since(empty) == ["a: absent → Started n1"]
    assert empty.changes_since(full) == ["a: Started n1 → absent"]


def test_same_operation_failing_on_another_node_is_a_change() -> None:
    on_a = ClusterStatus(failed=(FailedAction("r_start_0", "a", "error"),))
    on_b = ClusterStatus(failed=(FailedAction("r_start_0", "b", "error"),))
    assert on_b.changes_since(on_a) == [
        "failed: r_start_0 on b: error",
        "cleared: r_start_0 on a: error",
    ]


def test_many_that_change_alike_are_one_line() -> None:
    def of(state: bool, count: int) -> ClusterStatus:
        names = [f"r{n}" for n in range(1, count + 1)]
        return ClusterStatus(nodes={name: NodeStatus(name, "remote", state) for name in names})

    assert of(True, 7).changes_since(of(False, 7)) == ["node r1 … r7: offline → online"]
    assert of(True, 4).changes_since(of(False, 4)) == [
        f"node r{n}: offline → online" for n in range(1, 5)
    ]
    one = of(True, 7)
    other = ClusterStatus(nodes={**of(False, 7).nodes, "r2": NodeStatus("r2", "remote", True)})
    assert one.changes_since(other) == ["node r1, r3, r4, r5, r6, r7: offline → online"]
