"""`lab show`: a plan in words and as JSON, whatever the scenario says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import cli
from lab.commands import Screen, columns

SCENARIO = """\
title: T
about: A
chapter: "4"
nodes:
  node1: {address: 192.168.122.101}
  node2: {address: 192.168.122.102}
steps:
  - section: "4.1"
    title: One
    where: node1
    act:
      - run: {node: node1, command: echo act}
"""


def show(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert cli.main(["show", str(path), *options]) == 0
    return capsys.readouterr().out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.mark.parametrize("text", ["T [/foo]", "[bold]x[/bold]", "[red]", ":warning: [link=x]"])
def test_texts_are_no_markup(path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    edited = SCENARIO.replace("title: T", f"title: '{text}'").replace("One", f"'One {text}'")
    path.write_text(edited.replace("echo act", f"'echo {text}'"))
    said = show(path, capsys)
    assert f"4  {text}, on Debian 12" in said
    assert f"4.1  One {text}\n" in said
    assert f"echo {text}" in said


def test_tables_have_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = columns("name")
    table.add_row("[/foo] [bold]x[/bold] :warning:")
    Screen().print(table)
    assert "[/foo] [bold]x[/bold] :warning:" in capsys.readouterr().out
