"""The CIB, read for the audits: its version, groups, mandatory colocations, differences.

Source: "Pacemaker Explained", and xml/*.rng of Pacemaker. A rule that is written in a way
that is not read here is named by `Cib.unread`, so that nobody takes it for kept.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise, product

from lab.errors import LabError

# What pacemaker itself leaves out when it compares two CIBs (each node writes its own).
_OWN = {"origin", "cib-last-written", "update-origin", "update-client", "update-user"}
_SECRET = re.compile("pass|secret|key", re.I)  # parameters whose values are not for reports


class NoCib(LabError):
    """What came back is no CIB (most often: the cluster is not running)."""


@dataclass(frozen=True)
class Group:
    """A group's primitives in their order. `cloned`: there is one on several nodes."""

    id: str
    members: tuple[str, ...]
    cloned: bool


@dataclass(frozen=True)
class Side:
    """One side of a colocation: the primitive that it is about, in a role ("" is any)."""

    id: str
    primitive: str
    role: str = ""

    @property
    def text(self) -> str:
        """Its id, with the role if it is about one."""
        return f"{self.id} ({self.role})" if self.role else self.id


@dataclass(frozen=True)
class Colocation:
    """`dependent` may run only where `primary` does or, `apart`, only where it does not.

    `mutual`: from a resource set. Then both are on the same node if both are active; which
    one needs the other is not said, as Pacemaker's versions differ in how they read it.
    """

    id: str
    dependent: Side
    primary: Side
    apart: bool = False
    mutual: bool = False


@dataclass(frozen=True)
class Cib:
    """A CIB as XML, and what is read from it."""

    root: ET.Element

    @property
    def version(self) -> str:
        """admin_epoch.epoch.num_updates"""
        parts = ("admin_epoch", "epoch", "num_updates")
        return ".".join(self.root.get(name, "0") for name in parts)

    def option(self, name: str, default: str) -> str:
        """A cluster property's value."""
        sets = self.root.findall("configuration/crm_config/cluster_property_set")
        sets.sort(key=lambda one: one.get("id") != "cib-bootstrap-options")  # that one wins
        found = [
            pair.get("value", "")
            for one in sets
            for pair in one.findall("nvpair")
            if pair.get("name") == name
        ]
        return found[0] if found else default

    @cached_property
    def resources(self) -> dict[str, ET.Element]:
        """Each primitive, group, clone (or master) and bundle by its id."""
        kinds = ("primitive", "group", "clone", "master", "bundle")
        top = self.root.find("configuration/resources")
        found = [] if top is None else [one for one in top.iter() if one.tag in kinds]
        return {one.get("id", ""): one for one in found}

    @cached_property
    def many(self) -> frozenset[str]:
        """The primitives that are meant to be on several nodes: a clone's, a bundle's."""
        outer = [r for r in self.resources.values() if r.tag in ("clone", "master", "bundle")]
        return frozenset(p.get("id", "") for one in outer for p in one.iter("primitive"))

    def needs_quorum(self, primitive: str) -> bool:
        """Whether it may run only with quorum (its meta attribute `requires` says otherwise)."""
        element = self.resources.get(re.sub(r":\d+$", "", primitive))  # of which it is an instance
        return element is None or _meta(element, "requires") != "nothing"

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Every group that keeps its members together and in order."""
        return tuple(
            Group(name, members, cloned=any(m in self.many for m in members))
            for name, element in self.resources.items()
            if element.tag == "group" and not _loose(element)
            if (members := _primitives(element))
        )

    @property
    def loose_groups(self) -> tuple[str, ...]:
        """Every group that asks for less than that: `ID (why)`."""
        found = self.resources.items()
        loose = [name for name, one in found if one.tag == "group" and _loose(one)]
        return tuple(f"{name} (not ordered, or not colocated)" for name in loose)

    @property
    def colocations(self) -> tuple[Colocation, ...]:
        """Every mandatory colocation that can be judged."""
        return tuple(one for one in self._read if isinstance(one, Colocation))

    @property
    def unread(self) -> tuple[str, ...]:
        """Every colocation that may be mandatory and cannot be judged: `ID (why)`."""
        return tuple(one for one in self._read if isinstance(one, str))

    def changed(self, key: str, node: str) -> str:
        """When the operation `key` last failed (or else ended) on a node: seconds, '' if unknown.

        It tells a failure from an earlier one of the same operation.
        """
        found = [
            (op.get("id", "").endswith("_last_failure_0"), op.get("last-rc-change", ""))
            for state in self.root.findall("status/node_state")
            if state.get("uname") == node
            for op in state.iter("lrm_rsc_op")
            if key in (op.get("operation_key"), op.get("id"))
        ]
        return max(found)[1] if found else ""

    # -- colocations ------------------------------------------------------------------------

    @cached_property
    def _read(self) -> tuple[Colocation | str, ...]:
        top = self.root.find("configuration/constraints")
        found: list[Colocation | str] = []
        for element in top.findall("rsc_colocation") if top is not None else ():
            try:
                found += self._colocations(element)
            except ValueError as error:
                found.append(f"{element.get('id')} ({error})")
        return tuple(found)

    def _colocations(self, element: ET.Element) -> list[Colocation]:
        """What a constraint asks for, nothing if it is advisory; ValueError: cannot be judged."""
        sets = element.findall("resource_set")
        sign = _mandatory(element.get("score"))
        if not sign and not any(_mandatory(one.get("score")) for one in sets):
            if element.get("score") is None:
                raise ValueError("it has no plain score")
            return []
        if element.find("rule") is not None or element.find("lifetime") is not None:
            raise ValueError("it has a rule")
        if element.get("node-attribute", "#uname") != "#uname":
            raise ValueError("it is about a node attribute")
        name = element.get("id", "")
        if sets:
            return list(self._of_sets(name, sign, sets))
        apart = sign < 0
        dependent = self._side(element.get("rsc", ""), element.get("rsc-role", ""), last=False)
        # With a whole group means with its last member: the others may run without that one.
        with_ = element.get("with-rsc", "")
        primary = self._side(with_, element.get("with-rsc-role", ""), last=not apart)
        return [Colocation(name, dependent, primary, apart=apart)]

    def _of_sets(self, name: str, sign: int, sets: list[ET.Element]) -> Iterator[Colocation]:
        sides = []
        for one in sets:
            if one.get("role") or _mandatory(one.get("score", "INFINITY")) != 1 or sign != 1:
                raise ValueError("its resource sets have roles, or not the score INFINITY")
            ids = [ref.get("id", "") for ref in one.findall("resource_ref")]
            sides.append([self._side(i, "", last=False) for i in ids])
            if any(side.primitive in self.many for side in sides[-1]):
                raise ValueError("there is a clone in a resource set")
        for one, members in zip(sets, sides, strict=True):
            if one.get("sequential", "true") == "true":
                for left, right in combinations(members, 2):
                    yield Colocation(name, left, right, mutual=True)
        for these, those in pairwise(sides):
            for left, right in product(these, those):
                yield Colocation(name, left, right, mutual=True)

    def _side(self, name: str, role: str, *, last: bool) -> Side:
        element = self.resources.get(name)
        if element is None or element.tag == "bundle":
            raise ValueError(f"{name} is a bundle, a template or a tag")
        if element.tag == "primitive" and name in self.many:
            raise ValueError(f"{name} is an instance of a clone")
        known = {
            "": "",
            "Started": "",
            "Promoted": "Promoted",
            "Master": "Promoted",
            "Unpromoted": "Unpromoted",
            "Slave": "Unpromoted",
        }
        if role not in known:
            raise ValueError(f"it is about the role {role}")
        members = _primitives(element)
        if not members:
            raise ValueError(f"{name} has no primitive")
        return Side(name, members[-1 if last else 0], known[role])


def parse(text: str) -> Cib:
    """A CIB from what cibadmin printed. Raises NoCib if it is none."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise NoCib(f"cibadmin did not print a CIB: {text.strip()[:200]!r}") from error
    if root.tag != "cib":
        raise NoCib(f"cibadmin did not print a CIB, but <{root.tag}>")
    return Cib(root)


