"""Labs of several state folders on one machine: whose a lab is, and who may remove it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typed import typed

from lab import doctor as doctors
from lab import owner, paths, providers
from lab.errors import BadInput
from lab.lab import Lab
from lab.labs import down, held

WALK = "guest-walkthrough"
SCENARIO = paths.SCENARIOS / f"{WALK}.yaml"
GONE = "machines without their folder; lab down {} removes what is there"
Run = Callable[..., tuple[int, str, str]]


class Machines:
    """A provider whose machines are names of labs."""

    name = "podman"

    def __init__(self) -> None:
        self.there: set[str] = set()

    def labs(self) -> set[str]:
        return self.there

    def down(self, lab: str) -> None:
        self.there.discard(lab)

    def running(self, lab: str) -> dict[str, bool]:
        return {"example-host": True} if lab in self.there else {}

    def guests(self) -> str:
        return "inside"


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """This machine, with the state folder `mine` in use."""
    made = Machines()
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "mine"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(doctors, "require", lambda *_: None)
    monkeypatch.setattr(providers, "load", lambda _name: made)
    return made


@pytest.fixture
def theirs(tmp_path: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another state folder, with a lab `dory` that is up."""
    with monkeypatch.context() as there:
        there.setenv("LAB_STATE", str(tmp_path / "theirs"))
        Lab.create("dory", SCENARIO, "debian-12", "podman")
    machines.there.add("dory")
    return tmp_path / "theirs"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return partial(typed, capsys)


def mine(name: str, machines: Machines) -> None:
    Lab.create(name, SCENARIO, "debian-12", "podman")
    machines.there.add(name)


def problems(run: Run) -> dict[str, str]:
    rows: list[dict[str, Any]] = json.loads(run("list", "--json")[1])["labs"]
    return {row["name"]: row.get("problem", "") for row in rows}


def test_whose_it_is_is_on_record_before_anything_is_made(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_lab: Lab) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Lab, "save", full)
    with pytest.raises(OSError, match="No space"):
        mine("nemo", machines)
    assert owner.names() == {"nemo"}
    assert (tmp_path / "run/owners/nemo").read_text() == f"{tmp_path / 'mine'}\n"


def test_the_list_says_whose_a_lab_is(run: Run, theirs: Path, machines: Machines) -> None:
    mine("nemo", machines)
    machines.there.add("marlin")
    assert problems(run) == {
        "dory": f"belongs to LAB_STATE={theirs}",
        "marlin": GONE.format("marlin"),
        "nemo": "",
    }


@pytest.mark.parametrize("command", [["down"], ["status"], ["report"], ["ssh-config"]])
def test_the_only_lab_is_the_only_one_here(run: Run, theirs: Path, command: list[str]) -> None:
    status, out, err = run(*command)
    assert (status, out) == (2, "")
    assert err == "lab: there is no lab\n  try: lab up SCENARIO makes one\n"
    assert theirs.exists()


def test_down_takes_the_only_one_here(run: Run, theirs: Path, machines: Machines) -> None:
    mine("nemo", machines)
    assert run("down")[0] == 0
    assert machines.there == {"dory"}
    assert (theirs / "labs/dory/lab.json").exists()


def test_down_all_leaves_it_and_says_so(run: Run, theirs: Path, machines: Machines) -> None:
    mine("nemo", machines)
    machines.there.add("marlin")  # of nobody knows whom, as before
    status, out, _ = run("down", "--all")
    assert status == 0
    assert f"lab dory stays: it belongs to LAB_STATE={theirs}" in out
    assert machines.there == {"dory"}
    assert owner.names() == {"dory"}


@pytest.mark.parametrize(
    "command",
    [
        ["down", "dory"],
        ["status", "dory"],
        ["ssh", "example-host", "--name", "dory"],
        ["fault", "list", "--name", "dory"],
        ["up", WALK, "--name", "dory"],
    ],
)
def test_a_lab_of_another_state_folder_is_refused(
    run: Run, theirs: Path, machines: Machines, command: list[str]
) -> None:
    status, _, err = run(*command)
    assert status == 2
    assert f"lab dory belongs to another state folder: {theirs}" in err
    assert f"try: set LAB_STATE={theirs}" in err
    assert machines.there == {"dory"}
    assert owner.names() == {"dory"}


def test_also_while_it_is_in_use(run: Run, theirs: Path) -> None:
    with held("dory"):
        status, _, err = run("down", "dory")
    assert (status, str(theirs) in err) == (2, True)


def test_the_library_refuses_too(theirs: Path, machines: Machines) -> None:
    with pytest.raises(BadInput, match=str(theirs)):
        down("dory")
    assert machines.there == {"dory"}


@pytest.mark.parametrize("gone", ["labs/dory", "."])
@pytest.mark.parametrize("command", [["down"], ["down", "dory"], ["down", "--all"]])
def test_one_whose_folder_is_really_gone_is_removed(
    run: Run, theirs: Path, machines: Machines, gone: str, command: list[str]
) -> None:
    shutil.rmtree(theirs / gone)
    assert problems(run) == {"dory": GONE.format("dory")}
    assert run(*command)[0] == 0
    assert machines.there == set()
    assert owner.names() == set()


def test_another_way_to_the_same_folder_is_no_other_one(
    run: Run, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine("nemo", machines)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "link"))
    assert problems(run) == {"nemo": ""}
    assert run("down", "nemo")[0] == 0


def test_a_record_that_was_cut_off_is_none(run: Run, theirs: Path, machines: Machines) -> None:
    (paths.RUN / "owners/dory").write_text("")
    assert theirs.exists()
    assert run("down", "dory")[0] == 0
    assert machines.there == set()


def test_a_lab_that_could_not_be_made_leaves_no_record(
    run: Run, machines: Machines, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/labs").touch()
    assert run("up", WALK, "--provider", "podman")[0] == 3
    assert owner.names() == machines.there == set()


@pytest.mark.parametrize(
    "command",
    [
        ["up", WALK, "--name", ""],
        ["down", ""],
        ["status", ""],
        ["ssh-config", ""],
        ["report", ""],
        ["ssh", "example-host", "--name", ""],
        ["exec", "example-host", "--name=", "--", "true"],
        ["inside", "--name", "", "--", "true"],
        ["fault", "inject", "example-host", "cut", "--name", ""],
        ["fault", "list", "--name", ""],
        ["fault", "heal", "--name", ""],
        ["snapshot", "save", "here", "--name", ""],
        ["snapshot", "list", "--name", ""],
    ],
)
def test_an_empty_name_is_no_name(run: Run, machines: Machines, command: list[str]) -> None:
    mine("nemo", machines)
    status, _, err = run(*command)
    assert status == 2
    assert ": must not be empty" in err
    assert machines.there == {"nemo"}
