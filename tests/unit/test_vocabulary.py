"""Checks and actions as tables: what a scenario may say, and what it is told if it may not."""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal, get_args

import pytest
from pydantic import TypeAdapter

from lab import actions, checks, faults, platforms
from lab.arguments import DomainState, FenceAgent, Socket, Software
from lab.fields import NodeState, Port
from lab.status import NodeStatus
from lab.vocabulary import OUTSIDE, GuestName, Node, NodeOrOutside, Vocabulary

NODES = ["example-host", "guest1"]
check = Vocabulary("check")


def _remember(context: object, node: str) -> str:
    return f"{context} {node}"


@check("{node} has {sizes}, {kind}")
def sized(
    context: object, node: Node, sizes: list[int], kind: Literal["a", "b"] = "a"
) -> tuple[object, str, list[int], str]:
    """Documentation of sized.

    More of it.
    """
    return context, node, sizes, kind


@check("{nodes} agree")
def agree(_context: object, nodes: list[Node], besides: Node | None = None) -> None:
    """Documentation of agree."""


@check("{node} changed", remember=_remember)
def changed(_context: object, node: Node, *, before: str) -> str:
    """Documentation of changed."""
    return node + before


@check("{groups} are apart", heal=lambda _context, groups: f"{groups} are together")
def apart(_context: object, groups: list[list[Node]]) -> None:
    """Documentation of apart."""


@check("nothing")
def nothing(_context: object) -> None:
    """Documentation of nothing."""


@check(lambda node, size: f"{node}" + (f" of {size}" if size is not None else ""))
def said(_context: object, node: Node, size: int | None = None) -> None:
    """Documentation of said."""


def refused(entry: dict[Any, Any], nodes: list[str] = NODES) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        check.use(entry, nodes)
    return str(caught.value)


def test_word_and_arguments() -> None:
    word, given = check.use({"sized": {"node": "guest1", "sizes": [1, 2]}}, NODES)
    assert (word.name, given) == ("sized", {"node": "guest1", "sizes": [1, 2]})
    assert word.function("context", **given) == ("context", "guest1", [1, 2], "a")
    assert word.about == "Documentation of sized.\n\nMore of it."


def test_the_sentence_shows_arguments_and_defaults() -> None:
    word, given = check.use({"sized": {"node": "guest1", "sizes": [1, 2]}}, NODES)
    assert word.say(given) == "guest1 has 1, 2, a"
    assert word.say(given | {"kind": "b"}) == "guest1 has 1, 2, b"


def test_a_sentence_can_depend_on_what_is_given() -> None:
    word = check.words["said"]
    assert word.say({"node": "guest1"}) == "guest1"
    assert word.say({"node": "guest1", "size": 0}) == "guest1 of 0"


def test_a_lone_value_is_the_first_argument() -> None:
    assert check.use({"changed": "guest1"}, NODES)[1] == {"node": "guest1"}


def test_no_value_is_no_arguments() -> None:
    assert check.use({"nothing": None}, NODES)[1] == {}


def test_what_is_remembered_is_no_argument() -> None:
    word, given = check.use({"changed": "guest1"}, NODES)
    assert word.remember is not None
    assert word.function(None, **given, before=word.remember("c", **given)) == "guest1c guest1"
    assert "before is no argument of it; arguments: node" in refused(
        {"changed": {"node": "guest1", "before": "x"}}
    )


def test_unknown_word() -> None:
    assert refused({"sizd": None}) == (
        "unknown check 'sizd'; did you mean 'sized'? valid: agree, apart, changed, nothing, "
        "said, sized"
    )
    assert refused({"qqq": None}).startswith("unknown check 'qqq'; valid: agree, ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"node": "guest1"}, "sized: sizes is missing; arguments: node, sizes, kind"),
        (None, "sized: node is missing; arguments: node, sizes, kind"),
        (
            {"node": "guest1", "size": [1]},
            "sized: size is no argument of it; arguments: node, sizes, kind",
        ),
        (
            {"node": 3, "sizes": [1]},
            "sized: node should be text (a number: in quotes); arguments: node, sizes, kind",
        ),
        (
            {"node": "guest1", "sizes": 1},
            "sized: sizes should be a list; arguments: node, sizes, kind",
        ),
        (
            {"node": "guest1", "sizes": []},
            "sized: sizes must not be empty; arguments: node, sizes, kind",
        ),
        (
            {"node": "", "sizes": [1]},
            "sized: node must not be empty; arguments: node, sizes, kind",
        ),
        (
            {"node": "guest1", "sizes": ["1"]},
            "sized: sizes should be a whole number; arguments: node, sizes, kind",
        ),
        (
            {"node": "guest1", "sizes": [1], "kind": "c"},
            "sized: kind should be one of: a, b; arguments: node, sizes, kind",
        ),
    ],
)
def test_wrong_arguments(given: object, message: str) -> None:
    assert refused({"sized": given}) == message


