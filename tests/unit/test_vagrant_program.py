"""Vagrant is run where the lab's libvirtd is, with nothing of this machine's, by a deadline.

The `vagrant` here is a script in PATH that writes down how it was called.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import command, paths, vagrant_cli
from lab.deadline import Deadline, wait_for
from lab.errors import CannotRun, CommandFailed
from lab.providers import libvirtd
from lab.providers.vagrant_program import Program

FAKE = """\
#!/bin/sh
echo "$@" >> "$FAKE/calls"
env > "$FAKE/env"
ls -a "$VAGRANT_HOME" > "$FAKE/home"
. "$FAKE/does"
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what it is to do and of what it was told."""
    folder = tmp_path / "fake"
    folder.mkdir()
    program = folder / "vagrant"
    program.write_text(FAKE)
    program.chmod(0o755)
    (folder / "does").write_text("")
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def inside(lab: str, argv: Sequence[str]) -> list[str]:
        return ["env", f"INSIDE={lab}", *argv]

    monkeypatch.setattr(libvirtd, "inside", inside)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A VAGRANT_HOME that has a box."""
    (tmp_path / "home/boxes/lab-VAGRANTSLASH-debian-12").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def program(fake: Path, home: Path, tmp_path: Path, said: list[str]) -> Program:
    (tmp_path / "vms").mkdir()
    return Program("nemo", home, tmp_path / "vms/nodes.json", said.append)


def environment(fake: Path) -> dict[str, str]:
    lines = (fake / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_how_it_is_called(program: Program, fake: Path, home: Path, tmp_path: Path) -> None:
    program.bring_up(20)
    (call,) = (fake / "calls").read_text().splitlines()
    assert call.split()[0] == "up"
    assert "--provider=libvirt" in call.split()
    found = environment(fake)
    own = tmp_path / "vms/vagrant"
    expected = {
        "INSIDE": "nemo",
        "LAB_NODES": str(tmp_path / "vms/nodes.json"),
        "VAGRANT_CWD": str(paths.ROOT),
        "VAGRANT_HOME": str(own),
        "VAGRANT_DOTFILE_PATH": str(own / "dot"),
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_NO_COLOR": "1",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert (own / "boxes").resolve() == home / "boxes"
    # What Vagrant keeps is in the lab's folder, not in the home that labs share.
    assert [path.name for path in home.iterdir()] == ["boxes"]


def test_a_second_one_for_the_same_lab(program: Program, home: Path, tmp_path: Path) -> None:
    again = Program("nemo", home, tmp_path / "vms/nodes.json", print)
    assert again.env == program.env


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("==> node1: Creating image (snapshot of base box volume).", True),
        ("    node1: Waiting for SSH to become available...", True),
        ("==> node1:  -- Memory:            1024M", False),
        ("    node1: Warning: Connection refused. Retrying...", False),
        ("    node1: Warning: Host unreachable. Retrying...", False),
        ("Bringing machine 'node1' up with 'libvirt' provider...", False),
        ("", False),
    ],
)
def test_what_is_told_of_it(
    program: Program, fake: Path, said: list[str], line: str, told: bool
) -> None:
    (fake / "does").write_text(f"cat <<'END'\n{line}\nEND\n")
    program.bring_up(20)
    assert said == ([f"vagrant: {line[4:].strip()}"] if told else [])


def test_it_fails(program: Program, fake: Path) -> None:
    (fake / "does").write_text("echo more; echo the volume is there already >&2; exit 4\n")
    with pytest.raises(CommandFailed) as caught:
        program.bring_up(20)
    assert caught.value.message.endswith("the volume is there already")
    assert "vagrant" in caught.value.message


def test_it_hangs(program: Program, fake: Path) -> None:
    """The deadline ends it and what it started, and the message names the deadline."""
    (fake / "does").write_text(
        'sleep 300 & echo $! > "$FAKE/child"; echo $$ > "$FAKE/self"; wait\n'
    )
    with pytest.raises(CommandFailed, match="did not end within 1 s"):
        program.bring_up(1)
    for name in ("self", "child"):
        pid = int((fake / name).read_text())
        assert wait_for(lambda pid=pid: gone(pid), bool, Deadline(5)), name  # type: ignore[misc]


# Questions


def test_a_question(fake: Path) -> None:
    (fake / "does").write_text("echo Vagrant 2.3.4\n")
    assert vagrant_cli.ask("--version") == "Vagrant 2.3.4\n"
    assert (fake / "calls").read_text() == "--version\n"
    found = environment(fake)
    assert "INSIDE" not in found  # there is no lab yet
    assert found["VAGRANT_CHECKPOINT_DISABLE"] == "1"
    assert (fake / "home").read_text().split() == [".", ".."]  # no plugins of anybody's own
    assert not Path(found["VAGRANT_HOME"]).exists()


def test_a_question_that_fails(fake: Path) -> None:
    (fake / "does").write_text("echo no Ruby >&2; exit 1\n")
    with pytest.raises(CommandFailed, match="no Ruby"):
        vagrant_cli.ask("--version")


def test_a_question_without_vagrant(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake / "vagrant").unlink()
    monkeypatch.setenv("PATH", str(fake))
    with pytest.raises(CannotRun, match="vagrant is not installed"):
        vagrant_cli.ask("--version")


def test_a_question_has_a_deadline(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines: list[float] = []
    real = command.run

    def run(*arguments: object, **options: object) -> object:
        deadlines.append(options["within"])  # type: ignore[arg-type]
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "run", run)
    vagrant_cli.ask("--version")
    assert deadlines == [vagrant_cli.ASK]


def test_nothing_is_said_where_vagrant_is_missing(tmp_path: Path) -> None:
    """python-vagrant complains of it when it is imported; `lab list` does not import it at all."""
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; from lab import providers; providers.every(); "
            "assert 'vagrant' not in sys.modules; import lab.providers.vagrant_program as p; "
            "assert 'vagrant' in sys.modules; assert p.vagrant.which('vagrant') is None",
        ],
        cwd=paths.ROOT,
        env={"PATH": str(tmp_path), "PYTHONWARNINGS": "default::UserWarning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_plugins(fake: Path) -> None:
    (fake / "does").write_text(
        "echo 'vagrant-libvirt (0.11.2, system)'; echo '  - Version Constraint: > 0'\n"
        "echo 'vagrant-share (2.0.0, global, local)'\n"
    )
    assert vagrant_cli.plugins() == {"vagrant-libvirt": "0.11.2", "vagrant-share": "2.0.0"}
    (fake / "does").write_text("echo 'No plugins installed.'\n")
    assert vagrant_cli.plugins() == {}


@pytest.mark.parametrize("said", ["Vagrant 2.2.16", "Vagrant 2.3.4\n", "Vagrant 2.4.9", "2.3"])
def test_versions_that_are_supported(said: str) -> None:
    vagrant_cli.check_version(said)


@pytest.mark.parametrize(
    "said",
    [
        "Vagrant 2.2.15",
        "Vagrant 1.9.8",
        "Vagrant 2.5",
        "Vagrant 2.5.0",
        "Vagrant 10.0.0",
        "",
        "nonsense",
    ],
)
def test_versions_that_are_not(said: str) -> None:
    with pytest.raises(CannotRun, match=r"not supported; lab works with 2\.2\.16 to below 2\.5"):
        vagrant_cli.check_version(said)
