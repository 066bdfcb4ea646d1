"""The published JSON Schema of scenarios: up to date, true, and of use to an editor."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lab import checks, paths, scenario
from lab.schema import scenario_schema
from lab.yamlfile import Document

PUBLISHED = paths.SCENARIOS / "scenario.schema.json"
Data = dict[str, Any]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    published = json.loads(PUBLISHED.read_text())
    Draft202012Validator.check_schema(published)
    return Draft202012Validator(published)


def test_what_is_published_is_what_lab_schema_prints() -> None:
    """If this fails: lab schema > scenarios/scenario.schema.json"""
    assert json.loads(PUBLISHED.read_text()) == scenario_schema()


@pytest.mark.parametrize("name", scenario.names())
def test_scenarios_are_valid_and_name_it(validator: Draft202012Validator, name: str) -> None:
    path = scenario.find(name)
    assert [error.message for error in validator.iter_errors(Document(path).data)] == []
    first = path.read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={PUBLISHED.name}"


def chapter_5() -> Data:
    data: Data = copy.deepcopy(Document(scenario.find("remote-walkthrough")).data)
    return data


def _step(data: Data, section: str) -> Data:
    found: Data = next(step for step in data["steps"] if step["section"] == section)
    return found


WRONG: dict[str, Callable[[Data], object]] = {
    "no title": lambda data: data.pop("title"),
    "a key that there is not": lambda data: _step(data, "5.4").update(buk=[]),
    "a check that there is not": lambda data: _step(data, "5.4")["expect"].append({"on": {}}),
    "a misspelt argument": lambda data: _step(data, "5.4").update(
        expect=[{"resource_started": {"resource": "a", "nod": "node1"}}]
    ),
    "an argument of another type": lambda data: _step(data, "5.4").update(
        expect=[{"configured": {"nodes": "two", "resources": 1}}]
    ),
    "an action among the checks": lambda data: _step(data, "5.4").update(
        expect=[{"reboot": "node1"}]
    ),
    "two in one entry": lambda data: _step(data, "5.4").update(
        expect=[{"quorum": None, "no_failed_actions": None}]
    ),
    "a duration in hours": lambda data: _step(data, "5.4").update(within="2h"),
    "an address that is a number": lambda data: data["nodes"]["node1"].update(address=7),
    "a secret that no lab has": lambda data: _step(data, "5.4").update(
        book=[{"run": "x", "stdin": "root"}]
    ),
    "a phase that there is not": lambda data: _step(data, "5.4").update(
        expect=[{"recovery": {"phases": ["awoken"]}}]
    ),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_not_valid(
    validator: Draft202012Validator, change: Callable[[Data], object]
) -> None:
    data = chapter_5()
    change(data)
    assert not validator.is_valid(data)


@pytest.mark.parametrize(
    "entry",
    [
        {"remote_online": "remote1"},
        {"remote_online": {"remote": "remote1", "host": "node1"}},
        {"quorum": None},
        {"recovery": {"phases": ["fenced"]}},
    ],
)
def test_short_and_long_forms(validator: Draft202012Validator, entry: Data) -> None:
    data = chapter_5()
    _step(data, "5.4")["expect"] = [entry]
    assert validator.is_valid(data)


@pytest.mark.parametrize(
    ("more", "valid"),
    [({"when": "pcs > 1", "why": "since it is so"}, True), ({"when": "pcs > 1"}, False)],
)
def test_an_entry_on_some_platforms(
    validator: Draft202012Validator, more: Data, valid: bool
) -> None:
    data = chapter_5()
    _step(data, "5.4")["expect"] = [{"remote_online": "remote1"} | more]
    assert validator.is_valid(data) is valid


def test_every_word_is_explained() -> None:
    entries = scenario_schema()["$defs"]["check"]["properties"]
    assert set(entries) == {*checks.load().words, "when", "why"}
    for name in checks.load().words:
        entry = entries[name]
        assert entry["description"] == checks.check.words[name].about
        assert entry["description"]


def test_lab_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lab.cli import main

    wrong = tmp_path / "wrong.yaml"
    text = scenario.find("remote-walkthrough").read_text()
    wrong.write_text(text.replace("remote_online: remote1", "remote_online: remote7", 1))
    assert main(["check", "guest-walkthrough", str(wrong), "no-such-scenario"]) == 2
    told = capsys.readouterr()
    assert "guest-walkthrough: 17 sections, nothing is wrong" in told.out
    assert "there is no node 'remote7'; nodes: node1, node2, remote1" in told.out
    assert "there is no scenario 'no-such-scenario'" in told.out
    assert "2 of 3 are wrong" in told.err
    assert main(["check", "remote-walkthrough"]) == 0


def test_lab_check_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lab.cli import main

    twice = tmp_path / "twice.yaml"
    text = scenario.find("remote-walkthrough").read_text()
    twice.write_text(
        text.replace(
            "      - when: family == debian\n        before: 1\n",
            "      - when: openssh >= 9.0\n        replaces: 1\n",
            1,
        )
    )
    assert main(["check", str(twice)]) == 2
    told = capsys.readouterr().out
    assert f"{twice}:54: section 5.1.2, adapt [2], replaces: command 1 is replaced by " in told
