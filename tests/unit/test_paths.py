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


@pytest.mark.parametrize("setting", ["LAB_STATE", "LAB_CACHE"])
@pytest.mark.parametrize("where", ["file", "file/below", "/proc/none"])
def test_a_folder_that_cannot_be_is_named_with_its_setting(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    where: str,
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / where
    monkeypatch.setenv(setting, str(folder))

    def writes(_options: object) -> int:
        (folder / "labs").mkdir(parents=True)
        return 0

    monkeypatch.setattr("lab.commands.labs.list_", writes)
    assert cli.main(["list"]) == 3
    said = capsys.readouterr().err
    assert f"used because of {setting}={folder}\n" in said
    assert f"  try: set {setting} to a folder that can be written\n" in said


@pytest.mark.parametrize(("command", "hinted"), [("list", False), ("down", True)])
def test_lab_down_is_the_way_out_only_where_a_lab_may_be_left(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    hinted: bool,
) -> None:
    def fails(_options: object) -> int:
        raise PermissionError(13, "Permission denied", "/run/elsewhere")

    monkeypatch.setattr(f"lab.commands.labs.{command}_", fails)
    assert cli.main([command]) == 3
    said = capsys.readouterr().err
    assert said.startswith("lab: Permission denied (/run/elsewhere)\n")
    assert ("lab down" in said) is hinted


@pytest.mark.parametrize("command", [["book", "--html"], ["matrix", "--output"]])
def test_where_nothing_can_be_written_is_bad_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    monkeypatch.setattr("lab.doctor.require", lambda *_: None)
    monkeypatch.setattr("lab.commands.matrix.run", lambda *_, **__: pytest.fail("it began"))
    (tmp_path / "file").touch()
    places = [tmp_path / "file/x"] + [tmp_path] * (command[0] == "book")
    for place in places:
        assert cli.main([*command, str(place)]) == 2
        assert "cannot be written: " in capsys.readouterr().err
