"""A scenario's fleet: many machines alike, put among its nodes when the scenario is loaded.

Everything above sees plain nodes. Where a scenario has a list of nodes, the word `fleet` in it
stands for every machine of the fleet.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any, TypeVar

from lab.addresses import NETWORK, unusable
from lab.errors import BadInput
from lab.model import Machine, Part, Scenario, Step
from lab.providers import GATEWAY
from lab.wording import counted

WORD = "fleet"
MANY = 6  # names that are shortened from here on
P = TypeVar("P", bound=Part)


def expanded(scenario: Scenario, count: int | None = None) -> Scenario:
    """The scenario with its fleet's machines, `count` of them if that is given.

    Raises BadInput for a count without a fleet, or one that the network has no room for;
    ValueError where the fleet itself is at fault.
    """
    fleet = scenario.fleet
    if fleet is None:
        if count is not None:
            raise BadInput(
                f"the scenario {scenario.title!r} has no fleet, so it cannot have "
                f"{counted(count, 'remote')}",
                hint="leave --remotes out, or take a scenario with `fleet:`, such as scale",
            )
        return scenario
    fleet = fleet.model_copy(update={"count": fleet.count if count is None else count})
    if problem := unusable(fleet.address):
        raise ValueError(f"address: {problem}")
    free = _addresses(scenario, fleet.address)
    if not 1 <= fleet.count <= len(free):
        raise BadInput(
            f"{counted(fleet.count, 'remote')}: from {fleet.address} on the lab's network has "
            f"room for {len(free)}, and there must be at least one"
        )
    if taken := [name for name in (WORD, *fleet.names) if name in scenario.names]:
        raise ValueError(f"{taken[0]} is the name of a node already")
    made = {
        name: Machine(address=address, role=fleet.role, slim=fleet.slim)
        for name, address in zip(fleet.names, free, strict=False)
    }
    steps = [_step(step, fleet.names) for step in scenario.steps]
    return scenario.model_copy(
        update={"nodes": {**scenario.nodes, **made}, "fleet": fleet, "steps": steps}
    )


def named(names: list[str]) -> str:
    """Names in words; MANY that are numbered in a row as `remote1 … remote200`."""
    runs: list[list[str]] = []
    for name in names:
        if runs and _number(name) == _after(runs[-1][-1]):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(
        f"{run[0]} … {run[-1]}" if len(run) >= MANY else ", ".join(run) for run in runs
    )


def _number(name: str) -> tuple[str, int] | None:
    stem = name.rstrip("0123456789")
    return (stem, int(name[len(stem) :])) if stem != name else None


def _after(name: str) -> tuple[str, int]:
    stem, number = _number(name) or (name, -2)
    return stem, number + 1


def _addresses(scenario: Scenario, first: str) -> list[str]:
    """What a fleet can have: no address of another node, nor those that BMCs will have."""
    used = {GATEWAY, *(scenario.address(name) for name in scenario.names)}
    free = [address for address in NETWORK.hosts() if str(address) not in used]
    kept = len(scenario.managed)  # the last ones, for BMCs
    room = [str(a) for a in free[: len(free) - kept] if int(a) >= int(IPv4Address(first))]
    # Each of a fleet that is not slim has a BMC too.
    return room if scenario.fleet and scenario.fleet.slim else room[: len(room) // 2]


# -- the word in lists of nodes -------------------------------------------------------------


def _step(step: Step, names: list[str]) -> Step:
    parts = [_part(part, names) for part in step.parts]
    return _part(step, names).model_copy(update={"parts": parts})


def _part(part: P, names: list[str]) -> P:
    entries = {
        key: [e.model_copy(update={"use": _value(e.use, names)}) for e in getattr(part, key)]
        for key in ("before", "act", "fault", "expect", "healed")
    }
    return part.model_copy(update=entries)


def _value(value: Any, names: list[str]) -> Any:
    """`value` with the word replaced by the names, in each list that has it."""
    if isinstance(value, dict):
        return {key: _value(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [
            one for inner in value for one in (names if inner == WORD else [_value(inner, names)])
        ]
    return value
