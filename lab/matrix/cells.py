"""The cells of a matrix: what each of them is and needs, and the shards that runners take."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lab import kvm, memory, platforms
from lab import plan as plans
from lab import scenario as scenarios
from lab.errors import BadInput
from lab.model import Scenario

MACHINE = 150  # MiB of a system container with a whole cluster node in it
SLIM = 25  # MiB of a container with pacemaker-remoted alone
HARNESS = 150  # MiB of `lab up` itself, its ssh connections and its BMCs
BRING_UP = 20.0  # seconds
GENEROUS = 7.0  # deadlines of scenarios are about so many times what is needed
PREFIX = "m-"  # of the names of its labs
_LONGEST = 42  # letters of a lab's name


@dataclass(frozen=True)
class Needs:
    """What a cell takes while it runs.

    `machines`: systems with an init of their own in this machine's kernel, for its limit of
    inotify instances. `memory`: MiB. `cores`: on average, since clusters mostly wait.
    """

    machines: int
    memory: int
    cores: float


@dataclass(frozen=True)
class Cell:
    """A scenario on a platform. `file`: what `lab up` is given; `lab`: the name of its lab.

    `seconds`: how long it takes, estimated or known.
    """

    scenario: str
    platform: str
    file: str
    lab: str
    sections: int
    needs: Needs
    seconds: float

    @property
    def text(self) -> str:
        """It in words."""
        return f"{self.scenario} on {self.platform}"


def cells(names: Sequence[str] = (), on: Sequence[str] = ()) -> list[Cell]:
    """Each scenario on each platform; by default every scenario, on every platform whose images are
    built here. BadInput for what there is not.
    """
    found: list[Cell] = []
    taken: dict[str, str] = {}
    for name in dict.fromkeys(names or scenarios.names()):
        path = scenarios.find(name)
        scenario = scenarios.load(path)
        if taken.setdefault(path.stem, name) != name:
            raise BadInput(
                f"{taken[path.stem]} and {name} are both the scenario {path.stem}",
                hint="labs and results go by the file's name: rename one",
            )
        for platform in dict.fromkeys(on or platforms.built_here()):
            steps = plans.plan(scenario, platforms.load(platform))
            deadlines = sum(part.within for step in steps for part in step.parts)
            found.append(
                Cell(
                    scenario=path.stem,
                    platform=platform,
                    file=name if name == path.stem else str(path.resolve()),
                    lab=lab_name(path.stem, platform),
                    sections=len(steps),
                    needs=needs(scenario, emulated=bool(kvm.missing())),
                    seconds=BRING_UP + deadlines / GENEROUS,
                )
            )
    return found


def lab_name(scenario: str, platform: str) -> str:
    """The name of a cell's lab: the same at each run, so that what one left the next finds."""
    plain = re.sub(r"[^a-z0-9]+", "-", f"{PREFIX}{scenario}-{platform}".lower()).strip("-")
    if len(plain) <= _LONGEST:
        return plain
    digest = hashlib.sha256(f"{scenario} {platform}".encode()).hexdigest()[:6]
    return f"{plain[: _LONGEST - 7].rstrip('-')}-{digest}"


def needs(scenario: Scenario, *, emulated: bool) -> Needs:
    """What a lab of a scenario takes. `emulated`: virtual machines do without KVM.

    Such a one has a processor for itself: two that share one take longer to boot than the minute
    that Pacemaker gives to a guest's connection.
    """
    inner = [guest for guest in scenario.guests.values() if guest.kind == "container"]
    virtual = [guest for guest in scenario.guests.values() if guest.kind == "vm"]
    slim = sum(node.slim for node in scenario.nodes.values())
    machines = len(scenario.nodes) - slim + len(inner)
    needed = HARNESS + MACHINE * machines + SLIM * slim
    needed += sum(memory.virtual(one.memory, emulated=emulated, limited=True) for one in virtual)
    return Needs(machines, needed, 0.5 + (1.0 if emulated else 0.25) * len(virtual))


def parse_shard(text: str) -> tuple[int, int]:
    """`2/3` as (2, 3); BadInput for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text)
    if not match or int(match[1]) > int(match[2]):
        raise BadInput(f"--shard {text!r}: write 2/3 for the second of three shards")
    return int(match[1]), int(match[2])


def shard(everything: Sequence[Cell], number: int, count: int) -> list[Cell]:
    """The cells of one of `count` shards, counted from 1, in their order.

    Every runner makes the same shards, since they come of the scenarios alone: of estimated
    durations, not of those that this machine happens to know. The longest cell first, each goes
    to the shard that has least to do.
    """
    load = [0.0] * count
    mine: set[str] = set()
    for cell in sorted(everything, key=lambda cell: (-cell.seconds, cell.lab)):
        least = load.index(min(load))
        load[least] += cell.seconds
        if least == number - 1:
            mine.add(cell.lab)
    return [cell for cell in everything if cell.lab in mine]