def difference(one: ET.Element, other: ET.Element, where: tuple[str, str], path: str = "") -> str:
    """The first thing in which two CIBs differ, '' if they are the same.

    `where` names the two. Like `cib/nodes/node[2]: uname 'a' on node1, 'b' on node2`. The
    order of attributes and the space between elements do not count.
    """
    top = not path
    path = f"{path}/{_name(one)}".lstrip("/")
    if one.tag != other.tag or _name(one) != _name(other):
        return f"{path} on {where[0]}, {_name(other)} on {where[1]}"
    for key in sorted(one.attrib.keys() | other.attrib.keys()):
        here, there = one.get(key), other.get(key)
        if here != there and not (top and key in _OWN):
            if key == "value" and _SECRET.search(one.get("name", "")):
                return f"{path}: {key} differs"
            return f"{path}: {key} {_shown(here)} on {where[0]}, {_shown(there)} on {where[1]}"
    for left, right in zip(one, other, strict=False):
        if found := difference(left, right, where, path):
            return found
    if len(one) == len(other):
        return ""
    longer, node = (one, where[0]) if len(one) > len(other) else (other, where[1])
    return f"{path}/{_name(longer[min(len(one), len(other))])} only on {node}"


def _name(element: ET.Element) -> str:
    name = element.get("name") or element.get("uname") or element.get("id")
    return f"{element.tag}[{name}]" if name else element.tag


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)


def _mandatory(score: str | None) -> int:
    """1 for INFINITY, -1 for -INFINITY, 0 for what is advisory (or no number at all)."""
    text = score or "0"
    if re.fullmatch(r"\+?INFINITY|\+?\d{7,}", text):
        return 1
    return -1 if re.fullmatch(r"-INFINITY|-\d{7,}", text) else 0


def _primitives(element: ET.Element) -> tuple[str, ...]:
    return tuple(one.get("id", "") for one in element.iter("primitive"))


def _loose(group: ET.Element) -> bool:
    return "false" in (_meta(group, "ordered"), _meta(group, "collocated"))


def _meta(element: ET.Element, name: str) -> str:
    """A resource's own meta attribute, '' if it has none."""
    pairs = element.findall("meta_attributes/nvpair")
    return next((p.get("value", "") for p in pairs if p.get("name") == name), "")
