"""What `lab words` says of arguments: which may be left out, and what each can be."""

from __future__ import annotations

from typing import Literal

import pytest

from lab import actions, checks, faults, signature
from lab.arguments import Percent
from lab.fields import Pattern, Port
from lab.vocabulary import CommandNumber, GuestName, Node, NodeOrOutside, Vocabulary

check = Vocabulary("check")


@check("nothing")
def nothing(_context: object) -> None:
    """Documentation."""


@check("{node}")
def every(
    _context: object,
    node: Node,
    guests: list[GuestName],
    groups: list[list[Node]],
    port: Port,
    pattern: Pattern,
    kind: Literal["a", "b"],
    source: NodeOrOutside = "outside",
    command: CommandNumber = 1,
    percent: Percent | None = None,
    text: str = "",
    on: bool | None = None,
) -> None:
    """Documentation."""


def test_what_may_be_left_out_is_in_brackets() -> None:
    assert signature.short(check.words["nothing"]) == "{}"
    assert signature.short(check.words["every"]) == (
        "{node, guests, groups, port, pattern, kind, [source], [command], [percent], [text], [on]}"
    )


def test_what_each_can_be() -> None:
    assert signature.arguments(check.words["nothing"]) == []
    assert signature.arguments(check.words["every"]) == [
        ("node", "a node's name"),
        ("guests", "a list, each a guest's name"),
        ("groups", "a list, each a list, each a node's name"),
        ("port", "a port: write 3121/tcp or 5405/udp"),
        ("pattern", "a regular expression"),
        ("kind", "one of: a, b"),
        ("source", "a node's name or outside; by default outside"),
        ("command", "the number of a command of this part; by default 1"),
        ("percent", "a whole number from 1 to 100; may be left out"),
        ("text", "text; may be left out"),
        ("on", "true or false; may be left out"),
    ]


@pytest.mark.parametrize("table", [checks.load(), actions.action, faults.load()])
def test_every_word_has_one(table: Vocabulary) -> None:
    for word in table.words.values():
        assert all(said for _, said in signature.arguments(word)), word.name
