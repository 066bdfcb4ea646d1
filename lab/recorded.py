"""docs/coverage.json: the verdicts that the README's table tells, kept in the repository.

A record is a fact about a run: section, scenario, platform, provider, verdict, when it was, and
the key of the plan that it ran. Whether it is older than the plan of today is not written down:
that is found out again whenever the table is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from lab.coverage import Plans, Ran, keys, latest, own
from lab.model import Frozen
from lab.paths import ROOT
from lab.yamlfile import load_model

FILE = ROOT / "docs" / "coverage.json"


class Recorded(Frozen):
    """The file."""

    runs: list[Ran]


def read(path: Path) -> list[Ran]:
    """The records; none where there is no file. BadInput names what is wrong in it, and where."""
    return load_model(path, Recorded).runs if path.exists() else []


def write(path: Path, ran: Iterable[Ran]) -> None:
    """Write the records, each on a line of its own: so that a change of one shows as one."""
    lines = [json.dumps(one.model_dump(exclude={"seen"})) for one in ran]
    path.write_text('{"runs": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


def merged(there: Iterable[Ran], new: Iterable[Ran], found: Plans) -> list[Ran]:
    """What is to be on record: of each section the run that counts, old or new.

    Sections, scenarios and platforms that there are no longer are left out.
    """
    known = {
        (step.section, scenario, platform.name)
        for platform in found.platforms
        for scenario, step in own(found.steps, platform.name)
    }
    candidates = [
        one.model_copy(update={"seen": {}})
        for one in (*there, *new)
        if (one.section, one.scenario, one.platform) in known
    ]
    return latest(candidates, keys(found))
