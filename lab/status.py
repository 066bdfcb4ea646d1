"""The cluster's state, read from crm_mon's XML.

Two generations of it (`lab.pacemaker` has the commands): with the root element
`pacemaker-result` since Pacemaker 2.0.3, and `crm_mon` before. Source: Pacemaker's
xml/api/crm_mon-*.rng and xml/crm_mon.rng.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import Literal

from lab.errors import LabError
from lab.fleet import MANY, named

Kind = Literal["member", "guest", "remote", "replica"]


class NoStatus(LabError):
    """What came back is not a cluster's status (most often: the cluster is not running)."""


class Unreadable(NoStatus):
    """What came back is no XML at all."""


@dataclass(frozen=True)
class NodeStatus:
    """A node as the cluster sees it. For a guest node and for a bundle's replica, `guest_of` is the
    id of the resource that it lives in: the virtual machine, the container.
    """

    name: str
    kind: Kind
    online: bool
    unclean: bool = False
    standby: bool = False
    maintenance: bool = False
    pending: bool = False
    guest_of: str = ""
    running: int = 0

    @property
    def text(self) -> str:
        """Its state in one or two words."""
        state = "online" if self.online else "offline"
        extra = [n for n in ("unclean", "standby", "maintenance", "pending") if getattr(self, n)]
        return " ".join([state, *extra])


@dataclass(frozen=True)
class ResourceStatus:
    """A primitive: its role and the nodes it is active on."""

    id: str
    agent: str
    role: str
    nodes: tuple[str, ...]
    active: bool
    failed: bool = False
    managed: bool = True
    blocked: bool = False

    @property
    def text(self) -> str:
        """Role and place in words: `Started guest1`."""
        marks = " (failed)" if self.failed else ""
        return f"{self.role} {' '.join(self.nodes)}".strip() + marks


@dataclass(frozen=True)
class ReplicaStatus:
    """A replica of a bundle: its container, the connection to pacemaker_remote in it, and the
    primitive in it; the last two are None in a bundle without a primitive.
    """

    container: ResourceStatus
    connection: ResourceStatus | None = None
    primitive: ResourceStatus | None = None


@dataclass(frozen=True)
class FailedAction:
    """An operation that failed: `guest1_monitor_30000` on example-host."""

    key: str
    node: str
    status: str
    reason: str = ""

    @property
    def resource(self) -> str:
        """The resource's id."""
        return self._parts[0]

    @property
    def operation(self) -> str:
        """monitor, start, stop …"""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, str]:
        # A resource's id may have underscores too, and some operations have one.
        pattern = r"(.+?)_(migrate_to|migrate_from|last_failure|[^_]+)_\d+"
        match = re.fullmatch(pattern, self.key)
        return (match[1], match[2]) if match else (self.key, "")

    @property
    def text(self) -> str:
        """What failed where."""
        return f"{self.key} on {self.node}: {self.status}"

    @property
    def told(self) -> str:
        """What failed where, and why if that is known."""
        return f"{self.text} ({self.reason})" if self.reason else self.text


@dataclass(frozen=True)
class ClusterStatus:
    """One look at the cluster, as the node that was asked sees it."""

    dc: str = ""
    quorum: bool = False
    fencing: bool = True  # the property stonith-enabled
    nodes_configured: int = 0
    resources_configured: int = 0
    nodes: dict[str, NodeStatus] = field(default_factory=dict)
    resources: dict[str, ResourceStatus] = field(default_factory=dict)
    bundles: dict[str, tuple[ReplicaStatus, ...]] = field(default_factory=dict)
    failed: tuple[FailedAction, ...] = ()

    def changes_since(self, before: ClusterStatus) -> list[str]:
        """What is otherwise than `before`, in words, one change each."""
        changes: list[str] = []
        if self.dc != before.dc:
            changes.append(f"DC: {before.dc or 'none'} → {self.dc or 'none'}")
        if self.quorum != before.quorum:
            changes.append("quorum gained" if self.quorum else "quorum lost")
        old = {f"node {n}": s.text for n, s in before.nodes.items()}
        old |= {n: s.text for n, s in before.resources.items()}
        new = {f"node {n}": s.text for n, s in self.nodes.items()}
        new |= {n: s.text for n, s in self.resources.items()}
        changes += _moves(old, new)
        was_failed = {(a.key, a.node) for a in before.failed}
        now_failed = {(a.key, a.node) for a in self.failed}
        changes += [f"failed: {a.text}" for a in self.failed if (a.key, a.node) not in was_failed]
        changes += [
            f"cleared: {a.text}" for a in before.failed if (a.key, a.node) not in now_failed
        ]
        return changes


def _moves(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """What has another state than before; many that changed alike are one line."""
    alike: dict[tuple[str, str, bool], list[str]] = {}
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name, "absent"), new.get(name, "absent")
        if was != now:
            alike.setdefault((was, now, name.startswith("node ")), []).append(name)
    lines: dict[str, str] = {}  # by the name that comes first
    for (was, now, is_node), names in alike.items():
        if len(names) < MANY:
            lines |= {name: f"{name}: {was} → {now}" for name in names}
        else:
            bare = named([name.removeprefix("node ") for name in names])
            lines[names[0]] = f"{'node ' if is_node else ''}{bare}: {was} → {now}"
    return [lines[name] for name in dict.fromkeys([*old, *new]) if name in lines]


