"""Every audit, on a recorded cluster in which it holds, and on ones in which it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import audits, cib
from lab.audits import Finding, judge
from lab.checks import Seen
from lab.scene import Scene, found_cores, recorded_failures
from lab.status import ClusterStatus, NodeStatus
from lab.survey import Survey, made

DATA = Path(__file__).parent / "data" / "audits"
CORE = "/var/lib/pacemaker/cores/core, 6234112 bytes, 2026-11-22T23:34:40.960+00:00"


def recorded(state: str, node: str, source: str = "") -> Survey:
    """A node's survey from recorded files, those of `source` if it is another node's."""
    texts = {
        "status": (DATA / f"{state}-{source or node}-crm_mon.xml").read_text(),
        "cib": (DATA / f"{state}-{source or node}-cib.xml").read_text(),
    }
    parts = {name: (text, 0) for name, text in texts.items()}
    return made(node, parts | {"cores": ("", 0), "journal": ("", 0)}, (), member=True)


def scene(*surveys: Survey, **more: Any) -> Scene:
    """The settled cluster of node1, node2 and remote1, with these surveys in place of theirs."""
    settled = [recorded("settled", "node1"), recorded("settled", "node2", "node1")]
    all_ = {one.node: one for one in [*settled, Survey("remote1"), *surveys]}
    given = {"machines_on": frozenset(all_), "cluster_nodes": ("node1", "node2")}
    return Scene(**{"surveys": all_, **given, **more})


def both(change: Callable[[Survey], Survey], **more: Any) -> Scene:
    """The settled cluster, with the same change in both nodes' surveys."""
    return scene(*(change(recorded("settled", n, "node1")) for n in ("node1", "node2")), **more)


def status(one: Survey) -> ClusterStatus:
    assert one.status
    return one.status


def placed(**places: str) -> Callable[[Survey], Survey]:
    """Primitives are active on these nodes: `web1="node1"`, "" for none."""

    def change(one: Survey) -> Survey:
        seen = status(one)
        moved = {n: replace(seen.resources[n], nodes=tuple(p.split())) for n, p in places.items()}
        return replace(one, status=replace(seen, resources=seen.resources | moved))

    return change


def node(name: str, **state: Any) -> Callable[[Survey], Survey]:
    """A node is in this state."""

    def change(one: Survey) -> Survey:
        seen = status(one)
        return replace(
            one, status=replace(seen, nodes=seen.nodes | {name: replace(seen.nodes[name], **state)})
        )

    return change


def cib_with(old: str, new: str) -> Callable[[Survey], Survey]:
    """The CIB with something else in it."""

    def change(one: Survey) -> Survey:
        assert old in one.cib
        return replace(one, cib=one.cib.replace(old, new))

    return change


def constrained(xml: str) -> Callable[[Survey], Survey]:
    """The CIB with these constraints alone."""

    def change(one: Survey) -> Survey:
        before, _, rest = one.cib.partition("<constraints>")
        after = rest.partition("</constraints>")[2]
        return replace(one, cib=f"{before}<constraints>{xml}</constraints>{after}")

    return change


def inquorate(one: Survey) -> Survey:
    return replace(one, status=replace(status(one), quorum=False))


def one(name: str, of: Scene) -> Finding:
    (found,) = (finding for finding in judge(of) if finding.audit == name)
    return found


def split() -> Scene:
    return scene(recorded("split", "node1"), recorded("split", "node2"))


def no_quorum(**more: Any) -> Scene:
    lost = recorded("no-quorum", "node1")
    settings = {"machines_on": frozenset({"node1"}), "expected_nodes": {"node2": "offline"}}
    return scene(lost, **{"surveys": {"node1": lost}, **settings, **more})


PASSES = {
    "cluster_answers": "asked node1, node2",
    "single_dc": "DC node2 on node1, node2",
    "equal_cib": "CIB 0.31.0 on node1, node2",
    "active_once": "12 active outside of clones",
    "active_with_quorum": "node1 has quorum; node2 has quorum",
    "groups": "web",
    "colocations": (
        "colocation-db-st-clone-INFINITY, colocation-far-web--INFINITY, "
        "colocation-ip-web-INFINITY, colocation_set_sAsBsC"
    ),
    "node_states": "node1 online, node2 online, remote1 online",
    "failed_actions": "none",
    "surveyed": "node1, node2, remote1",
    "cores": "none on node1, node2, remote1",
    "crashes": "journal of node1, node2, remote1",
}


