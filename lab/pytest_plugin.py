"""pytest items from scenarios: `pytest scenarios/` runs each section as a test.

    scenarios/guest-walkthrough.yaml::4.3.2 Integrate as Guest Node

Sections run in their order on one lab, made for the run and removed after it (unless
--lab-keep). After a failure the later ones are skipped, with the cause. JUnit XML has the
section's number as a property.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from lab.errors import LabError, StepFailed

if TYPE_CHECKING:
    from lab.up import Run


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run."""
    group = parser.getgroup("lab", "scenarios of the lab")
    group.addoption("--lab-platform", default="", help="what the nodes run")
    group.addoption("--lab-provider", default="", help="auto, podman or vagrant")
    group.addoption("--lab-name", default="", help="the lab's name (default: pytest-SCENARIO)")
    group.addoption("--lab-keep", action="store_true", help="leave the lab running at the end")


def pytest_collect_file(file_path: Any, parent: pytest.Collector) -> pytest.Collector | None:
    """A YAML file in a folder `scenarios`, or one that was named on the command line."""
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    named = parent.session.isinitpath(file_path)
    if not named and file_path.parent.name != "scenarios":
        return None
    made: pytest.Collector = ScenarioFile.from_parent(parent, path=file_path)
    return made


class ScenarioFile(pytest.File):
    """A scenario. Its lab is opened by the first section that runs."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.failed = ""
        self._run: Run | None = None
        self._stack = ExitStack()

    def collect(self) -> Iterator[pytest.Item]:
        """An item for each section. A scenario with an error in it is a collection error.

        What the sections do is planned once the lab is there: it depends on the provider, too.
        """
        from lab import plan, platforms, scenario

        platform = platforms.load(self.config.getoption("--lab-platform") or platforms.DEFAULT)
        for step in plan.plan(scenario.load(self.path), platform):
            name = f"{step.section} {step.title}"
            yield SectionItem.from_parent(self, name=name, section=step.section)

    def run(self) -> Run:
        """The lab, brought up at the first call."""
        if self._run is None:
            from lab import doctor
            from lab.labs import down, everything, held
            from lab.up import Wish, opened

            option = self.config.getoption
            doctor.require(option("--lab-provider"))
            name = option("--lab-name") or f"pytest-{self.path.stem}"
            if name in everything():
                raise LabError(
                    f"a lab {name!r} is there already, left by another run",
                    hint=f"lab down {name}, or give --lab-name",
                )

            def remove() -> None:
                with held(name, within=10):
                    down(name)

            if not option("--lab-keep"):
                self._stack.callback(remove)
            wish = Wish(str(self.path), name, option("--lab-platform"), option("--lab-provider"))
            self._run = self._stack.enter_context(opened(wish, lambda event: None))
        return self._run

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A mistake in the scenario needs no traceback."""
        if isinstance(excinfo.value, LabError):
            return excinfo.value.message
        return super().repr_failure(excinfo)

    def teardown(self) -> None:
        """Close the run and remove its lab; pytest calls it however the run ends."""
        self._stack.close()


class SectionItem(pytest.Item):
    """One section of the book."""

    def __init__(self, *, section: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.section = section
        self.user_properties.append(("section", section))

    @property
    def scenario(self) -> ScenarioFile:
        """The file that it stands in."""
        assert isinstance(self.parent, ScenarioFile)
        return self.parent

    def runtest(self) -> None:
        """Run the section on the scenario's lab."""
        if self.scenario.failed:
            pytest.skip(f"section {self.scenario.failed} failed")
        try:
            run = self.scenario.run()
            ended = run.runner.step(run.step(self.section))
        except BaseException:
            self.scenario.failed = self.section
            raise
        self.user_properties.append(("cluster_seconds", f"{ended.cluster:.3f}"))
        self.user_properties.append(("harness_seconds", f"{ended.harness:.3f}"))
        if ended.verdict != "passed":
            self.scenario.failed = self.section
            raise StepFailed(ended.problem, hint=f"evidence and transcript: {run.results}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What was expected and seen, instead of a traceback of the harness."""
        error = excinfo.value
        if isinstance(error, LabError):
            return f"{error.message}\n{error.hint}".rstrip()
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int, str]:
        """Where it stands."""
        return self.path, 0, f"{self.path.stem}: {self.name}"
