"""The cells of a matrix: what each of them is and needs, and the shards that runners take."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lab import kvm, memory, platforms, providers
from lab import plan as plans
from lab import scenario as scenarios
from lab.errors import BadInput
from lab.fields import Family, GuestPlace
from lab.model import Scenario
from lab.platform import Platform
from lab.providers.choice import only_containers

MACHINE = 150  # MiB of a system container with a whole cluster node in it
SLIM = 25  # MiB of a container with pacemaker-remoted alone
HARNESS = 150  # MiB of `lab up` itself, its ssh connections and its BMCs
BRING_UP = 20.0  # seconds
GENEROUS = 7.0  # deadlines of scenarios are about so many times what is needed
PREFIX = "m-"  # of the names of its labs
VIRTUAL = "vagrant"  # the provider whose machines are virtual ones
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

    `seconds`: how long it takes on containers, estimated; once `lab.matrix.schedule` looked at this
    machine, how long here.
    """

    scenario: str
    platform: str
    provider: str
    file: str
    lab: str
    sections: int
    needs: Needs
    seconds: float

    @property
    def text(self) -> str:
        """It in words."""
        unusual = "" if self.provider == providers.DEFAULT else f" ({self.provider})"
        return f"{self.scenario} on {self.platform}{unusual}"


@dataclass(frozen=True)
class LeftOut:
    """A scenario that the provider has no machines for, on whatever platform, and why."""

    scenario: str
    provider: str
    why: str


@dataclass(frozen=True)
class Selection:
    """What a matrix is to do, and what was asked for and is not."""

    cells: list[Cell]
    left_out: list[LeftOut]


def select(
    names: Sequence[str] = (), on: Sequence[str] = (), provider: str = providers.DEFAULT
) -> Selection:
    """Each scenario on each platform; by default every scenario, on every platform whose images are
    built here. BadInput for what there is not, and where the provider has machines for none.
    """
    virtual = provider == VIRTUAL
    place: GuestPlace = providers.load(provider).guests() if virtual else "inside"
    emulated = bool(kvm.missing())
    wanted = [_platform(name, provider) for name in dict.fromkeys(on or platforms.built_here())]
    found: list[Cell] = []
    left_out: list[LeftOut] = []
    taken: dict[str, str] = {}
    for name in dict.fromkeys(names or scenarios.names()):
        path = scenarios.find(name)
        scenario = scenarios.load(path)
        if taken.setdefault(path.stem, name) != name:
            raise BadInput(
                f"{taken[path.stem]} and {name} are both the scenario {path.stem}",
                hint="labs and results go by the file's name: rename one",
            )
        why = only_containers(scenario.nodes, scenario.guests) if virtual else ""
        if why:
            left_out.append(LeftOut(path.stem, provider, why))
            continue
        for platform in wanted:
            needed = (
                virtual_needs(scenario, place, emulated=emulated, family=platform.family)
                if virtual
                else needs(scenario, emulated=emulated)
            )
            steps = plans.plan(scenario, platform)
            deadlines = sum(part.within for step in steps for part in step.parts)
            found.append(
                Cell(
                    scenario=path.stem,
                    platform=platform.name,
                    provider=provider,
                    file=name if name == path.stem else str(path.resolve()),
                    lab=lab_name(path.stem, platform.name, provider),
                    sections=len(steps),
                    needs=needed,
                    seconds=BRING_UP + deadlines / GENEROUS,
                )
            )
    if left_out and not found:
        reasons = "; ".join(f"{one.scenario}: {one.why}" for one in left_out)
        raise BadInput(
            f"provider {provider} has nothing to do: {reasons}",
            hint=f"--provider {providers.DEFAULT}",
        )
    return Selection(found, left_out)


def _platform(name: str, provider: str) -> Platform:
    platform = platforms.load(name)
    if platform.box and provider != VIRTUAL:
        raise BadInput(
            f"{name} starts from the {platform.box.text}, and {provider} has no machines of boxes",
            hint=f"--provider {VIRTUAL}",
        )
    return platform


def lab_name(scenario: str, platform: str, provider: str) -> str:
    """The name of a cell's lab: the same at each run, so that what one left the next finds; with
    another provider another one, so that it is left alone.
    """
    unusual = "" if provider == providers.DEFAULT else f"-{provider}"
    name = f"{PREFIX}{scenario}-{platform}{unusual}"
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if len(plain) <= _LONGEST:
        return plain
    digest = hashlib.sha256(f"{scenario} {platform}{unusual}".encode()).hexdigest()[:6]
    return f"{plain[: _LONGEST - 7].rstrip('-')}-{digest}"


def needs(scenario: Scenario, *, emulated: bool) -> Needs:
    """What a lab of a scenario takes on containers. `emulated`: virtual machines do without KVM.

    Such a one has a processor for itself: two that share one take longer to boot than the minute
    that Pacemaker gives to a guest's connection.
    """
    inner = [guest for guest in scenario.guests.values() if guest.kind == "container"]
    virtual = [guest for guest in scenario.guests.values() if guest.kind == "vm"]
    slim = sum(node.slim for node in scenario.nodes.values())
    machines = len(scenario.nodes) - slim + len(inner)
    needed = HARNESS + MACHINE * machines + SLIM * slim
    needed += memory.together([], [guest.memory for guest in virtual], emulated=emulated)
    return Needs(machines, needed, _cores(len(virtual), emulated))


def virtual_needs(
    scenario: Scenario, guests: GuestPlace, *, emulated: bool, family: Family = "debian"
) -> Needs:
    """The same on virtual machines. `guests`: where theirs run; inside their host they have a part
    of its memory, and they keep processors busy wherever they are.
    """
    own = [memory.of_guest(one.memory, family) for one in scenario.guests.values()]
    beside = own if guests == "beside" else []
    machines = [one.memory for one in scenario.nodes.values()]
    needed = HARNESS + memory.together(machines, beside, emulated=emulated)
    return Needs(0, needed, _cores(len(scenario.nodes) + len(scenario.guests), emulated))


def _cores(virtual: int, emulated: bool) -> float:
    return 0.5 + (1.0 if emulated else 0.25) * virtual


def parse_shard(text: str) -> tuple[int, int]:
    """`2/3` as (2, 3); BadInput for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text)
    if not match or int(match[1]) > int(match[2]):
        raise BadInput(f"--shard {text!r}: write 2/3 for the second of three shards")
    return int(match[1]), int(match[2])


def shard(everything: Sequence[Cell], number: int, count: int) -> list[Cell]:
    """The cells of one of `count` shards, counted from 1, in their order.

    Every runner makes the same shards, since they come of the scenarios alone: of durations that
    are estimated for containers, not of those that this machine happens to know or to take. The
    longest cell first, each goes to the shard that has least to do.
    """
    load = [0.0] * count
    mine: set[str] = set()
    for cell in sorted(everything, key=lambda cell: (-cell.seconds, cell.lab)):
        least = load.index(min(load))
        load[least] += cell.seconds
        if least == number - 1:
            mine.add(cell.lab)
    return [cell for cell in everything if cell.lab in mine]
