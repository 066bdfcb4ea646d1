"""Numbers in sentences, as the command line and the checks say them."""

from __future__ import annotations

import pytest

from lab import checks
from lab.wording import be, counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 sections are"), (1, "1 section is"), (2, "2 sections are")]
)
def test_one_is_said_otherwise(number: int, said: str) -> None:
    assert f"{counted(number, 'section')} {be(number)}" == said


@pytest.mark.parametrize(
    ("check", "arguments", "said"),
    [
        ("nodes_online", {"nodes": ["node1"]}, "node1 is online"),
        ("nodes_online", {"nodes": ["node1", "node2"]}, "node1, node2 are online"),
        (
            "configured",
            {"nodes": 1, "resources": 0},
            "1 node and 0 resources are configured",
        ),
        ("resources_together", {"resources": ["a"]}, "a is on one node"),
        (
            "resources_spread",
            {"resources": ["a", "b"], "nodes": ["node1"]},
            "a, b are started, some on each of node1",
        ),
        ("fencing_failed", {"node": "node1"}, "the cluster failed to fence node1 1 time more"),
        ("all_remote", {"nodes": ["remote1"]}, "remote1 is online as a remote node"),
    ],
)
def test_what_checks_say(check: str, arguments: dict[str, object], said: str) -> None:
    assert checks.load().words[check].say(arguments) == said
