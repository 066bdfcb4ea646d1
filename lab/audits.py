"""Audits: what must hold after every section, whatever it was about.

Pure functions on a Scene. Each judges one instant: who asks looks again while the cluster
is on its way. An audit that cannot look, or crashes, is an error and never a pass.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from lab.checks import Seen
from lab.cib import difference
from lab.errors import LabError
from lab.placement import (
    broken_colocations,
    broken_groups,
    unjudged_colocations,
    unjudged_groups,
)
from lab.scene import CannotLook, Failure, Scene, failure
from lab.status import ClusterStatus
from lab.survey import Survey

Verdict = Literal["passed", "failed", "error"]
Function = Callable[[Scene], Seen]


@dataclass(frozen=True)
class Finding:
    """`sentence` says what must be true, `seen` each violation, or what was looked at."""

    audit: str
    sentence: str
    verdict: Verdict
    seen: str


@dataclass(frozen=True)
class Audit:
    """One entry of the table. `of_cluster`: it is made only where a cluster is expected."""

    name: str
    sentence: str
    function: Function
    of_cluster: bool

    @property
    def about(self) -> str:
        """The function's documentation."""
        return inspect.getdoc(self.function) or ""


TABLE: dict[str, Audit] = {}


def audit(sentence: str, *, of_cluster: bool = True) -> Callable[[Function], Function]:
    """Decorator: adds a function to the table, by its own name."""

    def add(function: Function) -> Function:
        TABLE[function.__name__] = Audit(function.__name__, sentence, function, of_cluster)
        return function

    return add


def names() -> list[str]:
    """Every audit's name, in the order in which they are made."""
    return list(TABLE)


def judge(scene: Scene) -> list[Finding]:
    """Each audit's finding. Those of the cluster are left out where none is expected."""
    return [
        Finding(one.name, one.sentence, *_verdict(one.function, scene))
        for one in TABLE.values()
        if scene.expects_cluster or not one.of_cluster
    ]


def _verdict(function: Function, scene: Scene) -> tuple[Verdict, str]:
    try:
        seen = function(scene)
    except LabError as error:
        return "error", error.message
    except Exception as error:  # noqa: BLE001  # an audit that crashes is an error, not a pass
        return "error", f"{type(error).__name__}: {error}"
    return "passed" if seen.ok else "failed", seen.text


def _seen(wrong: Iterable[str], looked: str, unjudged: Iterable[str] = ()) -> Seen:
    """A pass says what was looked at, a failure what is wrong; both, what was left out."""
    violations, left = list(wrong), ", ".join(unjudged)
    text = "; ".join(violations) or looked
    return Seen(not violations, f"{text}; not judged: {left}" if left else text)


# -- the cluster ----------------------------------------------------------------------------


@audit("the cluster answers")
def cluster_answers(scene: Scene) -> Seen:
    """A cluster node answers, and so does each one with power that another sees online."""
    try:
        views = scene.views
    except CannotLook as error:
        return Seen(False, error.message)
    silent = [n for n in scene.cluster_nodes if n in scene.machines_on and n not in views]

    def violations(_: Survey, view: ClusterStatus) -> Iterable[str]:
        for node in silent:
            if node in view.nodes and view.nodes[node].online:
                yield f"{node} is online in the cluster, but does not answer"

    return _seen(scene.told(violations), f"asked {', '.join(views)}")


@audit("exactly one DC")
def single_dc(scene: Scene) -> Seen:
    """Every cluster node that answers names the same DC, which exists and is online."""
    named = {viewer: view.dc or "none" for viewer, (_, view) in scene.views.items()}
    wrong = []
    if len(set(named.values())) > 1:
        wrong.append("DC " + ", ".join(f"{dc} on {viewer}" for viewer, dc in named.items()))

    def violations(_: Survey, view: ClusterStatus) -> Iterable[str]:
        node = view.nodes.get(view.dc)
        if not view.dc:
            yield "no DC"
        elif node is None or node.kind != "member" or not node.online:
            yield f"the DC {view.dc} is {f'{node.kind} {node.text}' if node else 'absent'}"

    dcs = ", ".join(sorted(set(named.values())))
    return _seen([*wrong, *scene.told(violations)], f"DC {dcs} on {', '.join(named)}")


@audit("every cluster node has the same CIB")
def equal_cib(scene: Scene) -> Seen:
    """The same version and the same content in each answering node's own copy."""
    copies = [(viewer, survey.configuration) for viewer, (survey, _) in scene.views.items()]
    wrong = []
    if len({copy.version for _, copy in copies}) > 1:
        wrong.append("CIB " + ", ".join(f"{copy.version} on {node}" for node, copy in copies))
    for (here, one), (there, other) in pairwise(copies):
        if found := difference(one.root, other.root, (here, there)):
            wrong.append(found)
    nodes = ", ".join(node for node, _ in copies)
    return _seen(wrong, f"CIB {copies[0][1].version} on {nodes}")


@audit("no primitive is active twice")
def active_once(scene: Scene) -> Seen:
    """No primitive is active on two nodes, unless it is a clone's or a bundle's.

    All views are put together, so that one which two partitions each run is found.
    """
    places: dict[str, dict[str, list[str]]] = {}
    for viewer, (survey, view) in scene.views.items():
        for name, resource in view.resources.items():
            if name not in survey.configuration.many:
                for node in resource.nodes:
                    places.setdefault(name, {}).setdefault(node, []).append(viewer)
    wrong = [
        f"{name} is active on "
        + " and ".join(f"{node} (as seen by {', '.join(by)})" for node, by in nodes.items())
        for name, nodes in places.items()
        if len(nodes) > 1
    ]
    return _seen(wrong, f"{len(places)} active outside of clones")