def test_on_a_settled_cluster_every_audit_passes_and_says_what_it_looked_at() -> None:
    found = judge(scene())
    assert {f.audit: f.seen for f in found} == PASSES
    assert {f.verdict for f in found} == {"passed"}
    assert audits.names() == list(PASSES)


CRASH = "2026-11-22T23:34:40.970+00:00 pacemakerd: error: pacemaker-attrd[6] terminated …"
SILENT = Survey("node2")
BROKEN: list[tuple[str, Callable[[], Scene], str]] = [
    ("cluster_answers", lambda: scene(Survey("node1"), SILENT), "no cluster node answers"),
    (
        "cluster_answers",
        lambda: scene(SILENT),
        "node2 is online in the cluster, but does not answer",
    ),
    ("single_dc", split, "DC node1 on node1, node2 on node2"),
    (
        "single_dc",
        lambda: both(lambda s: replace(s, status=replace(status(s), dc=""))),
        "no DC",
    ),
    ("single_dc", lambda: both(node("node2", online=False)), "the DC node2 is member offline"),
    (
        "single_dc",
        lambda: both(lambda s: replace(s, status=replace(status(s), dc="node9"))),
        "the DC node9 is absent",
    ),
    ("equal_cib", split, "CIB 0.31.567 on node1, 0.31.543 on node2; cib: dc-uuid '1' on node1"),
    (
        "equal_cib",  # with the same version
        lambda: scene(cib_with('"192.168.122.103"', '"192.0.2.1"')(recorded("settled", "node1"))),
        "nvpair[server]: value '192.0.2.1' on node1, '192.168.122.103' on node2",
    ),
    (
        "active_once",  # each node's own view has it once
        split,
        "web1 is active on remote1 (as seen by node1) and node2 (as seen by node2)",
    ),
    ("active_once", lambda: both(placed(ip="node1 node2")), "ip is active on node1"),
    (
        "active_with_quorum",
        no_quorum,
        "node1 has no quorum, but there are st on remote1, remote1 on node1",
    ),
    ("groups", lambda: both(placed(web2="node1")), "web1 on node2, web2 on node1, web3 on node2"),
    ("groups", lambda: both(placed(web2="")), "web3 runs on node2, web2 before it does not"),
    ("colocations", lambda: both(placed(ip="node1")), "ip on node1, web on node2"),
    ("colocations", lambda: both(placed(web3="")), "ip on node2, web on none"),
    ("colocations", lambda: both(placed(far="node2")), "far on node2, web on node2"),
    ("colocations", lambda: both(placed(db="node1")), "db on node1, st-clone (Promoted) on node2"),
    ("colocations", lambda: both(placed(sB="node2")), "sA on node1, sB on node2"),
    ("colocations", lambda: both(placed(sD="node2")), "sA on node1, sD on node2"),
    ("node_states", lambda: both(node("remote1", online=False)), "remote1 is offline"),
    ("node_states", lambda: both(node("node1", standby=True)), "node1 is online standby"),
    (
        "node_states",
        lambda: scene(expected_nodes={"node1": "offline"}),
        "node1 is online, expected offline",
    ),
    (
        "node_states",
        lambda: scene(expected_nodes={"guest1": "offline"}),
        "guest1 is absent, expected offline",
    ),
    (
        "node_states",  # the cluster did not miss it yet
        lambda: scene(machines_on=frozenset({"node1", "remote1"})),
        "node2 is online, but its machine has no power",
    ),
    ("failed_actions", split, "remote1_start_0 on node2: error (Could not connect"),
    ("surveyed", lambda: scene(Survey("remote1", problem="unreachable")), "remote1: unreachable"),
    ("surveyed", lambda: scene(machines_on=frozenset({"node3"})), "node3 was not surveyed"),
    ("cores", lambda: scene(Survey("remote1", cores=(CORE,))), f"remote1: {CORE}"),
    ("crashes", lambda: scene(Survey("remote1", crashes=(CRASH,))), f"remote1: {CRASH}"),
]


@pytest.mark.parametrize(("name", "world", "words"), BROKEN)
def test_broken(name: str, world: Callable[[], Scene], words: str) -> None:
    found = one(name, world())
    assert found.verdict == "failed"
    assert words in found.seen


def test_every_audit_is_broken_above() -> None:
    assert {name for name, _, _ in BROKEN} == set(audits.names())


