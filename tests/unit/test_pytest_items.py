"""What `pytest scenarios/` makes of a scenario, without a lab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import doctor, labs, paths, plan, platforms, scenario, up
from lab.events import Listener, StepEnded
from lab.fields import GuestPlace
from lab.plan import PlannedStep
from lab.pytest_plugin import ScenarioFile, SectionItem

PATH = paths.SCENARIOS / "guest-walkthrough.yaml"


@pytest.fixture
def file(request: pytest.FixtureRequest) -> ScenarioFile:
    made: ScenarioFile = ScenarioFile.from_parent(request.session, path=PATH)
    return made


@pytest.mark.parametrize("guests", ["inside", "beside"])
def test_a_section_is_done_as_the_provider_needs_it(
    file: ScenarioFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, guests: GuestPlace
) -> None:
    """Where guests run is known once there is a lab, and 4.2.1 depends on it."""
    done: list[PlannedStep] = []

    def step(one: PlannedStep) -> StepEnded:
        done.append(one)
        return StepEnded(section=one.section, title=one.title, verdict="passed")

    @contextmanager
    def opened(wish: up.Wish, listener: Listener) -> Iterator[up.Run]:
        platform = platforms.load("debian-12").model_copy(update={"guests": guests})
        steps = plan.plan(scenario.load(Path(wish.scenario)), platform)
        yield up.Run(cast(Any, None), steps, cast(Any, SimpleNamespace(step=step)), Path("results"))

    monkeypatch.setattr(paths, "RUN", tmp_path)
    monkeypatch.setattr(doctor, "require", lambda provider: None)
    monkeypatch.setattr(labs, "everything", list)
    monkeypatch.setattr(labs, "down", lambda name: True)
    monkeypatch.setattr(up, "opened", opened)
    items = [cast(SectionItem, item) for item in file.collect()]
    try:
        for item in items:
            item.runtest()
    finally:
        file.teardown()
    assert [f"{one.section} {one.title}" for one in done] == [item.name for item in items]
    (create,) = (one for one in done if one.section == "4.2.1")
    acts = [use.word.name for part in create.parts for use in part.acts]
    assert ("lend_libvirtd" in acts) == (guests == "beside")
