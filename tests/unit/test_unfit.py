"""`lab up` as a process of its own, where it cannot work: by another user, and without podman."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lab import paths
from lab.doctor import PROGRAMS

NOBODY = 65534
BECOME = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
UP = ["-m", "lab.cli", "up", "guest-walkthrough", "--name", "unfit"]
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def refused(argv: Sequence[str], env: Mapping[str, str], home: Path) -> str:
    """What it says: one message, exit 3, and nothing written."""
    env = {"HOME": str(home), "PATH": os.environ["PATH"], **env}
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, env=env, cwd="/", check=False
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("lab: ") == 1
    assert "Traceback" not in done.stderr
    assert list(home.iterdir()) == []
    assert not any((paths.RUN / folder / "unfit").exists() for folder in ("locks", "labs", "net"))
    return done.stderr


def may(test: str, path: Path) -> bool:
    """Whether nobody may read (-r) or run (-x) it."""
    return subprocess.run([*BECOME, "test", test, str(path)], check=False).returncode == 0


@ROOT_ONLY
def test_by_nobody(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whom the home would let write."""
    ours = Path(sysconfig.get_path("purelib"))
    usual = Path(f"/usr/bin/python3.{sys.version_info.minor}")  # ours may be in root's own home
    python = next((one for one in (Path(sys.executable), usual) if may("-x", one)), None)
    for path in (paths.ROOT / "lab/cli.py", ours / "rich/__init__.py"):
        if not may("-r", path):
            pytest.skip(f"nobody may read {path}")
    if not python:
        pytest.skip(f"nobody may run {sys.executable}, and there is no {usual}")
    home = Path("/tmp") / f"lab-unfit-{os.getpid()}"  # pytest's own are for root's eyes
    home.mkdir()
    try:
        os.chown(home, NOBODY, NOBODY)
        env = {"PYTHONPATH": f"{paths.ROOT}:{ours}"}
        said = refused([*BECOME, str(python), *UP], env, home)
    finally:
        shutil.rmtree(home)
    assert "lab needs root" in said
    assert "sudo" in said


@ROOT_ONLY
def test_without_podman(tmp_path: Path) -> None:
    """Each other program that it looks for is there."""
    programs, home = tmp_path / "bin", tmp_path / "home"
    programs.mkdir()
    home.mkdir()
    for program in PROGRAMS.keys() - {"podman"}:
        (programs / program).symlink_to("/bin/true")
    said = refused([sys.executable, *UP], {"PATH": str(programs)}, home)
    lacking = [line for line in said.splitlines() if line.startswith("  ")]
    assert lacking == [
        "  podman: machines are containers of podman",
        "  try: run: lab doctor --fix (or install: podman)",
    ]
