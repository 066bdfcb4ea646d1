"""The cells of a matrix: which there are, what each needs and takes, and the shards of them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import cli, kvm, memory, paths, platforms, providers, scenario
from lab.errors import BadInput
from lab.events import RunEnded, RunStarted
from lab.fields import NAME
from lab.matrix import cells as plan
from lab.matrix import schedule
from lab.matrix.cells import Cell, Needs
from lab.report.results import Results

BARE = """
title: Bare
about: One machine.
chapter: A
nodes:
  node1: {address: 192.168.122.101}
steps:
  - {section: A.1, title: Nothing, expect: [{no_file: {node: node1, path: /nothing}}]}
"""


def cell(name: str, seconds: float = 60.0, **needs: Any) -> Cell:
    """A cell called after its scenario, that needs little."""
    wanted = {"machines": 1, "memory": 300, "cores": 0.5, **needs}
    lab = plan.lab_name(name, "debian-12", "podman")
    return Cell(name, "debian-12", "podman", name, lab, 1, Needs(**wanted), seconds)


def virtual(one: Cell) -> Cell:
    """The same on virtual machines."""
    lab = plan.lab_name(one.scenario, one.platform, "vagrant")
    return replace(one, provider="vagrant", lab=lab)


def names(cells: Sequence[Cell]) -> list[str]:
    return [one.scenario for one in cells]


# -- cells ----------------------------------------------------------------------------------


def test_every_scenario_on_every_platform_that_is_built_here() -> None:
    found = plan.select().cells
    wished = {(s, p) for s in scenario.names() for p in platforms.built_here()}
    assert {(one.scenario, one.platform) for one in found} == wished
    assert len(found) == len(wished)
    for one in found:
        assert re.fullmatch(NAME, one.lab)
        assert one.sections > 1
        assert one.seconds > plan.BRING_UP


def test_other_platforms_are_for_those_who_name_them() -> None:
    (found,) = plan.select(["guest-walkthrough"], ["centos-7"], "vagrant").cells
    assert (found.scenario, found.platform) == ("guest-walkthrough", "centos-7")
    assert "centos-7" in platforms.names()
    assert "centos-7" not in {one.platform for one in plan.select(["guest-walkthrough"]).cells}


def test_names_of_labs_are_valid_and_their_own() -> None:
    given = [(f"{'long-' * 9}{n}", f"rocky-9.{m}") for n in range(9) for m in range(9)]
    made = [plan.lab_name(*one, provider) for one in given for provider in providers.names()]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(NAME, one) for one in made)
    short = ("guest-walkthrough", "debian-12")
    assert plan.lab_name(*short, "podman") == "m-guest-walkthrough-debian-12"
    assert plan.lab_name(*short, "vagrant") == "m-guest-walkthrough-debian-12-vagrant"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["guest"], "no scenario 'guest'"),
        (["--platform", "beos-5"], "no platform 'beos-5'; choose one of: almalinux-9, "),
        (["--shard", "0/2"], "--shard '0/2': write 2/3"),
        (["--shard", "3/2"], "--shard '3/2'"),
        (["--shard", "2"], "--shard '2'"),
        (["--shard", "a/b"], "--shard 'a/b'"),
        (["--jobs", "-1"], "--jobs -1"),
        (["--jobs", "two"], "invalid int value: 'two'"),
        (["--provider", "lxc"], "no provider 'lxc'; choose one of: podman, vagrant"),
        (["--provider", "auto"], "runner happens to have; choose one of: podman, vagrant"),
        (["--emulated"], "add --provider vagrant"),
        (["--platform", "centos-7"], "and podman has no machines of boxes"),
        (
            ["scale", "container-guests", "--provider", "vagrant"],
            "provider vagrant has nothing to do: scale: slim machines are containers, here remote",
        ),
    ],
)
def test_bad_input(
    arguments: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    assert cli.main(["matrix", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bare.yaml").write_text(BARE)
    with pytest.raises(BadInput, match="both the scenario bare"):
        plan.select([str(tmp_path / "a" / "bare.yaml"), str(tmp_path / "b" / "bare.yaml")])


def test_an_emulated_machine_shares_its_processor_with_no_other_one() -> None:
    cores = [
        plan.needs(scenario.load(scenario.find(name)), emulated=True).cores
        for name in ("guest-walkthrough", "guest-quick-example", "remote-walkthrough")
    ]
    emulated, other, container = cores
    assert emulated + other > 2.0
    assert emulated + container <= 2.0


def test_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest's memory counts; a container in a container is a machine for the kernel."""
    guests = scenario.load(scenario.find("guest-walkthrough"))
    own = guests.guests["guest1"]
    one = plan.needs(guests, emulated=True)
    assert one.machines == 1
    assert one.memory >= own.memory + memory.QEMU + memory.CODE
    assert one.memory == plan.needs(guests, emulated=False).memory + memory.CODE
    assert one.cores > plan.needs(guests, emulated=False).cores
    container = own.model_copy(update={"kind": "container"})
    other = plan.needs(guests.model_copy(update={"guests": {"guest1": container}}), emulated=True)
    assert other.machines == 2
    assert other.memory < one.memory
    scale = scenario.load(scenario.find("scale"))
    slim = [name for name, machine in scale.nodes.items() if machine.slim]
    many = plan.needs(scale, emulated=True)
    assert many.machines == len(scale.nodes) - len(slim) < len(scale.nodes)
    assert many.memory > plan.needs(
        scale.model_copy(update={"nodes": {"node1": scale.nodes["node1"]}}), emulated=True
    ).memory + 20 * len(slim)
    three = plan.needs(scenario.load(scenario.find("remote-walkthrough")), emulated=True)
    assert three.machines == 3
    monkeypatch.setattr(kvm, "missing", lambda: "")
    (fast,) = plan.select(["guest-walkthrough"], ["debian-12"]).cells
    assert fast.needs.cores < one.cores


