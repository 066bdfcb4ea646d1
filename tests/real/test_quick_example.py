"""Chapter 2 for real: a web server on a guest node; and what must not pass for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import OFFLINE, forget, lab

from lab import paths
from lab.report import results

pytestmark = [pytest.mark.nightly, pytest.mark.takes(240)]

Steps = dict[str, Any]
Make = Callable[[Callable[[Steps], None]], Path]
SERVED = {"page_served": {"source": "example-host", "server": "guest1", "text": "guest1"}}


@pytest.mark.parametrize("altered", ["guest-quick-example"], indirect=True)
def test_quick_example(name: str, altered: Make) -> None:
    """Up; then a page of another machine, and one that the firewall keeps back."""
    done = lab("up", "guest-quick-example", "--name", name, prefix=OFFLINE)
    assert done.status == 0, done.output
    events = results.read(paths.results() / name / "latest" / "results.jsonl")
    ended = {e["section"]: e for e in events if e["event"] == "StepEnded"}
    assert {e["verdict"] for e in ended.values()} == {"passed"}
    assert ended["4.3.1"]["origin"] == "guest-walkthrough"
    assert ended["2.2"]["origin"] == ""

    def only_the_page(steps: Steps) -> None:
        part = {"expect": [{"guest_online": {"guest": "guest1", "host": "example-host"}}, SERVED]}
        steps["2.2"]["parts"] = [part | {"within": "5s"}]

    for breaks, mends, seen in (
        ("echo elsewhere > PAGE", "hostname > PAGE", "200 elsewhere"),
        ("firewall-cmd --remove-service=http", "firewall-cmd --add-service=http", "no answer"),
    ):
        forget(name, "2.2")
        _on_guest(name, breaks)
        done = lab("up", str(altered(only_the_page)), "--name", name)
        assert done.status == 1, done.output
        events = results.read(paths.results() / name / "latest" / "results.jsonl")
        (ended_now,) = [e for e in events if e["event"] == "StepEnded"]
        assert "guest1 serves a page with 'guest1'" in ended_now["problem"]
        assert seen in ended_now["problem"]
        _on_guest(name, mends)
        done = lab("up", str(altered(only_the_page)), "--name", name)
        assert done.status == 0, done.output


def _on_guest(name: str, command: str) -> None:
    line = command.replace("PAGE", "/var/www/html/index.html")
    done = lab("exec", "guest1", "--name", name, "--", line)
    assert done.status == 0, done.output