def test_documentation() -> None:
    for name, entry in audits.TABLE.items():
        assert (entry.name, bool(entry.sentence)) == (name, True)
        assert entry.about.endswith(".")


# -- errors ---------------------------------------------------------------------------------


def test_an_audit_that_raises_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def looks_wrong(_: Scene) -> Seen:
        raise KeyError("web")

    monkeypatch.setattr(audits, "TABLE", {})
    audits.audit("nothing is wrong")(looks_wrong)
    assert judge(scene()) == [
        Finding("looks_wrong", "nothing is wrong", "error", "KeyError: 'web'")
    ]


def test_where_no_cluster_node_answers_nothing_of_the_cluster_passes() -> None:
    found = {f.audit: f.verdict for f in judge(scene(Survey("node1"), SILENT))}
    of_cluster = [name for name, entry in audits.TABLE.items() if entry.of_cluster]
    assert {found[name] for name in of_cluster} == {"failed", "error"}
    assert found["single_dc"] == "error"


def test_a_node_that_answers_without_a_cib_is_an_error() -> None:
    found = one("equal_cib", scene(replace(recorded("settled", "node1"), cib="")))
    assert (found.verdict, found.seen) == ("error", "cibadmin did not print a CIB: ''")


def test_without_a_cluster_its_audits_are_not_made() -> None:
    found = judge(scene(Survey("node1"), SILENT, expects_cluster=False))
    assert [f.audit for f in found] == ["surveyed", "cores", "crashes"]


def test_a_node_that_could_not_be_surveyed_is_not_judged_and_said() -> None:
    dark = Survey("remote1", problem="unreachable")
    found = one("crashes", scene(dark))
    assert (found.verdict, found.seen) == (
        "passed",
        "journal of node1, node2; not judged: remote1",
    )
    only = scene(surveys={"remote1": dark}, expects_cluster=False)
    assert {f.audit: f.verdict for f in judge(only)} == {
        "surveyed": "failed",
        "cores": "error",
        "crashes": "error",
    }


# -- announced and known --------------------------------------------------------------------


def test_announced_states() -> None:
    down = both(
        node("node2", online=False, unclean=True), expected_nodes={"node2": "offline unclean"}
    )
    assert one("node_states", down).verdict == "passed"
    assert one("node_states", scene(expected_nodes={"guest1": "absent"})).verdict == "passed"


def test_node_states_are_those_that_the_quorate_see() -> None:
    cut_off = inquorate(node("node2", online=False)(recorded("settled", "node1")))
    assert one("node_states", scene(cut_off)).verdict == "passed"
    assert one("node_states", both(inquorate)).verdict == "passed"
    assert one("node_states", scene(cut_off, inquorate(recorded("split", "node2")))).verdict == (
        "failed"
    )


def test_announced_failure() -> None:
    announced = replace(split(), announced_failures=("remote1 start",))
    assert one("failed_actions", announced).seen == "1, all known or announced"
    other = replace(split(), announced_failures=("remote1 monitor",))
    assert one("failed_actions", other).verdict == "failed"


def test_announced_crash() -> None:
    other = CRASH.replace("attrd[6]", "schedulerd[7]")
    world = scene(
        Survey("remote1", crashes=(CRASH, other)), announced_crashes=("nothing", r"attrd\[\d\]")
    )
    found = one("crashes", world)
    assert (found.verdict, found.seen) == ("failed", f"remote1: {other}")
    both_told = replace(world, announced_crashes=("attrd", "schedulerd"))
    assert one("crashes", both_told).verdict == "passed"


def test_known_failure_and_another_one_of_the_same_operation() -> None:
    before = split()
    known = recorded_failures(before.surveys)
    assert known == {("remote1_start_0", "node2", "1795391505")}
    after = replace(before, known_failures=known)
    assert one("failed_actions", after).verdict == "passed"
    again = cib_with('last-rc-change="1795391505"', 'last-rc-change="1795391999"')
    anew = again(recorded("split", "node2"))
    assert one("failed_actions", scene(anew, known_failures=known)).verdict == "failed"


def test_known_core_and_a_new_one_of_its_name() -> None:
    before = scene(Survey("node1", cores=(CORE,)))
    known = found_cores(before.surveys)
    assert one("cores", replace(before, known_cores=known)).verdict == "passed"
    newer = Survey("node1", cores=(CORE.replace("23:34:40", "23:47:54"),))
    assert one("cores", scene(newer, known_cores=known)).verdict == "failed"


