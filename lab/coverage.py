"""What of the book is covered by scenarios, and what its last runs came to.

Counts come from the plans as they are now. Verdicts come from records of runs: of this machine
(`runs`), or of those that were written down in the repository (`recorded`). A record counts for
the plan that it ran: `plan.key` tells whether that is still the plan of today.

A section belongs to the scenario that it stands in. A run of it that another scenario borrowed
(`prepare:`) is a run of it too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from lab import events as e
from lab import plan as plans
from lab import platforms as known
from lab import scenario as scenarios
from lab.book import Book
from lab.errors import BadInput
from lab.model import Frozen
from lab.plan import PlannedStep
from lab.platform import Platform
from lab.providers.choice import nowhere
from lab.report import results
from lab.report.history import History, history

STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Ran(Frozen):
    """A section as a run did it, to its end.

    `scenario` is the one that it belongs to, `by` the one that ran it. `at`: when it ended, UTC,
    as STAMP has it. `key`: of the plan that was run; '' where the run did not say. `seen`: what
    the checks that show departures from the book saw, by what they expect in words.
    """

    section: str
    scenario: str
    by: str
    platform: str
    provider: str
    verdict: Literal["passed", "failed", "error"]
    at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    key: str = ""
    seen: dict[str, str] = Field(default_factory=dict)

    @property
    def day(self) -> str:
        """The date, UTC."""
        return self.at[:10]


@dataclass(frozen=True)
class Last:
    """The last verdict of a section with one provider. `older`: the plan was another one."""

    ran: Ran
    older: bool


@dataclass(frozen=True)
class Cover:
    """A section as a scenario has it on one platform: the counts of its plan, its last verdicts.

    `words`: how many things that are no command of the book are done there (actions, faults).
    `nowhere`: why no machine can run it on that platform; '' if there are some that can.
    """

    step: PlannedStep
    last: tuple[Last, ...]
    nowhere: str = ""

    @property
    def words(self) -> int:
        """Actions and faults: what the book asks for in words, or leaves to the reader."""
        return sum(len(part.acts) + len(part.faults) for part in self.step.parts)


@dataclass(frozen=True)
class Row:
    """A section of the book. `covers`: scenario -> platform -> how it is covered.

    `chapter` is '' for a section of a scenario that the book does not have.
    """

    section: str
    title: str
    chapter: str
    concepts: bool
    covers: Mapping[str, Mapping[str, Cover]]


@dataclass(frozen=True)
class Plans:
    """The plans of every scenario, for some platforms.

    `steps`: scenario -> platform -> its plan. `beside`: the same with guests beside their host.
    `nowhere`: scenario -> platform -> why no machine can run it there, of those that none can.
    `problems`: what could not be planned, and why.
    """

    platforms: tuple[Platform, ...]
    steps: Mapping[str, Mapping[str, list[PlannedStep]]]
    beside: Mapping[str, Mapping[str, list[PlannedStep]]]
    nowhere: Mapping[str, Mapping[str, str]]
    problems: tuple[str, ...] = ()


def planned(platforms: Collection[str]) -> Plans:
    """Plan every scenario that comes with lab for these platforms, or, if there are none, for all
    whose images are built here.
    """
    wanted = tuple(known.load(name) for name in platforms or known.built_here())
    steps: dict[str, dict[str, list[PlannedStep]]] = {}
    beside: dict[str, dict[str, list[PlannedStep]]] = {}
    cannot: dict[str, dict[str, str]] = {}
    problems = []
    for name in scenarios.names():
        scenario = scenarios.load(scenarios.find(name))
        steps[name], beside[name] = {}, {}
        for platform in wanted:
            try:
                steps[name][platform.name] = plans.plan(scenario, platform)
                other = platform.model_copy(update={"guests": "beside"})
                beside[name][platform.name] = plans.plan(scenario, other)
                if why := nowhere(scenario, platform):
                    cannot.setdefault(name, {})[platform.name] = why
            except BadInput as error:
                problems.append(f"{name} has no plan for {platform.name}: {error.message}")
    return Plans(wanted, steps, beside, cannot, tuple(problems))


def coverage(book: Book, found: Plans, ran: Iterable[Ran]) -> list[Row]:
    """A row for each section of the book in its order, then one for each that is none of it."""
    today = keys(found)
    last: dict[tuple[str, ...], list[Last]] = {}
    for one in latest(ran, today):
        place = (one.section, one.scenario, one.platform)
        last.setdefault(place, []).append(Last(one, older=one.key not in today))
    covers: dict[str, dict[str, dict[str, Cover]]] = {}
    titles: dict[str, str] = {}
    for platform in found.platforms:
        for scenario, step in own(found.steps, platform.name):
            cover = Cover(
                step,
                tuple(last.get((step.section, scenario, platform.name), ())),
                found.nowhere.get(scenario, {}).get(platform.name, ""),
            )
            covers.setdefault(step.section, {}).setdefault(scenario, {})[platform.name] = cover
            titles.setdefault(step.section, step.title)
    rows = [
        Row(s.section, s.title, chapter.number, s.concepts, covers.pop(s.section, {}))
        for chapter in book.chapters
        for s in chapter.sections
    ]
    rows += [Row(section, titles[section], "", False, there) for section, there in covers.items()]
    return rows


def keys(found: Plans) -> set[str]:
    """The keys of today's plans."""
    return {
        plans.key(step, platform)
        for platform in found.platforms
        for steps in (found.steps, found.beside)
        for _, step in own(steps, platform.name)
    }