def parse(text: str) -> ClusterStatus:
    """crm_mon's XML as a ClusterStatus. Raises NoStatus if it is none."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise Unreadable(f"crm_mon did not print XML: {text.strip()[:200]!r}") from error
    if root.tag not in ("pacemaker-result", "crm_mon") or root.find("summary") is None:
        status = root.find("status")
        message = status.get("message", "") if status is not None else root.tag
        # A node without a cluster may say so and still call it a success.
        message = "; ".join(e.text or "" for e in root.iter("error")) or message
        raise NoStatus(f"no cluster status: {message}")
    summary = _Element(root.find("summary"))
    dc = _Element(root.find("summary/current_dc"))
    options = _Element(root.find("summary/cluster_options"))
    bundles = {one.get("id", ""): _replicas(one) for one in root.findall("resources/bundle")}
    connections = {r.connection.id for each in bundles.values() for r in each if r.connection}
    return ClusterStatus(
        dc=dc.text("name") if dc.flag("present") else "",
        quorum=dc.flag("with_quorum"),
        fencing=options.flag("stonith-enabled"),
        nodes_configured=summary.child("nodes_configured").number("number"),
        resources_configured=summary.child("resources_configured").number("number"),
        nodes={n.name: n for n in (_node(e, connections) for e in root.findall("nodes/node"))},
        resources=_by_id(_resources(root.find("resources"))),
        bundles=bundles,
        failed=tuple(_failed(f) for f in root.findall("failures/failure")),
    )


class _Element:
    """Attributes of an element that may be missing, as a generation may lack some."""

    def __init__(self, element: ET.Element | None) -> None:
        self._element = element

    def child(self, name: str) -> _Element:
        return _Element(None if self._element is None else self._element.find(name))

    def text(self, name: str) -> str:
        return "" if self._element is None else self._element.get(name, "")

    def flag(self, name: str) -> bool:
        return self.text(name) == "true"

    def number(self, name: str) -> int:
        value = self.text(name)
        return int(value) if value.isdigit() else 0


def _node(element: ET.Element, replicas: Container[str]) -> NodeStatus:
    """A node; that of a replica has the name of the connection to it."""
    node = _Element(element)
    guest_of = node.text("id_as_resource")
    kind: Kind = "member"
    if node.text("type") == "remote":
        kind = "guest" if guest_of else "remote"
        kind = "replica" if node.text("name") in replicas else kind
    return NodeStatus(
        name=node.text("name"),
        kind=kind,
        online=node.flag("online"),
        unclean=node.flag("unclean"),
        standby=node.flag("standby"),
        maintenance=node.flag("maintenance"),
        pending=node.flag("pending"),
        guest_of=guest_of,
        running=node.number("resources_running"),
    )


def _replicas(bundle: ET.Element) -> tuple[ReplicaStatus, ...]:
    """A bundle's replicas; Pacemaker names what it makes for one after the bundle."""
    name, found = bundle.get("id", ""), []
    for element in bundle.findall("replica"):
        number = element.get("id", "")
        one = {r.id: r for r in _resources(element)}
        container = one.pop(f"{name}-{bundle.get('type')}-{number}", None)
        connection = one.pop(f"{name}-{number}", None)
        inner = [r for r in one.values() if not r.id.startswith(f"{name}-ip-")]
        if container:
            found.append(ReplicaStatus(container, connection, inner[0] if inner else None))
    return tuple(found)


def _resources(top: ET.Element | None) -> list[ResourceStatus]:
    """Every primitive: alone, in a group, a clone or a bundle's replica."""
    found = []
    for element in top.iter("resource") if top is not None else ():
        one = _Element(element)
        found.append(
            ResourceStatus(
                id=one.text("id"),
                agent=one.text("resource_agent").replace("::", ":"),
                role=one.text("role"),
                nodes=tuple(node.get("name", "") for node in element.findall("node")),
                active=one.flag("active"),
                failed=one.flag("failed"),
                managed=one.flag("managed"),
                blocked=one.flag("blocked"),
            )
        )
    return found


def _by_id(resources: list[ResourceStatus]) -> dict[str, ResourceStatus]:
    """One entry an id: the instances of an anonymous clone share it, and are put together.

    Its role is that of an instance that is active, if one is.
    """
    found: dict[str, ResourceStatus] = {}
    for one in resources:
        other = found.get(one.id)
        if other is None:
            found[one.id] = one
            continue
        first = other if other.active or not one.active else one
        found[one.id] = replace(
            first,
            nodes=(*other.nodes, *one.nodes),
            failed=other.failed or one.failed,
            managed=other.managed and one.managed,
            blocked=other.blocked or one.blocked,
        )
    return found


def _failed(element: ET.Element) -> FailedAction:
    one = _Element(element)
    reason = one.text("exitreason")
    return FailedAction(
        key=one.text("op_key") or one.text("id"),
        node=one.text("node"),
        status=one.text("exitstatus") or one.text("status"),
        reason="" if reason == "none" else reason,
    )