def test_argument_of_a_word_that_takes_none() -> None:
    assert refused({"nothing": "guest1"}).endswith("is no argument of it; arguments: none")


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ({"changed": "guest2"}, "changed: node"),
        ({"agree": {"nodes": ["guest1", "guest2"]}}, "agree: nodes"),
        ({"agree": {"nodes": ["guest1"], "besides": "guest2"}}, "agree: besides"),
        ({"apart": {"groups": [["guest2"]]}}, "apart: groups"),
        ({"apart": {"groups": [["guest1"], ["example-host", "guest2"]]}}, "apart: groups"),
    ],
)
def test_unknown_node(entry: dict[str, Any], key: str) -> None:
    assert refused(entry) == f"{key}: there is no node 'guest2'; nodes: example-host, guest1"


def test_known_nodes_in_every_form() -> None:
    check.use({"agree": {"nodes": NODES, "besides": "guest1"}}, NODES)
    check.use({"agree": {"nodes": NODES, "besides": None}}, NODES)


def test_lists_of_lists() -> None:
    word, given = check.use({"apart": {"groups": [["guest1"], NODES]}}, NODES)
    assert word.say(given) == "guest1 | example-host, guest1 are apart"
    assert word.heal is not None
    assert word.heal(None, **given) == "[['guest1'], ['example-host', 'guest1']] are together"
    assert check.words["nothing"].heal is None
    assert "apart: groups must not be empty" in refused({"apart": {"groups": []}})


@pytest.mark.parametrize("entry", [{}, {"nothing": None, "changed": "guest1"}])
def test_one_word_an_entry(entry: dict[str, Any]) -> None:
    assert refused(entry) == f"one check an entry, this one has {len(entry)} keys"


TABLES = {"checks": checks.load(), "actions": actions.action, "faults": faults.load()}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_word_is_documented_and_its_sentence_can_be_said(table: Vocabulary) -> None:
    assert table.words
    for word in table.words.values():
        assert word.about, word.name
        values = {name: f"<{name}>" for name in word.arguments.model_fields}
        assert "<" in word.say(values) or not values, word.name


def test_every_fault_can_be_healed() -> None:
    for word in faults.load().words.values():
        assert word.heal is not None, word.name


# -- what arguments can be, and what else knows of it ---------------------------------------


def test_software_and_agents_are_those_of_the_platforms() -> None:
    known = [platforms.load(name) for name in platforms.names()]
    assert set(get_args(Software)) == {name for one in known for name in one.versions}
    assert all(set(one.versions) == set(one.packages) == set(get_args(Software)) for one in known)
    assert all(set(one.agents) == set(get_args(FenceAgent)) for one in known)


def test_states_of_guests_are_libvirts() -> None:
    from lab.guests import _STATES

    assert set(get_args(DomainState)) == {*_STATES.values(), "undefined"}


@pytest.mark.parametrize("unclean", [True, False])
@pytest.mark.parametrize("pending", [True, False])
def test_states_of_nodes_are_what_they_are_called(unclean: bool, pending: bool) -> None:
    node = NodeStatus("n", "remote", online=False, unclean=unclean, pending=pending, standby=True)
    adapter = TypeAdapter(NodeState)
    assert adapter.validate_python(node.text) == node.text
    with pytest.raises(ValueError, match="is not a node's state"):
        adapter.validate_python("pending offline")


@pytest.mark.parametrize("port", ["1/tcp", "9/udp", "9999/tcp", "10000/tcp", "65535/udp"])
def test_ports(port: str) -> None:
    assert TypeAdapter(Port).validate_python(port) == port


@pytest.mark.parametrize("port", ["0/tcp", "01/tcp", "65536/tcp", "70000/tcp", "100000/udp", "1"])
def test_no_ports(port: str) -> None:
    with pytest.raises(ValueError, match="is not a port"):
        TypeAdapter(Port).validate_python(port)


@pytest.mark.parametrize(
    "socket", ["tcp://3121", "udp://5405", "tcp://127.0.0.1:80", "tcp://::1:80", "unix:///run/x"]
)
def test_sockets(socket: str) -> None:
    assert TypeAdapter(Socket).validate_python(socket) == socket


def test_an_action_that_types_says_so() -> None:
    """Those that keep a result, by their own text, are those that count as typing."""
    keep = [
        word.name
        for word in actions.action.words.values()
        if re.search(r"context\.done\.append|_install\(", inspect.getsource(word.function))
    ]
    assert keep == [word.name for word in actions.action.words.values() if word.types]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"agree": {"nodes": ["guest1", ""]}}, "agree: nodes must not be empty"),
        ({"of_guest": "example-host"}, "of_guest: guest: example-host is no guest; guests: guest1"),
        ({"of_guest": "guest2"}, "of_guest: guest: there is no node 'guest2'"),
        (
            {"of_guest": {"guest": "guest1", "source": "inside"}},
            "nodes: example-host, guest1, outs",
        ),
    ],
)
def test_kinds_of_names(entry: dict[str, Any], says: str) -> None:
    own = Vocabulary("check")
    own.words = dict(check.words)

    @own("{guest} from {source}")
    def of_guest(_context: object, guest: GuestName, source: NodeOrOutside = OUTSIDE) -> None:
        """Documentation of of_guest."""

    own.use({"of_guest": {"guest": "guest1", "source": "outside"}}, NODES, ["guest1"])
    own.use({"of_guest": {"guest": "guest1", "source": "example-host"}}, NODES, ["guest1"])
    with pytest.raises(ValueError, match=r"\w") as caught:
        own.use(entry, NODES, ["guest1"])
    assert says in str(caught.value)