# -- what is no violation -------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["ignore", "freeze"])
def test_policies_that_let_resources_run_without_quorum(policy: str) -> None:
    opening = '<cluster_property_set id="cib-bootstrap-options">'
    value = f'<nvpair id="p" name="no-quorum-policy" value="{policy}"/>'
    lost = cib_with(opening, opening + value)(recorded("no-quorum", "node1"))
    found = one("active_with_quorum", no_quorum(surveys={"node1": lost}))
    assert (found.verdict, found.seen) == (
        "passed",
        f"node1 has none, no-quorum-policy is {policy}",
    )


def test_without_quorum_what_needs_none_may_run_and_demoted_instances() -> None:
    opening = '<cluster_property_set id="cib-bootstrap-options">'
    demote = f'{opening}<nvpair id="p" name="no-quorum-policy" value="demote"/>'
    none = {n: "" for n in status(recorded("settled", "node1")).resources if n not in ("db", "st")}
    lost = placed(**none)(recorded("no-quorum", "node1"))
    found = one("active_with_quorum", no_quorum(surveys={"node1": lost}))
    assert found.seen == "node1 has no quorum, but there are st on remote1"
    lost = cib_with(opening, demote)(placed(db="node1")(lost))  # its meta: requires=nothing
    assert one("active_with_quorum", no_quorum(surveys={"node1": lost})).verdict == "passed"
    lost = replace(lost, promoted=frozenset({("st", "node1")}))
    found = one("active_with_quorum", no_quorum(surveys={"node1": lost}))
    assert found.seen == "node1 has no quorum, but there are st on node1"


def test_an_instance_needs_a_quorum_as_the_resource_does() -> None:
    found = recorded("no-quorum", "node1").configuration
    assert (found.needs_quorum("db"), found.needs_quorum("db:1")) == (False, False)
    assert (found.needs_quorum("web1"), found.needs_quorum("web1:0")) == (True, True)


def test_what_is_not_managed_is_not_judged_and_said() -> None:
    def loose(one: Survey) -> Survey:
        seen = status(placed(web2="node1")(one))
        web2 = replace(seen.resources["web2"], managed=False)
        return replace(one, status=replace(seen, resources=seen.resources | {"web2": web2}))

    found = one("groups", both(loose))
    assert (found.verdict, found.seen) == ("passed", "web; not judged: web (unmanaged)")


def test_group_in_a_clone_is_judged_by_node() -> None:
    def cloned(one: Survey) -> Survey:
        one = cib_with('<group id="web">', '<clone id="webs"><group id="web">')(one)
        return cib_with("</group>", "</group></clone>")(one)

    def spread(web2: str) -> Scene:
        places = placed(web1="node1 node2", web2=web2, web3="node2")
        return both(lambda s: places(cloned(s)))

    assert one("groups", spread("node2")).verdict == "passed"
    assert one("active_once", spread("node2")).verdict == "passed"
    assert "web3 runs on node2, web2 before it does not" in one("groups", spread("node1")).seen


def test_group_that_asks_for_less_is_not_judged_and_said() -> None:
    meta = '<meta_attributes id="m"><nvpair id="o" name="ordered" value="false"/></meta_attributes>'
    loose = cib_with('<group id="web">', f'<group id="web">{meta}')
    found = one("groups", both(lambda s: placed(web2="")(loose(s))))
    assert (found.verdict, found.seen) == (
        "passed",
        "no groups; not judged: web (not ordered, or not colocated)",
    )


# -- colocations ----------------------------------------------------------------------------

