"""Chapters of the book on virtual machines that Vagrant brings up."""

from __future__ import annotations

import re

import pytest
from conftest import lab, no_secret
from leftovers import traces

from lab import paths

pytestmark = [pytest.mark.vagrant, pytest.mark.takes(1800)]

VERY_LONG = 5400.0  # seconds


@pytest.mark.parametrize(
    ("chapter", "platform"),
    [
        ("remote-walkthrough", "debian-12"),
        ("remote-walkthrough", "debian-13"),
        ("guest-walkthrough", "debian-12"),
        ("vm-cluster-nodes", "debian-12"),
        ("vm-remote-nodes", "debian-12"),
    ],
)
def test_a_chapter(name: str, chapter: str, platform: str) -> None:
    given = [chapter, "--provider", "vagrant", "--platform", platform, "--name", name]
    done = lab("up", *given, within=VERY_LONG)
    assert done.status == 0, done.output
    assert not re.search(r"^\S+ .*\b(FAIL|SKIP)\b", done.output, re.M), done.output
    no_secret(name, paths.results() / name / "latest")
    assert lab("down", name).status == 0
    assert traces(name) == []
