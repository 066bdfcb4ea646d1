"""results.jsonl: what was written is read again, whatever happened to the harness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import events as e
from lab.errors import BadInput
from lab.report.results import Results, read

HAPPENED = (
    e.StepStarted(section="4.3.2", title="Integrate as Guest Node"),
    e.CommandEnded(
        section="4.3.2",
        node="guest1",
        text="crm_mon",
        exit=None,
        expected=(0, 1),
        output="→ one\r\n\u2028two\x1b[0m \udcff\n",
        seconds=1.5,
    ),
    e.RunEnded(verdict="passed", seconds=2.0),
)


def write(path: Path, *happened: e.Event) -> None:
    with Results(path) as report:
        for event in happened:
            report(event)


def as_read(event: e.Event) -> object:
    """What JSON makes of an event: its tuples are lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in event.to_json().items()}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    write(path, *HAPPENED)
    assert read(path) == [as_read(event) for event in HAPPENED]
    assert [event["event"] for event in read(path)] == ["StepStarted", "CommandEnded", "RunEnded"]


def test_every_line_is_json_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write(path, *HAPPENED)
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    assert [json.loads(line)["event"] for line in lines] == [
        type(event).__name__ for event in HAPPENED
    ]


def test_waiting_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write(path, e.Waiting(section="1", what="w", seen="s", left=1.0), HAPPENED[0])
    assert [event["event"] for event in read(path)] == ["StepStarted"]


def test_each_event_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    report = Results(path)
    report(HAPPENED[0])
    assert read(path) == [as_read(HAPPENED[0])]
    report.close()


def test_a_last_line_cut_off_anywhere_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write(path, *HAPPENED[:2])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) - 1):  # in the midst of a letter of several bytes too
        path.write_bytes(whole[:end])
        assert read(path) == [as_read(HAPPENED[0])], end
    path.write_bytes(whole[:-1])  # only the line end is missing
    assert len(read(path)) == 2


def test_appending_to_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write(path, *HAPPENED[:2])
    path.write_bytes(path.read_bytes()[:-9])
    write(path, HAPPENED[2])
    assert read(path) == [as_read(HAPPENED[0]), as_read(HAPPENED[2])]


@pytest.mark.parametrize("line", ["{", "[]", '{"a": 1}', ""])
def test_a_broken_line_in_between_is_an_error_that_names_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    write(path, HAPPENED[0])
    with path.open("a") as file:
        file.write(f'{line}\n{{"event": "RunEnded"}}\n')
    with pytest.raises(BadInput, match=r"results\.jsonl, line 2"):
        read(path)


def test_an_empty_file_holds_no_event(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.touch()
    assert read(path) == []
