"""Podman's lists, while another `lab down` is at work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from lab.errors import CommandFailed, CommandTimeout
from lab.providers import cgroups, containers


class Fails:
    """A podman that fails so often, and then has one volume."""

    def __init__(self, times: int, *, entered: Sequence[bool] = ()) -> None:
        self.times = times
        self.asked = 0
        self._entered: Iterator[bool] = iter(entered)

    def __call__(self, arguments: Sequence[str]) -> str:
        self.asked += 1
        if self.asked <= self.times:
            raise CommandFailed("podman volume ls: exit status 125: no such volume")
        return "[]" if arguments[0] == "ps" else "one\n"

    def entered(self) -> bool:
        return next(self._entered, True)


def use(monkeypatch: pytest.MonkeyPatch, podman: Fails) -> Fails:
    monkeypatch.setattr(containers, "podman", podman)
    monkeypatch.setattr(cgroups, "entered", podman.entered)
    return podman


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_list_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    podman = use(monkeypatch, Fails(times))
    assert containers.volumes("nemo") == ["one"]
    assert podman.asked == times + 1


def test_a_podman_that_does_not_work_is_no_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Fails(3))
    with pytest.raises(CommandFailed, match="no such volume"):
        containers.volumes("nemo")


def test_a_podman_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(_arguments: Sequence[str]) -> str:
        asked.append(1)
        raise CommandTimeout("podman volume ls: not done after 60 s")

    asked: list[int] = []
    monkeypatch.setattr(containers, "podman", hangs)
    monkeypatch.setattr(cgroups, "entered", lambda: True)
    with pytest.raises(CommandTimeout):
        containers.volumes("nemo")
    assert len(asked) == 1


def test_the_last_lab_goes_while_podman_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in (lambda: containers.volumes("nemo"), containers.listed):
        podman = use(monkeypatch, Fails(9, entered=[True, False]))
        assert asked() == []
        assert podman.asked == 1
