"""The example workflows: what they type is what the command line and the Makefile take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import cli
from lab.errors import BadInput
from lab.matrix import cells, outcome

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "ci"
GITHUB: dict[str, Any] = yaml.safe_load((FOLDER / "github-actions.yml").read_text())
GITLAB: dict[str, Any] = yaml.safe_load((FOLDER / "gitlab-ci.yml").read_text())
(HUB_JOB,) = GITHUB["jobs"].values()
(LAB_JOB,) = GITLAB.values()


def hub_commands(shard: int) -> list[str]:
    """What the job of a shard types on GitHub's runner."""
    known = {
        "matrix.shard": str(shard),
        "strategy.job-total": str(len(HUB_JOB["strategy"]["matrix"]["shard"])),
    }
    text = "\n".join(step["run"] for step in HUB_JOB["steps"] if "run" in step)
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], text).splitlines()


def lab_commands(shard: int) -> list[str]:
    """Likewise on GitLab's."""
    known = {"CI_NODE_INDEX": str(shard), "CI_NODE_TOTAL": str(LAB_JOB["parallel"])}
    text = "\n".join([*LAB_JOB["script"], *LAB_JOB["after_script"]])
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], text).splitlines()


def accepted(line: str) -> Any:
    """The options of a `lab` command, or the target of a `make`; an error for anything else."""
    program, *words = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words) <= set(targets), line
        return words
    assert program == ".venv/bin/lab", line
    return cli.parser().parse_args(words)


@pytest.mark.parametrize("commands", [hub_commands, lab_commands])
def test_commands_are_accepted(commands: Any) -> None:
    """… and the shards of all runners together are everything."""
    shards = []
    for number in (1, 2, 3):
        found = [accepted(line) for line in commands(number)]
        assert ["setup"] in found
        (matrix,) = [one for one in found if getattr(one, "command", "") == "matrix"]
        assert matrix.output == "matrix"
        shards.append(cells.parse_shard(matrix.shard))
    assert shards == [(1, 3), (2, 3), (3, 3)]


def test_a_command_that_is_none_is_found() -> None:
    with pytest.raises(BadInput, match="unrecognized arguments: --shards"):
        accepted(".venv/bin/lab matrix --shards 1/2")
    with pytest.raises(AssertionError):
        accepted("make setups")
    with pytest.raises(AssertionError):
        accepted("lab matrix")


def test_what_is_published() -> None:
    """Folders that a matrix makes, and JUnit where each looks for it; on failure above all."""
    made = {*outcome.FOLDERS, "summary.json"}
    uploads = [step for step in HUB_JOB["steps"] if "upload-artifact" in step.get("uses", "")]
    named = [line for step in uploads for line in step["with"]["path"].split()]
    assert {path.strip("/").removeprefix("matrix/") for path in named} == made
    assert all(step["if"] == "always()" for step in uploads)
    artifacts = LAB_JOB["artifacts"]
    assert artifacts["reports"]["junit"] == "matrix/junit/*.xml"
    assert artifacts["paths"] == ["matrix/"]
    assert artifacts["when"] == "always"
