"""lab.json: what a lab is, and which of its sections are done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from lab import paths, stored
from lab.errors import CannotRun
from lab.stored import Moment
from lab.whole import write_json

FILE = "lab.json"


@dataclass
class Record:
    """What lab.json holds. `done`: the sections that passed, in order. `remotes`: how many
    machines its fleet has, where that was asked for. `images`: the key of those that its machines
    are made of; '' if there are none yet, or in the file of a lab that is older than this field.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    scenario: Annotated[str, Field(pattern=r"^[^\x00]*$")]
    platform: str
    provider: str
    created: Moment = field(default_factory=time.time)
    done: list[str] = field(default_factory=list)
    remotes: int | None = None
    images: str = ""


def names() -> list[str]:
    """Every lab on disk, sorted."""
    return sorted(path.parent.name for path in paths.labs().glob(f"*/{FILE}"))


def read(name: str) -> Record:
    """The record of a lab on disk. Raises FileNotFoundError, CannotRun for a damaged one."""
    file = paths.labs() / name / FILE
    try:
        record = stored.read(file, Record)
        if record.name != name:
            raise ValueError(f"name: it is {record.name!r}, in the folder of {name}")
    except ValueError as error:
        raise CannotRun(
            f"{file} is damaged: {error}", hint=f"lab down {name} removes what is left of it"
        ) from error
    return record


def write(record: Record) -> None:
    """Put it on record, in the lab's folder."""
    write_json(paths.labs() / record.name / FILE, vars(record), indent=2)
