"""Scenarios as pytest items, on a real lab."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import await_room
from leftovers import traces

pytestmark = [pytest.mark.real, pytest.mark.takes(20)]

Make = Callable[[Callable[[dict[str, Any]], None]], Path]


def test_sections_are_items(name: str, altered: Make, tmp_path: Path) -> None:
    """A section each, a failure skips the later ones and says why, properties are in the XML."""

    def second_fails(steps: dict[str, Any]) -> None:
        steps["4.1.2"] |= {"book": ["false"], "adapt": []}

    report = tmp_path / "junit.xml"
    scenario = str(altered(second_fails))
    await_room(["up", scenario], 300)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            scenario,
            f"--junitxml={report}",
            f"--lab-name={name}",
            "-rfs",
            "-p",
            "no:cacheprovider",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed, 15 skipped" in done.stdout
    assert "guest-walkthrough.yaml::4.1.2 Install Cluster Software" in done.stdout
    assert "`false` ended with exit status 1, not 0" in done.stdout
    assert "section 4.1.2 failed" in done.stdout
    assert "Traceback" not in done.stdout
    cases = {c.get("name", "")[:5]: c for c in ET.parse(report).getroot().iter("testcase")}
    properties = {p.get("name"): p.get("value") for p in cases["4.1.1"].iter("property")}
    assert properties["section"] == "4.1.1"
    assert float(properties["cluster_seconds"] or "nan") > 0
    assert cases["4.1.3"].find("skipped") is not None
    assert traces(name) == []  # the plugin removed its lab
