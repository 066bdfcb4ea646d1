"""`lab show`: a plan in words and as JSON, whatever the scenario says."""

from __future__ import annotations

import json
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


PARTS = (
    SCENARIO[: SCENARIO.index("    act:")]
    + """\
    parts:
      - before: [dc: node1]
        book: [echo one, {run: echo two, exit: [1, 3], where: [node1, node2], stdin: hacluster}]
        adapt:
          - {when: family == debian, before: 1, run: ["cat << END\\nx\\nEND"], why: for Debian only}
        within: 90s
        expect:
          - {when: pcs > 0.1, why: since it is not old, printed: {command: 2, text: x}}
        departs:
          - kind: output
            book: it prints nothing at all
            now: it prints a whole lot
            shown_by: {printed: lot}
      - act:
          - run: {node: node2, command: "echo a\\necho b", exits: [0, 1], secret: bmc}
          - {when: pcs > 0.1, why: since it is not old, reboot: node1}
        fault: [cut: node1]
        healed: [dc: node1]
"""
)


def test_all_that_a_plan_has(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(PARTS)
    assert (
        show(path, capsys)
        == """\
4  T, on Debian 12 (bookworm)

4.1  One
  part 1 of 2
  before: node1 is the DC
added   [root@node1 ~]# cat << END
        > x
        > END
          because: for Debian only
        [root@node1 ~]# echo one
        [root@node1,node2 ~]# echo two
          exit status: 1 or 3
          reads: the password of hacluster
  within 90 s
  expect: command 2 prints 'x'
          because: since it is not old
  expect: command 1 prints 'lot'
          the book: it prints nothing at all
          today: it prints a whole lot
  part 2 of 2
      » [root@node2 ~]# echo a
        > echo b
          exit status: 0 or 1
          reads: the password of bmc
  » reboot node1
          because: since it is not old
  fault: the network cable of node1 is pulled
  within 30 s
  healed: node1 is the DC

2 commands of the book verbatim, 0 adapted, 1 added
"""
    )


def test_all_that_a_plan_has_as_data(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(PARTS)
    (section,) = json.loads(show(path, capsys, "--json"))["sections"]
    first, second = section["parts"]
    assert (first["within"], second["within"]) == (90, 30)
    assert [(c["nodes"], c["exit"], c["secret"]) for c in first["commands"]] == [
        (["node1"], [0], ""),
        (["node1"], [0], ""),
        (["node1", "node2"], [1, 3], "hacluster"),
    ]
    assert first["expect"] == [
        {
            "text": "command 2 prints 'x'",
            "word": "printed",
            "arguments": {"command": 2, "text": "x"},
            "why": "since it is not old",
            "departs": None,
        },
        {
            "text": "command 1 prints 'lot'",
            "word": "printed",
            "arguments": {"text": "lot"},
            "why": "",
            "departs": {
                "kind": "output",
                "book": "it prints nothing at all",
                "now": "it prints a whole lot",
            },
        },
    ]
    assert [use["why"] for use in second["actions"]] == ["", "since it is not old"]
    assert [use["word"] for use in (*second["faults"], *second["healed"])] == ["cut", "dc"]
