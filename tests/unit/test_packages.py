"""What a package manager says of packages, asked once: dpkg-query's way and rpm's."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from lab.errors import CommandFailed
from lab.fields import Family
from lab.machine import Machine, Result
from lab.packages import installed

# A package manager that knows one package and not the others, in each family's manner.
DPKG = """\
shift 2
for name; do
    case $name in
        pcs) echo "installed pcs 1:0.11.5-1+deb12u1" ;;
        gone) echo "config-files gone 1.0" ;;
        *) echo "dpkg-query: no packages found matching $name" >&2; status=1 ;;
    esac
done
exit ${status:-0}
"""
RPM = """\
shift 3
for name; do
    case $name in
        pcs) echo "installed pcs 0.9.158" ;;
        *) echo "package $name is not installed"; missing=$((missing + 1)) ;;
    esac
done
exit ${missing:-0}
"""
SCRIPTS = {"debian": ("dpkg-query", DPKG, "1:0.11.5-1+deb12u1"), "redhat": ("rpm", RPM, "0.9.158")}


class Local:
    """Commands are run by this machine's shell, with that folder's programs alone."""

    name = "node1"

    def __init__(self, folder: Path, program: str, script: str) -> None:
        self.folder = folder
        self.asked = 0
        path = folder / program
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)

    def run(self, command: str) -> Result:
        self.asked += 1
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={"PATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(command, done.returncode, done.stdout, done.stderr, 0.1)


def machine(folder: Path, family: str, script: str = "") -> Any:
    program, usual, _ = SCRIPTS[family]
    return cast(Machine, Local(folder, program, script or usual))


@pytest.mark.parametrize("family", ["debian", "redhat"])
def test_one_question_for_all(tmp_path: Path, family: Family) -> None:
    asked = machine(tmp_path, family)
    names = ["none", "pcs", "it's none"]
    assert installed(asked, family, names) == {"pcs": SCRIPTS[family][2]}
    assert installed(asked, family, ["pcs"]) == {"pcs": SCRIPTS[family][2]}
    assert installed(asked, family, ["none", "neither"]) == {}
    assert asked.asked == 3


def test_what_was_removed_is_not_there_though_its_configuration_is(tmp_path: Path) -> None:
    assert installed(machine(tmp_path, "debian"), "debian", ["gone"]) == {}


@pytest.mark.parametrize("family", ["debian", "redhat"])
def test_who_cannot_tell_has_not_said_that_nothing_is_there(tmp_path: Path, family: Family) -> None:
    asked = machine(tmp_path, family, "echo 'the database is locked' >&2; exit 2\n")
    with pytest.raises(CommandFailed, match="on node1, packages: the database is locked"):
        installed(asked, family, ["pcs"])
    (tmp_path / SCRIPTS[family][0]).unlink()
    with pytest.raises(CommandFailed, match="not found"):
        installed(asked, family, ["pcs"])