# -- virtual machines -----------------------------------------------------------------------


class Virtual:
    """What a matrix asks of the provider vagrant, as one says it that emulates or does not."""

    def __init__(self, place: str, pace: float = 1.0) -> None:
        self.place = place
        self.slower = pace

    def guests(self) -> str:
        return self.place

    def pace(self) -> float:
        return self.slower

    def labs(self) -> set[str]:
        return set()


def on_virtual(monkeypatch: pytest.MonkeyPatch, *, emulated: bool) -> list[Cell]:
    """Every cell of the provider vagrant on a machine with KVM that nests, or without any."""
    made = Virtual("beside", 4.0) if emulated else Virtual("inside")
    monkeypatch.setattr(providers, "load", lambda name: made)
    monkeypatch.setattr(kvm, "missing", lambda: "no svm" if emulated else "")
    return plan.select(provider="vagrant").cells


def test_scenarios_that_need_containers_are_left_out_and_named() -> None:
    found = plan.select(provider="vagrant")
    assert {one.scenario: one.why.split(", ")[0] for one in found.left_out} == {
        "configuration-explained": "guests that are containers need images that only podman brings",
        "container-guests": "guests that are containers need images that only podman brings",
        "scale": "slim machines are containers",
    }
    done = {one.scenario for one in found.cells}
    assert done | {one.scenario for one in found.left_out} == set(scenario.names())
    assert "scale" not in done
    assert {one.provider for one in found.cells} == {"vagrant"}
    assert not {one.lab for one in found.cells} & {one.lab for one in plan.select().cells}
    assert plan.select().left_out == []


def test_needs_of_virtual_machines() -> None:
    """Their own memory, not the kernel's inotify instances; a guest inside has its host's."""
    guests = scenario.load(scenario.find("guest-walkthrough"))
    host, guest = guests.nodes["example-host"].memory, guests.guests["guest1"].memory
    beside = plan.virtual_needs(guests, "beside", emulated=True)
    inside = plan.virtual_needs(guests, "inside", emulated=False)
    emulated = memory.together([host], [guest], emulated=True)
    assert beside.memory == plan.HARNESS + emulated > plan.HARNESS + host + guest + 2 * memory.QEMU
    assert inside.memory == plan.HARNESS + host + memory.QEMU
    family = plan.virtual_needs(guests, "beside", emulated=True, family="redhat")
    assert family.memory == beside.memory + 1024 - guest
    assert (beside.machines, inside.machines) == (0, 0)
    assert beside.cores - inside.cores == 2 * 0.75
    three = scenario.load(scenario.find("remote-walkthrough"))
    assert plan.virtual_needs(three, "inside", emulated=True).cores == 0.5 + 3.0