def latest(ran: Iterable[Ran], today: Collection[str]) -> list[Ran]:
    """Of each section, scenario, platform and provider the run that counts, sorted by these.

    That is the last one of a plan of today (`today`: their keys), or else the last one of all.
    """
    found: dict[tuple[str, ...], Ran] = {}
    for one in ran:
        place = (one.section, one.scenario, one.platform, one.provider)
        best = found.get(place)
        if best is None or (one.key in today, one.at) >= (best.key in today, best.at):
            found[place] = one
    return [found[place] for place in sorted(found)]


def own(
    steps: Mapping[str, Mapping[str, list[PlannedStep]]], platform: str
) -> Iterator[tuple[str, PlannedStep]]:
    """Each scenario's own sections on a platform."""
    for scenario, by_platform in steps.items():
        for step in by_platform.get(platform, []):
            if not step.origin:
                yield scenario, step


def runs(folder: Path, labs: Collection[str] = ()) -> tuple[list[Ran], list[str]]:
    """Every section that a run on record did to its end, and what could not be read.

    `folder` has one folder a lab, in it one a run (lab.paths.results); `labs`: only of these.
    """
    found: list[Ran] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*/*/results.jsonl")):
        if path.parent.is_symlink() or (labs and path.parent.parent.name not in labs):
            continue
        try:
            found += list(_ran(history(results.read(path))))
        except BadInput as error:
            problems.append(error.message)
        except (OSError, TypeError, ValueError) as error:  # also what no lab ever wrote
            problems.append(f"{path}: {' '.join(str(error).split())}")
    return found, problems


def _ran(told: History) -> Iterator[Ran]:
    for run in told.runs:
        for section in run.sections.values():
            ended = section.ended
            if ended is None or ended.verdict == "skipped":
                continue  # cut short, or not done: no verdict on it
            started = run.started
            yield Ran(
                section=section.number,
                scenario=ended.origin or started.scenario,
                by=started.scenario,
                platform=started.platform,
                provider=started.provider,
                verdict=ended.verdict,
                at=f"{datetime.fromtimestamp(ended.at, UTC):{STAMP}}",
                key=ended.plan,
                seen={
                    entry.what: entry.seen
                    for entry in section.entries
                    if isinstance(entry, e.Checked) and entry.departs
                },
            )
