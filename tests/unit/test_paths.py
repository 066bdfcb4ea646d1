"""Where things live, on machines that have no place for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import cli, paths
from lab.errors import CannotRun


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in many a container of a CI system: a user id that nobody knows, and no HOME."""
    for name in ("HOME", "LAB_STATE", "LAB_CACHE", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(_id: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.parametrize(
    ("folder", "name"), [(paths.state, "LAB_STATE"), (paths.cache, "LAB_CACHE")]
)
def test_no_home(
    homeless: None, monkeypatch: pytest.MonkeyPatch, folder: Callable[[], Path], name: str
) -> None:
    assert homeless is None
    with pytest.raises(CannotRun) as caught:
        folder()
    assert f"{name} has no default here: HOME is not set" in caught.value.message
    assert caught.value.hint == f"set {name} to a folder, or HOME"
    monkeypatch.setenv(name, "/var/lib/x")
    assert folder() == Path("/var/lib/x")


def test_no_home_is_no_traceback(homeless: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert homeless is None
    assert cli.main(["ssh-config", "nemo"]) == 3
    assert capsys.readouterr().err.startswith("lab: LAB_STATE has no default here")
