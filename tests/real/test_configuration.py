"""Chapter 3 as a user runs it, and options that do not do what they should."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import OFFLINE, forget, lab, no_secret

from lab import paths
from lab.report import results

pytestmark = [pytest.mark.real, pytest.mark.takes(400)]

Steps = dict[str, Any]
Part = dict[str, Any]
Make = Callable[[Callable[[Steps], None]], Path]


@pytest.mark.parametrize("altered", ["configuration-explained"], indirect=True)
def test_configuration_explained(name: str, altered: Make) -> None:
    """Up, all four sections with what is borrowed for them; then sabotage of 3.3."""
    done = lab("up", "configuration-explained", "--name", name, prefix=OFFLINE, within=1500)
    assert done.status == 0, done.output
    for section in ("4.1.7", "5.1.2", "4.3.1", "3.1", "3.2", "3.3", "3.4"):
        assert re.search(rf"^{re.escape(section)} .*\bPASS\b", done.output, re.M), done.output
    latest = paths.results() / name / "latest"
    no_secret(name, latest)
    _times(latest)
    _wrong_file(name, altered)
    _wrong_key_elsewhere(name, altered)


def _times(folder: Path) -> None:
    """The cluster gave up after the default time, and after the other one that was set."""
    events = results.read(folder / "results.jsonl")
    gave_up = [e for e in events if e["event"] == "Checked" and "gave up" in e["what"]]
    default, other = (int(e["seen"].split(" s")[0]) for e in gave_up)
    assert default - other >= 30


def _fails(name: str, scenario: Path, reason: str) -> None:
    """Section 3.3, done again, fails for that reason."""
    forget(name, "3.3")
    done = lab("up", str(scenario), "--name", name, "--until", "3.3")
    assert done.status == 1, done.output
    events = results.read(paths.results() / name / "latest" / "results.jsonl")
    (ended,) = [e for e in events if e["event"] == "StepEnded" and e["section"] == "3.3"]
    assert ended["verdict"] == "failed"
    assert reason in ended["problem"]


def _wrong_file(name: str, altered: Make) -> None:
    """The variables are written to a file that no service reads: the port stays as it was."""

    def change(steps: Steps) -> None:
        (part,) = [part for part in steps["3.3"]["parts"] if "book" in part]
        (adaptation,) = part["adapt"]
        adaptation["run"][0] = adaptation["run"][0].replace("/pacemaker\n", "/pacemaker_remote\n")
        steps["3.3"]["parts"] = [part | {"within": "5s"}]

    _fails(name, altered(change), "remote1 listens on tcp://3121; seen: nothing listens there")
    remove = "pcs resource delete remote1"
    assert lab("exec", "example-host", "--name", name, "--", remove).status == 0


def _wrong_key_elsewhere(name: str, altered: Make) -> None:
    """The wrong key lies in the default place, the right one where it is read: all is well, and
    a section that says that the connection is refused fails.
    """

    def change(steps: Steps) -> None:
        parts = steps["3.3"]["parts"]
        wrong = next(i for i, part in enumerate(parts) if _does(part, "if=/dev/urandom"))
        parts[wrong]["act"] = [
            {"run": {"node": "example-host", "command": "pcs resource disable remote1"}},
            {
                "run": {
                    "node": "remote1",
                    "command": "dd if=/dev/urandom of=/etc/pacemaker/authkey bs=4096 count=1",
                }
            },
            {"run": {"node": "remote1", "command": "systemctl restart pacemaker_remote"}},
        ]
        parts[wrong + 1]["within"] = "15s"
        steps["3.3"]["parts"] = parts[wrong - 1 : wrong + 2]

    _fails(name, altered(change), "a failed start of remote1 is recorded: Key was rejected")


def _does(part: Part, text: str) -> bool:
    """Whether a command of the part's actions has the text."""
    return any(text in str(action) for action in part.get("act", []))
