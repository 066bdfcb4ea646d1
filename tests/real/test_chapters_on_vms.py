"""Chapters of the book on virtual machines that Vagrant brings up."""

from __future__ import annotations

import re

import pytest
from conftest import lab, no_secret, traces

from lab import paths

pytestmark = [pytest.mark.vagrant, pytest.mark.takes(1800)]

VERY_LONG = 5400.0  # seconds


@pytest.mark.parametrize("chapter", ["remote-walkthrough", "guest-walkthrough"])
def test_a_chapter(name: str, chapter: str) -> None:
    done = lab("up", chapter, "--provider", "vagrant", "--name", name, within=VERY_LONG)
    assert done.status == 0, done.output
    assert not re.search(r"^\S+ .*\b(FAIL|SKIP)\b", done.output, re.M), done.output
    no_secret(name, paths.results() / name / "latest")
    assert lab("down", name).status == 0
    assert traces(name) == []
