"""Checks and actions as tables: what a scenario may say, and what it is told if it may not."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from lab import actions, checks, faults
from lab.vocabulary import Node, Vocabulary

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
            "sized: kind Input should be 'a' or 'b'; arguments: node, sizes, kind",
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