SET = '<rsc_colocation id="c" score="{}"><resource_set id="s" {}>{}</resource_set></rsc_colocation>'


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ('<rsc_colocation id="c" rsc="ip" with-rsc="web"/>', "it has no plain score"),
        (
            '<rsc_colocation id="c" rsc="ip" with-rsc="web" score="INFINITY"><lifetime/>'
            "</rsc_colocation>",
            "it has a rule",
        ),
        (
            '<rsc_colocation id="c" rsc="ip" with-rsc="db" score="INFINITY" node-attribute="r"/>',
            "it is about a node attribute",
        ),
        (
            '<rsc_colocation id="c" rsc="ip" with-rsc="box" score="INFINITY"/>',
            "box is a bundle, a template or a tag",
        ),
        (
            '<rsc_colocation id="c" rsc="ip" with-rsc="st" score="INFINITY"/>',
            "st is an instance of a clone",
        ),
        (
            '<rsc_colocation id="c" rsc="ip" with-rsc="db" rsc-role="Stopped" score="INFINITY"/>',
            "it is about the role Stopped",
        ),
        (
            SET.format("-INFINITY", "", '<resource_ref id="sA"/>'),
            "its resource sets have roles, or not the score INFINITY",
        ),
        (
            SET.format("INFINITY", 'role="Promoted"', '<resource_ref id="st-clone"/>'),
            "its resource sets have roles, or not the score INFINITY",
        ),
        (
            SET.format("INFINITY", "", '<resource_ref id="ping-clone"/>'),
            "there is a clone in a resource set",
        ),
    ],
)
def test_colocation_that_cannot_be_judged_is_said(xml: str, why: str) -> None:
    found = one("colocations", both(constrained(xml)))
    assert (found.verdict, found.seen) == ("passed", f"none mandatory; not judged: c ({why})")


@pytest.mark.parametrize("score", ["100", "-999999", "+5"])
def test_advisory_colocation_is_none_of_an_audit(score: str) -> None:
    xml = f'<rsc_colocation id="c" rsc="ip" with-rsc="sA" score="{score}"/>'
    found = one("colocations", both(constrained(xml)))
    assert (found.verdict, found.seen) == ("passed", "none mandatory")


@pytest.mark.parametrize("role", ["Promoted", "Master", "Unpromoted", "Slave"])
def test_roles(role: str) -> None:
    xml = '<rsc_colocation id="c" rsc="{}" with-rsc="st-clone" with-rsc-role="{}" score="1000000"/>'
    there, other = ("db", "sA") if role in ("Promoted", "Master") else ("sA", "db")
    assert one("colocations", both(constrained(xml.format(there, role)))).verdict == "passed"
    assert one("colocations", both(constrained(xml.format(other, role)))).verdict == "failed"


def test_dependent_clone_runs_only_where_the_other_does() -> None:
    xml = '<rsc_colocation id="c" rsc="ping-clone" with-rsc="{}" score="INFINITY"/>'
    assert one("colocations", both(constrained(xml.format("st-clone")))).verdict == "passed"
    found = one("colocations", both(constrained(xml.format("db"))))
    assert found.seen == "c: ping-clone on node1 node2 remote1, db on node2"


def test_members_of_a_set_that_stopped_are_no_violation() -> None:
    assert one("colocations", both(placed(sA="", sB=""))).verdict == "passed"


# -- differences of CIBs --------------------------------------------------------------------


def differing(here: str, there: str) -> str:
    return cib.difference(
        cib.parse(f"<cib {here}</cib>").root, cib.parse(f"<cib {there}</cib>").root, ("a", "b")
    )


def test_same_content_otherwise_written() -> None:
    here = 'x="1" y="2" cib-last-written="Mon" update-origin="a"> <nodes/>'
    assert differing(here, 'y="2" cib-last-written="Tue" x="1"><nodes></nodes>') == ""


@pytest.mark.parametrize(
    ("here", "there", "text"),
    [
        ('epoch="1">', 'epoch="2">', "cib: epoch '1' on a, '2' on b"),
        ('epoch="1">', ">", "cib: epoch '1' on a, absent on b"),
        ("><nodes/>", "><tags/>", "cib/nodes on a, tags on b"),
        ("><nodes/>", ">", "cib/nodes only on a"),
        ("><a/>", '><a/><b id="c"/>', "cib/b[c] only on b"),
        (
            '><nvpair name="passwd" value="x"/>',
            '><nvpair name="passwd" value="y"/>',
            "cib/nvpair[passwd]: value differs",
        ),
    ],
)
def test_difference(here: str, there: str, text: str) -> None:
    assert differing(here, there) == text


def test_what_is_no_cib() -> None:
    with pytest.raises(cib.NoCib, match="did not print a CIB, but <pacemaker-result>"):
        cib.parse("<pacemaker-result/>")


def test_a_member_that_is_no_cluster_node_is_no_dc() -> None:
    def change(one: Survey) -> Survey:
        seen = status(one)
        guest = NodeStatus("remote1", "remote", online=True)
        return replace(
            one, status=replace(seen, dc="remote1", nodes=seen.nodes | {"remote1": guest})
        )

    assert one("single_dc", both(change)).seen == "the DC remote1 is remote online"