@audit("nothing is active without quorum")
def active_with_quorum(scene: Scene) -> Seen:
    """Nothing is active in a partition without quorum, but for what no-quorum-policy lets run."""
    wrong, looked = [], []
    for viewer, (survey, view) in scene.views.items():
        cib = survey.configuration
        policy = cib.option("no-quorum-policy", "stop")
        looked.append(f"{viewer} has {'quorum' if view.quorum else 'none'}")
        if view.quorum:
            continue
        if policy in ("ignore", "freeze"):  # both leave what is active where it is
            looked[-1] += f", no-quorum-policy is {policy}"
            continue
        active = []
        for name, resource in view.resources.items():
            nodes = set(resource.nodes)
            if policy == "demote" and resource.role in _PROMOTABLE:
                nodes = {node for one, node in survey.promoted if one == name}
            if nodes and cib.needs_quorum(name):
                active.append(f"{name} on {' '.join(sorted(nodes))}")
        if active:
            wrong.append(f"{viewer} has no quorum, but there are {', '.join(active)}")
    return _seen(wrong, "; ".join(looked))


_PROMOTABLE = ("Promoted", "Unpromoted", "Master", "Slave")


@audit("groups are together and in order")
def groups(scene: Scene) -> Seen:
    """A group's members are on one node, and none runs where an earlier one does not."""
    found = {g.id for survey, _ in scene.views.values() for g in survey.configuration.groups}
    looked = ", ".join(sorted(found)) or "no groups"
    return _seen(scene.told(broken_groups), looked, scene.told(unjudged_groups))


@audit("mandatory colocations hold")
def colocations(scene: Scene) -> Seen:
    """What must be together is, and what must be apart: scores of INFINITY and -INFINITY.

    Of resource sets it is judged where the members are, not which of them needs which.
    """
    found = {c.id for survey, _ in scene.views.values() for c in survey.configuration.colocations}
    looked = ", ".join(sorted(found)) or "none mandatory"
    return _seen(scene.told(broken_colocations), looked, scene.told(unjudged_colocations))


@audit("every node is online, or as announced")
def node_states(scene: Scene) -> Seen:
    """Each configured node, as those see it that have quorum; as all do, if none has.

    A cluster node without power that the cluster has not missed yet is not online either.
    """
    quorate = any(view.quorum for _, view in scene.views.values())
    dead = set(scene.cluster_nodes) - scene.machines_on
    looked = {}

    def violations(_: Survey, view: ClusterStatus) -> Iterable[str]:
        if quorate and not view.quorum:
            return
        for node in dict.fromkeys([*view.nodes, *scene.expected_nodes]):
            state = view.nodes[node].text if node in view.nodes else "absent"
            looked[node] = state
            if state != (expected := scene.expected_nodes.get(node, "online")):
                yield f"{node} is {state}, expected {expected}"
            elif state == "online" and node in dead:
                yield f"{node} is {state}, but its machine has no power"

    wrong = scene.told(violations)
    return _seen(wrong, ", ".join(f"{node} {state}" for node, state in looked.items()))


@audit("no operation failed but what was announced")
def failed_actions(scene: Scene) -> Seen:
    """No failed action is on record but those of before the section, and announced ones."""
    all_: dict[Failure, None] = {}

    def violations(survey: Survey, view: ClusterStatus) -> Iterable[str]:
        for action in view.failed:
            one = failure(action, survey)
            all_[one] = None
            resource = re.sub(r":\d+$", "", action.resource)  # the number of a clone's instance
            announced = f"{resource} {action.operation}" in scene.announced_failures
            if one not in scene.known_failures and not announced:
                yield action.told

    wrong = scene.told(violations)
    return _seen(wrong, f"{len(all_)}, all known or announced" if all_ else "none")


# -- every machine --------------------------------------------------------------------------


@audit("every machine can be surveyed", of_cluster=False)
def surveyed(scene: Scene) -> Seen:
    """Each machine with power, and each guest that the cluster says is online."""
    wrong = [f"{node} was not surveyed" for node in sorted(scene.machines_on - set(scene.surveys))]
    wrong += [f"{node}: {s.problem}" for node, s in scene.surveys.items() if s.problem]
    return _seen(wrong, ", ".join(scene.surveys) or "no machine has power")


@audit("no core file is new", of_cluster=False)
def cores(scene: Scene) -> Seen:
    """No core file is on a node that was not there, with that size and time, before."""
    found = [(node, core) for node, survey in scene.surveys.items() for core in survey.cores]
    wrong = [f"{node}: {core}" for node, core in found if (node, core) not in scene.known_cores]
    read, unread = _read(scene)
    return _seen(wrong, f"{f'{len(found)} known' if found else 'none'} on {read}", unread)


@audit("no daemon of the cluster crashed", of_cluster=False)
def crashes(scene: Scene) -> Seen:
    """No node's journal says that one ended by a fault of its own. To be killed is no crash, and
    what the section announced is none either.
    """
    wrong = [
        f"{node}: {line}"
        for node, survey in scene.surveys.items()
        for line in survey.crashes
        if not any(re.search(pattern, line) for pattern in scene.announced_crashes)
    ]
    read, unread = _read(scene)
    return _seen(wrong, f"journal of {read}", unread)


def _read(scene: Scene) -> tuple[str, list[str]]:
    """The nodes that could be looked at, in words, and those that could not."""
    good = [node for node, survey in scene.surveys.items() if not survey.problem]
    if scene.surveys and not good:
        raise CannotLook("no node could be surveyed")
    return ", ".join(good) or "no node", [n for n in scene.surveys if n not in good]
