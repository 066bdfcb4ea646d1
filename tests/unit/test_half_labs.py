"""Labs of which something is missing: the scenario's file, the folder, what is in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typed import typed

from lab import doctor as doctors
from lab import paths, providers
from lab.lab import Lab

Run = Callable[..., tuple[int, str, str]]


class Nothing:
    """A provider that has no machines."""

    name = "podman"

    def labs(self) -> set[str]:
        return set()

    def down(self, _lab: str) -> None:
        pass

    def running(self, _lab: str) -> dict[str, bool]:
        return {}


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of labs."""
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(doctors, "require", lambda *_: None)
    monkeypatch.setattr(providers, "load", lambda _name: Nothing())
    (tmp_path / "state/labs").mkdir(parents=True)
    return tmp_path / "state/labs"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return partial(typed, capsys)


@pytest.fixture
def own(labs: Path, tmp_path: Path) -> Path:
    """The scenario's file of a lab `nemo` that was brought up."""
    file = tmp_path / "mine.yaml"
    shutil.copy(paths.SCENARIOS / "guest-walkthrough.yaml", file)
    Lab.create("nemo", file, "debian-12", "podman")
    (labs / "nemo/ssh_config").write_text("# nemo\n\nHost one\n    User root\n\nHost two\n")
    return file


def spoil(file: Path, how: str) -> None:
    if how == "moved":
        file.rename(file.with_name("elsewhere.yaml"))
    else:
        file.write_text(file.read_text().replace("steps:", "stepps:"))


@pytest.mark.parametrize("how", ["moved", "typo"])
def test_the_lab_the_file_and_the_way_out_are_named(run: Run, own: Path, how: str) -> None:
    spoil(own, how)
    status, out, err = run("status", "nemo")
    assert (status, out) == (2, "")
    assert err.startswith(f"lab: the scenario of lab nemo cannot be used: {own}:")
    assert "lab down nemo works without it" in err
    assert str(own) in run("list", "--json")[1]
    assert run("down", "nemo")[0] == 0
    assert not (paths.labs() / "nemo").exists()


@pytest.mark.parametrize("how", ["moved", "typo"])
def test_ssh_needs_the_ssh_config_alone(
    run: Run, own: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _file, argv: became.append(argv))
    spoil(own, how)
    config = str(paths.labs() / "nemo/ssh_config")
    assert run("ssh-config", "nemo") == (0, f"{config}\n", "")
    run("ssh", "two")
    run("exec", "one", "--", "true")
    assert became == [["ssh", "-F", config, "two"], ["ssh", "-F", config, "one", "true"]]
    status, _, err = run("ssh", "three")
    assert (status, len(became)) == (2, 2)
    assert err == "lab: lab nemo has no node 'three'; nodes: one, two\n"


def _file(place: Path) -> None:
    place.write_text("x")


def _folder(place: Path) -> None:
    (place / "deeper").mkdir(parents=True)


def _link(place: Path) -> None:
    place.symlink_to("/nowhere")


def _link_to_a_folder(place: Path) -> None:
    (place.parent.parent / "precious/deeper").mkdir(parents=True)
    place.symlink_to(place.parent.parent / "precious")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_file, "is no folder"),
        (Path.mkdir, "is empty"),
        (_folder, "has no lab.json"),
        (_link, "is no folder"),
        (_link_to_a_folder, "has no lab.json"),
    ],
)
def test_what_is_no_lab_is_called_what_it_is(
    run: Run, labs: Path, make: Callable[[Path], None], says: str
) -> None:
    place = labs / "nemo"
    make(place)
    (row,) = json.loads(run("list", "--json")[1])["labs"]
    assert row["problem"] == f"{place} {says}; lab down nemo removes what is there"
    assert run("down", "nemo")[0] == 0
    assert not os.path.lexists(place)
    assert json.loads(run("list", "--json")[1])["labs"] == []
    assert not (labs.parent / "precious").exists() or (labs.parent / "precious/deeper").is_dir()
