"""`lab completion`: what a real bash offers where, once it has sourced the script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab import cli, faults, platforms, scenario

ASK = """
source "$1"; shift
COMP_WORDS=(lab "$@"); COMP_CWORD=$#
_shtab_lab
printf '%s\\n' "${COMPREPLY[@]}"
"""
FILES = ["guest.yaml", "guests.box", "guests.yml", "guest-dir/"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some files, and beside it a state with two labs, one of them half removed."""
    for name in FILES:
        path = tmp_path / "here" / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if name.endswith("/") else path.touch()
    labs = tmp_path / "state" / "labs"
    for lab in ("nemo", "dory"):
        (labs / lab).mkdir(parents=True)
        (labs / lab / "ssh_config").write_text(f"Include x\n\nHost {lab}1\n    Port 22\n")
    (labs / "nemo" / "lab.json").touch()
    return tmp_path


@pytest.fixture
def script(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert cli.main(["completion", "bash"]) == 0
    path = folder / "lab.bash"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], ["status"]),
        (["up", "guest"], ["guest-dir", "guest-quick-example", "guest-walkthrough", "guest.yaml",
                           "guests.yml"]),
        (["check", "scale", "guest."], ["guest.yaml"]),
        (["show", "scale", "--platform", ""], platforms.names()),
        (["matrix", "--platform", "debian-12", "--platform", "debian-1"], ["debian-12",
                                                                         "debian-13"]),
        (["book", "--drift", "centos-7"], ["centos-7"]),
        (["images", "build", "alma"], ["almalinux-9"]),
        (["up", "scale", "--provider", ""], ["auto", "podman", "vagrant"]),
        (["fault", "inject", "nemo1", ""], sorted(faults.load().words)),
        (["images", "export", "debian-12", "gues"], ["guest-dir", "guest.yaml", "guests.box",
                                                    "guests.yml"]),
        (["book", "--html", "guests."], ["guests.box", "guests.yml"]),
        (["matrix", "--output", "g"], ["guest-dir"]),
        (["down", ""], ["nemo"]),
        (["status", "n"], ["nemo"]),
        (["fault", "list", "--name", ""], ["nemo"]),
        (["ssh", "d"], ["dory1"]),
        (["words", "guest_onl"], ["guest_online"]),
    ],
)  # fmt: skip
def test_bash(folder: Path, script: Path, words: list[str], offered: list[str]) -> None:
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", str(script), *words],
        cwd=folder / "here",
        env={**os.environ, "LAB_STATE": str(folder / "state")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == offered


def test_every_scenario_is_offered(script: Path) -> None:
    assert f'compgen -W "{" ".join(scenario.names())}"' in script.read_text()


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert " ".join(platforms.names()) in said
    assert shell == "tcsh" or '"$(_lab_folders)"/*/lab.json' in said
