"""The example workflows: what they type is what the command line and the Makefile take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import grammar
from lab.errors import BadInput
from lab.matrix import cells, outcome

CLEAN = "clean -ffdx -e .venv"
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "ci"
REMOVE = "remove the first # of each line that follows.\n"


def whole(name: str) -> dict[str, Any]:
    """An example, with the job that is there in comments."""
    text, _, comments = (FOLDER / name).read_text().partition(REMOVE)
    lines = comments.splitlines()
    assert lines
    assert all(line.startswith("#") for line in lines)
    found: dict[str, Any] = yaml.safe_load(text + "\n" + "\n".join(line[1:] for line in lines))
    return found


HUB_JOBS = list(whole("github-actions.yml")["jobs"].values())
LAB_JOBS = list(whole("gitlab-ci.yml").values())


def hub_commands(job: dict[str, Any], shard: int) -> list[str]:
    """What a job types for a shard on GitHub's runner."""
    known = {
        "matrix.shard": str(shard),
        "strategy.job-total": str(len(job["strategy"]["matrix"]["shard"])),
    }
    text = "\n".join(step["run"] for step in job["steps"] if "run" in step)
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], text).splitlines()


def lab_commands(job: dict[str, Any], shard: int) -> list[str]:
    """Likewise on GitLab's."""
    known = {"CI_NODE_INDEX": str(shard), "CI_NODE_TOTAL": str(job["parallel"])}
    text = "\n".join([*job["script"], *job["after_script"]])
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], text).splitlines()


def accepted(line: str) -> Any:
    """The options of a `lab` command, or the target of a `make`; an error for anything else."""
    program, *words = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words) <= set(targets), line
        return words
    assert program == ".venv/bin/lab", line
    return grammar.parser().parse_args(words)


@pytest.mark.parametrize(("commands", "jobs"), [(hub_commands, HUB_JOBS), (lab_commands, LAB_JOBS)])
@pytest.mark.parametrize(
    ("number", "setup", "provider"), [(0, "setup", "podman"), (1, "setup-vagrant", "vagrant")]
)
def test_commands_are_accepted(
    commands: Any, jobs: list[dict[str, Any]], number: int, setup: str, provider: str
) -> None:
    """… and the shards of all runners together are everything."""
    assert len(jobs) == 2
    shards = []
    for shard in (1, 2, 3):
        found = [accepted(line) for line in commands(jobs[number], shard) if line != f"git {CLEAN}"]
        assert found[0] == [setup]
        doctor, matrix = found[1:3]
        assert (doctor.command, matrix.command) == ("doctor", "matrix")
        assert (matrix.output, matrix.provider, matrix.emulated) == ("matrix", provider, False)
        assert doctor.provider in (provider, "auto")
        shards.append(cells.parse_shard(matrix.shard))
    assert shards == [(1, 3), (2, 3), (3, 3)]


def test_of_last_night_only_what_setup_made_is_left() -> None:
    """Else its results would be published again where there are none of this night."""
    for job in HUB_JOBS:
        checkout, clean, *_ = job["steps"]
        assert (checkout["with"]["clean"], clean["run"]) == (False, f"git {CLEAN}")
    for job in LAB_JOBS:
        assert f"clean {job['variables']['GIT_CLEAN_FLAGS']}" == CLEAN


def test_a_copied_example_has_one_job() -> None:
    """The other one is a comment, which not everybody's runners could do."""
    assert len(yaml.safe_load((FOLDER / "github-actions.yml").read_text())["jobs"]) == 1
    assert len(yaml.safe_load((FOLDER / "gitlab-ci.yml").read_text())) == 1


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
    artefacts = []
    for job in HUB_JOBS:
        uploads = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
        named = [line for step in uploads for line in step["with"]["path"].split()]
        assert {path.strip("/").removeprefix("matrix/") for path in named} == made
        assert all(step["if"] == "always()" for step in uploads)
        artefacts += [step["with"]["name"] for step in uploads]
    assert len(set(artefacts)) == len(artefacts)  # a second one of a name is refused
    for job in LAB_JOBS:
        artifacts = job["artifacts"]
        assert artifacts["reports"]["junit"] == "matrix/junit/*.xml"
        assert artifacts["paths"] == ["matrix/"]
        assert artifacts["when"] == "always"