@pytest.mark.parametrize("emulated", [True, False])
def test_cells_are_counted_for_this_machines_provider(
    emulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "beside" if emulated else "inside"
    for one in on_virtual(monkeypatch, emulated=emulated):
        loaded = scenario.load(scenario.find(one.scenario))
        assert one.needs == plan.virtual_needs(loaded, place, emulated=emulated)  # type: ignore[arg-type]


def test_shards_are_the_same_with_and_without_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they are made of is: how long a cell takes on this machine comes afterwards."""
    slow, fast = (on_virtual(monkeypatch, emulated=emulated) for emulated in (True, False))
    assert [one.needs for one in slow] != [one.needs for one in fast]
    assert [one.seconds for one in slow] == [one.seconds for one in fast]
    for number in (1, 2, 3):
        mine = [one.lab for one in plan.shard(slow, number, 3)]
        assert mine == [one.lab for one in plan.shard(fast, number, 3)] != []


def test_emulated_machines_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """… unless it is known how long; what containers took says nothing of it, nor the reverse."""
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    made = {"podman": Virtual("inside"), "vagrant": Virtual("beside", 4.0)}
    monkeypatch.setattr(providers, "load", lambda name: made[name])
    cells = [one for name in "abc" for one in (cell(name), virtual(cell(name)))]
    _passed("a", 100.0, 1)
    _passed("b", 700.0, 1, provider="vagrant")
    found = schedule.with_known_durations(cells)
    assert [one.seconds for one in found] == [100.0, 240.0, 60.0, 700.0, 60.0, 240.0]


# -- shards ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_shards_have_every_cell_once(seed: int) -> None:
    """Whatever the cells and however many shards; in any order; and none has much more to do."""
    chance = random.Random(seed)
    cells = [
        cell(f"s{n}", chance.choice([1.0, 30.0, chance.uniform(1, 900)]))
        for n in range(chance.randrange(0, 40))
    ]
    count = chance.randrange(1, 12)
    parts = [plan.shard(cells, number, count) for number in range(1, count + 1)]
    assert sorted(names([one for part in parts for one in part])) == sorted(names(cells))
    mixed = cells.copy()
    chance.shuffle(mixed)
    for number, part in enumerate(parts, 1):
        assert set(names(plan.shard(mixed, number, count))) == set(names(part))
    loads = [sum(one.seconds for one in part) for part in parts]
    longest = max((one.seconds for one in cells), default=0.0)
    assert max(loads) - min(loads) <= longest


def test_shards_do_not_depend_on_what_a_machine_has_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runners that share the cells have run different ones before."""
    before = [plan.shard(plan.select().cells, number, 2) for number in (1, 2)]
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    _passed("guest-walkthrough", 9999.0, plan.select(["guest-walkthrough"]).cells[0].sections)
    assert [plan.shard(plan.select().cells, number, 2) for number in (1, 2)] == before


def _passed(
    name: str,
    seconds: float,
    sections: int,
    at: float = 1.0,
    provider: str = "podman",
    **ended: Any,
) -> None:
    folder = paths.results() / f"m-{name}" / f"run-{at}"
    with Results(folder / "results.jsonl") as results:
        results(
            RunStarted(
                lab="l",
                scenario=name,
                title="",
                platform="debian-12",
                provider=provider,
                sections=tuple(map(str, range(sections))),
            )
        )
        results(RunEnded(at=at, seconds=seconds, **{"verdict": "passed", **ended}))


def test_known_durations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last whole run that passed counts; not one that carried on, failed or was cut short."""
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    cells = [replace(cell(name), sections=5) for name in ("a", "b", "c")]
    _passed("a", 111.0, 5, at=2.0)
    _passed("a", 100.0, 5, at=1.0)
    _passed("a", 7.0, 2, at=3.0)
    _passed("b", 8.0, 5, verdict="failed")
    wholes = (paths.results() / "m-a" / "run-2.0" / "results.jsonl").read_bytes()
    for number, content in enumerate([b"", b"{\n\n", b"[1]\n", b"\0", wholes[:-9], b"{}\n{}\n"]):
        broken = paths.results() / "x" / f"run-{number}"
        broken.mkdir(parents=True)
        (broken / "results.jsonl").write_bytes(content)
    (broken.parent / "latest").symlink_to("run-0")
    found = schedule.with_known_durations(cells)
    assert [one.seconds for one in found] == [111.0, 60.0, 60.0]
