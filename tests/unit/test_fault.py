"""Faults: what is written down, what is done, and that healing looks whether it is healed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import faults, paths
from lab.context import Context
from lab.errors import BadInput, CannotRun, CommandFailed, LabError, Unreachable
from lab.faults import NotHealed, machine, process
from lab.lab import Lab
from lab.machine import Result
from lab.providers import Wire
from lab.scenario import load
from lab.vocabulary import Node, Vocabulary

SCENARIOS = {
    name: load(paths.SCENARIOS / f"{name}-walkthrough.yaml") for name in ("guest", "remote")
}
Answer = Callable[[re.Match[str], str], tuple[int, str]]


class FakeMachine:
    """A machine that does what its script has for a command, and keeps what was typed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.script: list[tuple[str, Answer]] = []
        self.typed: list[str] = []

    def on(self, pattern: str, answer: Answer | tuple[int, str]) -> None:
        fixed = answer if callable(answer) else lambda _match, _stdin: answer
        self.script.append((pattern, fixed))

    def run(
        self, command: str, *, within: float = 30, stdin: str = "", check: bool = False
    ) -> Result:
        assert within > 0
        self.typed.append(command)
        for pattern, answer in self.script:
            if match := re.fullmatch(pattern, command, re.S):
                code, text = answer(match, stdin)
                if check and code:
                    raise CommandFailed(f"`{command}` ended with {code}: {text}", output=text)
                return Result(command, code, "" if code else text, text if code else "", 0.0)
        raise NotImplementedError(f"no script has: {command}")


class FakeProvider:
    """Power, cables and a network's parts. With `stuck`, nothing that mends does anything."""

    def __init__(self, nodes: list[str]) -> None:
        self.power = dict.fromkeys(nodes, True)
        self.cables = dict.fromkeys(nodes, True)
        self.groups: list[list[str]] = []
        self.stuck = False

    def running(self, lab: str) -> dict[str, bool]:
        assert lab == "a-lab"
        return self.power

    def power_off(self, lab: str, node: str) -> None:
        assert lab == "a-lab"
        self.power[node] = False

    def cable(self, lab: str, node: str, *, plugged: bool) -> None:
        assert lab == "a-lab"
        assert node in self.cables
        self.cables[node] = plugged and not self.stuck

    def partition(self, lab: str, groups: list[list[str]]) -> None:
        assert lab == "a-lab"
        if groups or not self.stuck:
            self.groups = groups

    def wiring(self, lab: str) -> dict[str, Wire]:
        assert lab == "a-lab"
        group_of = {node: n for n, group in enumerate(self.groups, 1) for node in group}
        return {node: Wire(on, group_of.get(node, 0)) for node, on in self.cables.items()}


class FakeLab:
    """A lab of such machines."""

    name = "a-lab"

    def __init__(self, folder: Path, scenario: str = "remote") -> None:
        self.folder = folder
        self.scenario = SCENARIOS[scenario]
        self.provider = FakeProvider(list(self.scenario.nodes))
        self.machines: dict[str, Any] = {name: FakeMachine(name) for name in self.scenario.names}
        self.given_power: list[str] = []
        self.domain = "running"  # the guest's state, where its host has power

    def machine(self, node: str) -> Any:
        return self.machines[node]

    def address(self, node: str) -> str:
        return self.scenario.address(node)

    def guests_of(self, guest: str) -> Any:
        def state(name: str) -> str:
            assert name == guest
            if not self.provider.power[self.scenario.guests[guest].host]:
                raise CommandFailed("libvirtd cannot be reached")
            return self.domain

        return SimpleNamespace(state=state)

    def power_on(self, node: str) -> None:
        self.given_power.append(node)
        if self.provider.stuck:
            raise Unreachable(f"{node} cannot be logged in to")
        if node in self.provider.power:
            self.provider.power[node] = True

    @property
    def real(self) -> Lab:
        return cast(Lab, self)

    @property
    def records(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("faults/*.json"))

    def inject(self, name: str, **arguments: Any) -> faults.Standing:
        made = faults.inject(self.real, name, arguments)
        assert made in faults.standing(self.real)
        return made

    def heals(self, one: faults.Standing) -> None:
        faults.heal(self.real, one)
        assert self.records == []

    def heals_not(self, one: faults.Standing) -> str:
        with pytest.raises(NotHealed) as caught:
            faults.heal(self.real, one)
        assert self.records == [f"{one.number}.json"]  # it can be tried again
        assert caught.value.hint == f"lab fault heal {one.number} --name a-lab tries again"
        prefix = f"the fault is not healed: {one.text}: "
        assert caught.value.message.startswith(prefix)
        return caught.value.message.removeprefix(prefix)


@pytest.fixture
def lab(tmp_path: Path) -> FakeLab:
    return FakeLab(tmp_path)


@pytest.fixture
def guests(tmp_path: Path) -> FakeLab:
    return FakeLab(tmp_path, "guest")


# -- what is written down -------------------------------------------------------------------


class Recorder:
    """Faults `one` and `two` of a table of their own, which note what is done, and can fail."""

    def __init__(self, lab: FakeLab, table: Vocabulary) -> None:
        self.lab = lab
        self.done: list[Any] = []
        self.seen: list[dict[str, Any]] = []  # on disk, while each one was injected
        self.error: BaseException | None = None
        self.left: str | Exception = ""

        def one(context: Context, node: Node, size: int = 1) -> None:
            assert context.lab is lab.real
            self.seen += [json.loads(p.read_text()) for p in lab.folder.glob("faults/*.json")]
            self.done.append(("inject", node, size))
            if self.error:
                raise self.error

        def heal_one(context: Context, node: str, size: int = 1, *, before: str) -> str:
            self.done.append(("heal", node, size, before))
            if isinstance(self.left, Exception):
                raise self.left
            return self.left

        def remember(context: Context, node: str, size: int = 1) -> str:
            assert ("inject", node, size) not in self.done
            return f"{node} as it was"

        def two(context: Context) -> None:
            self.done.append("inject two")

        def heal_two(context: Context) -> str:
            self.done.append("heal two")
            return ""

        table("{node} has {size}", remember=remember, heal=heal_one)(one)
        table("two is there", heal=heal_two)(two)


@pytest.fixture
def recorder(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    table = Vocabulary("fault")
    monkeypatch.setattr(faults, "load", lambda: table)
    return Recorder(lab, table)


def test_it_is_on_disk_before_it_is_injected(lab: FakeLab, recorder: Recorder) -> None:
    before = time.time()
    made = lab.inject("one", node="node1", size=7)
    (seen,) = recorder.seen
    at = seen.pop("at")
    assert before <= at <= time.time()
    assert seen == {
        "fault": "one",
        "arguments": {"node": "node1", "size": 7},
        "before": "node1 as it was",
    }
    assert (made.number, made.at, made.text) == (1, at, "node1 has 7")
    assert lab.records == ["1.json"]  # and no half of one
    assert faults.standing(lab.real) == [made]


def test_it_is_healed_by_what_is_on_disk(lab: FakeLab, recorder: Recorder) -> None:
    lab.inject("one", node="node1", size=7)
    (found,) = faults.standing(lab.real)  # as another process would
    lab.heals(found)
    assert recorder.done == [("inject", "node1", 7), ("heal", "node1", 7, "node1 as it was")]
    lab.heals(found)  # twice does no harm


def test_a_number_is_given_once(lab: FakeLab, recorder: Recorder) -> None:
    """So that `lab fault heal 1` does not mean another fault than it did a minute ago."""
    for number in (1, 2, 3):
        made = lab.inject("two")
        assert made.number == number
        lab.heals(made)


def test_faults_in_the_order_of_their_injection(lab: FakeLab, recorder: Recorder) -> None:
    made = [lab.inject("one", node="node1", size=size) for size in range(11, 0, -1)]
    assert [one.number for one in made] == list(range(1, 12))
    assert faults.standing(lab.real) == made


def test_the_same_fault_twice_is_refused(lab: FakeLab, recorder: Recorder) -> None:
    lab.inject("two")
    with pytest.raises(CannotRun) as caught:
        faults.inject(lab.real, "two", {})
    assert caught.value.message == "this fault stands already: two is there"
    assert caught.value.hint == "lab fault heal 1"
    assert (recorder.done, lab.records) == (["inject two"], ["1.json"])


def test_the_same_fault_of_another_node_is_another_one(lab: FakeLab) -> None:
    lab.inject("cut", node="node1")
    assert lab.inject("cut", node="node2").number == 2
    assert [one.text for one in faults.standing(lab.real)] == [
        "the network cable of node1 is pulled",
        "the network cable of node2 is pulled",
    ]


@pytest.mark.parametrize("error", [LabError("no"), ValueError("odd"), KeyboardInterrupt()])
def test_half_of_it_is_healed(lab: FakeLab, recorder: Recorder, error: BaseException) -> None:
    recorder.error = error
    with pytest.raises(type(error)) as caught:
        lab.inject("one", node="node1")
    assert caught.value is error
    assert recorder.done[-1] == ("heal", "node1", 1, "node1 as it was")
    assert lab.records == []


def test_half_of_it_that_cannot_be_healed_stands(lab: FakeLab, recorder: Recorder) -> None:
    recorder.error, recorder.left = LabError("no"), "a hole"
    with pytest.raises(NotHealed, match="a hole"):
        lab.inject("one", node="node1")
    assert lab.records == ["1.json"]


@pytest.mark.parametrize("left", ["a hole", LabError("a hole"), OSError("a hole")])
def test_what_is_not_healed_stays_on_record(
    lab: FakeLab, recorder: Recorder, left: str | Exception
) -> None:
    made = lab.inject("one", node="node1")
    recorder.left = left
    assert lab.heals_not(made) == "a hole"
    recorder.left = ""
    lab.heals(made)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", "7", '{"x": 1}', '{"fault": "cut"}', "\0", "[" * 100_000),
        '{"fault": "cut", "arguments": {"node": "node1"}, "at": "x"}',
        '{"fault": "cut", "arguments": {"node": "node1"}, "at": 1e300}',
        '{"fault": "cut", "arguments": {"node": "node1"}, "at": 1.0, "zzz": 1}',
        '{"fault": "cut", "arguments": ["node1"], "at": 1.0}',
        '{"fault": "cut", "arguments": {}, "at": 1.0}',
        '{"fault": "cut", "arguments": {"node": 5}, "at": 1.0}',
        '{"fault": "gnaw", "arguments": {"node": "node1"}, "at": 1.0}',
    ],
)
def test_a_damaged_record_is_named(lab: FakeLab, content: str) -> None:
    lab.inject("cut", node="node1")
    file = lab.folder / "faults" / "2.json"
    file.write_text(content)
    with pytest.raises(CannotRun) as caught:
        faults.standing(lab.real)
    assert caught.value.message.startswith(f"{file} is damaged: ")


def test_a_file_that_is_no_record_is_named(lab: FakeLab) -> None:
    lab.inject("cut", node="node1")
    (lab.folder / "faults" / "1.json").rename(lab.folder / "faults" / "one.json")
    with pytest.raises(CannotRun, match=r"one\.json is damaged"):
        faults.standing(lab.real)


def test_no_fault_stands_in_a_new_lab(lab: FakeLab) -> None:
    assert faults.standing(lab.real) == []


def test_a_record_that_was_half_written_is_none(lab: FakeLab) -> None:
    lab.inject("cut", node="node1")
    (lab.folder / "faults" / "2.new").write_text("{")
    assert len(faults.standing(lab.real)) == 1


@pytest.mark.parametrize("error", [None, ValueError("odd"), LabError("no"), KeyboardInterrupt()])
def test_it_stands_while_the_block_runs(
    lab: FakeLab, recorder: Recorder, error: BaseException | None
) -> None:
    def block() -> None:
        with faults.stands(lab.real, "one", node="node1", size=2) as made:
            assert faults.standing(lab.real) == [made]
            recorder.done.append("block")
            if error:
                raise error

    if error:
        with pytest.raises(type(error)) as caught:
            block()
        assert caught.value is error
    else:
        block()
    assert recorder.done == [
        ("inject", "node1", 2), "block", ("heal", "node1", 2, "node1 as it was"),
    ]  # fmt: skip
    assert lab.records == []


@pytest.mark.parametrize("error", [ValueError("odd"), LabError("no"), KeyboardInterrupt()])
def test_what_ended_the_block_is_the_news_also_where_it_is_not_healed(
    lab: FakeLab, error: BaseException
) -> None:
    def block() -> None:
        with faults.stands(lab.real, "cut", node="node1"):
            lab.provider.stuck = True
            raise error

    with pytest.raises(type(error)) as caught:
        block()
    assert caught.value is error
    (note,) = caught.value.__notes__
    assert note.endswith("the network cable of node1 is pulled: the cable is still out")
    assert lab.records == ["1.json"]


def test_a_block_after_which_it_is_not_healed(lab: FakeLab) -> None:
    def block() -> None:
        with faults.stands(lab.real, "cut", node="node1"):
            lab.provider.stuck = True

    with pytest.raises(NotHealed, match="the cable is still out"):
        block()
    assert lab.records == ["1.json"]


# -- what is refused ------------------------------------------------------------------------

# What is refused was not injected: to heal it is to undo what somebody else did, or to fail.


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("freze", {"node": "node1"}, "unknown fault 'freze'; did you mean 'freeze'?"),
        ("cut", {"node": "node3"}, "there is no node 'node3'; nodes: node1, node2, remote1"),
        ("cut", {"host": "node1"}, "host is no argument of it; arguments: node"),
    ],
)
def test_what_there_is_not(lab: FakeLab, name: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        faults.inject(lab.real, name, arguments)
    assert says in caught.value.message
    assert lab.records == []


def test_a_guest_has_no_cable(guests: FakeLab) -> None:
    with pytest.raises(BadInput, match="guest1 is a guest; this fault is for machines"):
        faults.inject(guests.real, "cut", {"node": "guest1"})
    assert guests.records == []


@pytest.mark.parametrize("port", ["3121", "3121/sctp", "0/tcp", "65536/tcp", "tcp/3121", "1/tcp\n"])
def test_a_port_that_is_none(lab: FakeLab, port: str) -> None:
    Nft(lab.machine("node1"))
    with pytest.raises(BadInput) as caught:
        faults.inject(lab.real, "block_port", {"node": "node1", "port": port})
    assert f"{port!r} is not a port: write 3121/tcp or 5405/udp" in caught.value.message
    assert lab.records == []


def test_a_network_is_partitioned_once(lab: FakeLab) -> None:
    groups = [["node1"], ["node2", "remote1"]]
    made = lab.inject("partition", groups=groups)
    with pytest.raises(CannotRun, match="the network is partitioned already"):
        faults.inject(lab.real, "partition", {"groups": [["node1", "node2"], ["remote1"]]})
    assert lab.provider.groups == groups  # as the fault that stands says
    assert faults.standing(lab.real) == [made]


def test_a_loss_that_is_refused_ends_no_delay(lab: FakeLab) -> None:
    tc = Tc(lab.machine("node1"), lab.address("node1"))
    lab.inject("delay", node="node1", milliseconds=5)
    with pytest.raises(BadInput, match="percent should be from 1 to 100"):
        faults.inject(lab.real, "loss", {"node": "node1", "percent": 0})
    assert tc.netem == "delay 5ms"


def test_a_record_of_a_fault_that_there_is_no_more(lab: FakeLab) -> None:
    lab.inject("cut", node="node1")
    file = lab.folder / "faults" / "1.json"
    file.write_text(file.read_text().replace("cut", "gnaw"))
    with pytest.raises(CannotRun, match=r"1\.json is damaged"):
        print([one.text for one in faults.standing(lab.real)])


def test_ctrl_c_goes_through_what_cannot_be_healed(lab: FakeLab, recorder: Recorder) -> None:
    recorder.error, recorder.left = KeyboardInterrupt(), "a hole"
    with pytest.raises(KeyboardInterrupt):
        lab.inject("one", node="node1")
    assert lab.records == ["1.json"]


def test_why_it_could_not_be_injected_is_told_with_what_is_left(
    lab: FakeLab, recorder: Recorder
) -> None:
    recorder.error, recorder.left = LabError("no such cable"), "a hole"
    with pytest.raises(NotHealed, match="a hole") as caught:
        lab.inject("one", node="node1")
    assert "no such cable" in caught.value.message


# -- power and cables -----------------------------------------------------------------------


def test_power_off(lab: FakeLab) -> None:
    made = lab.inject("power_off", node="remote1")
    assert lab.provider.power == {"node1": True, "node2": True, "remote1": False}
    lab.provider.stuck = True
    assert lab.heals_not(made) == "remote1 cannot be logged in to"
    lab.provider.stuck = False
    lab.heals(made)
    assert lab.provider.power["remote1"]


def test_a_cable(lab: FakeLab) -> None:
    made = lab.inject("cut", node="node2")
    assert lab.provider.cables == {"node1": True, "node2": False, "remote1": True}
    lab.provider.stuck = True
    assert lab.heals_not(made) == "the cable is still out"
    lab.provider.stuck = False
    lab.heals(made)
    assert lab.provider.cables["node2"]


def test_a_partition(lab: FakeLab) -> None:
    groups = [["node1", "remote1"], ["node2"]]
    made = lab.inject("partition", groups=groups)
    assert lab.provider.groups == groups
    assert made.text == "the network is partitioned: node1, remote1 | node2"
    lab.provider.stuck = True
    assert lab.heals_not(made) == "still apart: node1, node2, remote1"
    lab.provider.stuck = False
    lab.heals(made)
    assert lab.provider.groups == []


@pytest.mark.parametrize(
    "groups",
    [
        [["node1", "node2"]],
        [["node1"], []],
        [["node1"], ["node1", "node2"]],
        [["node1", "node1"], ["node2"]],
    ],
)
def test_a_partition_that_is_none(lab: FakeLab, groups: list[list[str]]) -> None:
    with pytest.raises(
        BadInput, match="two groups of nodes or more, none empty, and a node in one of"
    ):
        faults.inject(lab.real, "partition", {"groups": groups})
    assert (lab.provider.groups, lab.records) == ([], [])


def test_a_guest_has_no_cable_and_no_plug(guests: FakeLab) -> None:
    refused: dict[str, dict[str, Any]] = {
        "power_off": {"node": "guest1"},
        "partition": {"groups": [["example-host"], ["guest1"]]},
    }
    for name, arguments in refused.items():
        with pytest.raises(BadInput, match="guest1 is a guest; this fault is for machines: ex"):
            faults.inject(guests.real, name, arguments)
        assert guests.records == []
    assert all(guests.provider.power.values())


# -- ports, delay, loss ---------------------------------------------------------------------


class Nft:
    """nftables on a machine, as far as tables go."""

    def __init__(self, on: FakeMachine) -> None:
        self.tables: dict[str, str] = {}
        self.stuck = False
        on.on(r"nft -f -", self.load)
        on.on(r"nft delete table (.*)", self.delete)
        on.on(r"nft list tables", lambda *_: (0, "".join(f"table {t}\n" for t in self.tables)))

    def load(self, _match: re.Match[str], rules: str) -> tuple[int, str]:
        self.tables[rules.splitlines()[0].removeprefix("add table ")] = rules
        return 0, ""

    def delete(self, match: re.Match[str], _stdin: str) -> tuple[int, str]:
        if match[1] not in self.tables:
            return 1, "No such file or directory"
        if not self.stuck:
            del self.tables[match[1]]
        return 0, ""


def test_a_port(lab: FakeLab) -> None:
    nft = Nft(lab.machine("remote1"))
    made = lab.inject("block_port", node="remote1", port="3121/tcp")
    other = lab.inject("block_port", node="remote1", port="312/tcp")
    (rules, _) = nft.tables.values()
    assert rules == (
        "add table inet lab_block_tcp_3121\n"
        "add chain inet lab_block_tcp_3121 input { type filter hook input priority -400; }\n"
        "add rule inet lab_block_tcp_3121 input tcp dport 3121 counter drop\n"
    )
    faults.heal(lab.real, other)
    assert list(nft.tables) == ["inet lab_block_tcp_3121"]
    nft.stuck = True
    assert lab.heals_not(made) == "the table inet lab_block_tcp_3121 is still there"
    nft.tables.clear()  # the machine was fenced meanwhile
    lab.heals(made)
    assert lab.given_power == ["remote1"] * 3


def test_a_port_of_udp(lab: FakeLab) -> None:
    nft = Nft(lab.machine("node1"))
    lab.inject("block_port", node="node1", port="5405/udp")
    assert "udp dport 5405" in nft.tables["inet lab_block_udp_5405"]


class Tc:
    """The queueing discipline of a machine's network card, br0."""

    def __init__(self, on: FakeMachine, address: str) -> None:
        self.netem = ""
        self.stuck = False
        line = f"7: br0    inet {address}/24 scope global br0\\       valid_lft forever\n"
        on.on(f"ip -o -4 address show to {re.escape(address)}/32", (0, line))
        on.on(r"tc qdisc replace dev br0 root netem (.*)", self.replace)
        on.on(r"tc qdisc show dev br0", lambda *_: (0, self.shown()))
        on.on(r"tc qdisc del dev br0 root", self.delete)

    def shown(self) -> str:
        return f"qdisc netem 8001: root {self.netem}\n" if self.netem else "qdisc noqueue 0: root\n"

    def replace(self, match: re.Match[str], _stdin: str) -> tuple[int, str]:
        self.netem = match[1]
        return 0, ""

    def delete(self, *_: object) -> tuple[int, str]:
        assert self.netem, "there is nothing to delete"
        self.netem = self.netem if self.stuck else ""
        return 0, ""


@pytest.mark.parametrize(
    ("name", "arguments", "netem", "text"),
    [
        ("delay", {"milliseconds": 200}, "delay 200ms", "what node1 sends is delayed by 200 ms"),
        ("loss", {"percent": 30}, "loss 30%", "30 % of what node1 sends is lost"),
        ("loss", {"percent": 100}, "loss 100%", "100 % of what node1 sends is lost"),
    ],
)
def test_netem(lab: FakeLab, name: str, arguments: dict[str, int], netem: str, text: str) -> None:
    tc = Tc(lab.machine("node1"), lab.address("node1"))
    made = lab.inject(name, node="node1", **arguments)
    assert (tc.netem, made.text) == (netem, text)
    tc.stuck = True
    assert lab.heals_not(made) == "br0 still has netem"
    tc.stuck = False
    lab.heals(made)
    assert tc.netem == ""
    assert lab.given_power == ["node1"] * 2


def test_netem_that_is_gone_already(lab: FakeLab) -> None:
    tc = Tc(lab.machine("node1"), lab.address("node1"))
    made = lab.inject("delay", node="node1", milliseconds=5)
    tc.netem = ""  # the machine was fenced, and its network card is another one
    lab.heals(made)


@pytest.mark.parametrize("name", ["delay", "loss"])
def test_a_kernel_without_netem_is_named(lab: FakeLab, name: str) -> None:
    machine = lab.machine("node1")
    output = "Error: Specified qdisc kind is unknown.\n"
    machine.on("tc qdisc replace .*", (2, output))
    Tc(machine, lab.address("node1"))
    key = {"delay": "milliseconds", "loss": "percent"}[name]
    with pytest.raises(CannotRun) as caught:
        faults.inject(lab.real, name, {"node": "node1", key: 10})
    assert "the kernel that node1 runs on has no netem (sch_netem)" in caught.value.message
    assert "block_port" in caught.value.hint
    assert lab.records == []


def test_netem_that_fails_otherwise_is_no_missing_kernel(lab: FakeLab) -> None:
    machine = lab.machine("node1")
    machine.on("tc qdisc replace .*", (2, "RTNETLINK answers: Operation not permitted"))
    Tc(machine, lab.address("node1"))
    with pytest.raises(CommandFailed, match="not permitted"):
        faults.inject(lab.real, "delay", {"node": "node1", "milliseconds": 10})
    assert lab.records == []


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_a_share_that_is_none(lab: FakeLab, percent: int) -> None:
    Tc(lab.machine("node1"), lab.address("node1"))
    with pytest.raises(BadInput, match=f"percent should be from 1 to 100, not {percent}"):
        faults.inject(lab.real, "loss", {"node": "node1", "percent": percent})
    assert lab.records == []


# -- with a real shell ----------------------------------------------------------------------


class Shell:
    """This machine in the place of a lab's: a real shell, with programs of the test's own."""

    def __init__(self, programs: Path, prefix: tuple[str, ...] = ()) -> None:
        self.programs, self.prefix = programs, prefix
        self.typed: list[str] = []
        self.login: LabError | None = None  # why nobody can log in
        programs.mkdir(exist_ok=True)

    def await_login(self, within: float) -> None:
        assert within > 60  # a machine may be on its way up
        self.typed.append("await login")
        if self.login:
            raise self.login

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(
        self, command: str, *, within: float = 30, stdin: str = "", check: bool = False
    ) -> Result:
        self.typed.append(command)
        done = subprocess.run(
            [*self.prefix, "sh", "-c", command],
            env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        if check and done.returncode:
            raise CommandFailed(f"{done.returncode}: {done.stderr}", output=done.stderr)
        return Result(command, done.returncode, done.stdout, done.stderr, 0.0)


@pytest.fixture
def shell(lab: FakeLab, tmp_path: Path) -> Shell:
    made = Shell(tmp_path / "bin")
    lab.machines["node1"] = made
    return made


NAME = f"lab-unit-{os.getpid()}"


def state(running: subprocess.Popen[bytes]) -> str:
    """A letter of proc(5): R, S, T (stopped), Z."""
    return Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0]


def becomes(running: subprocess.Popen[bytes], letters: str) -> None:
    end = time.monotonic() + 5
    while state(running) not in letters:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes of a name of this test's own."""
    (tmp_path / NAME).symlink_to("/bin/sleep")
    made = [subprocess.Popen([tmp_path / NAME, "60"]) for _ in range(2)]
    try:
        for one in made:
            becomes(one, "S")
        yield made
    finally:
        for one in made:
            one.kill()
            one.wait()


def test_processes_really_frozen(
    lab: FakeLab, shell: Shell, daemons: list[subprocess.Popen[bytes]]
) -> None:
    made = lab.inject("freeze", node="node1", process=NAME)
    for one in daemons:
        becomes(one, "T")
    lab.heals(made)
    assert [state(one) for one in daemons] == ["S", "S"]
    lab.heals(made)  # it was not frozen


def test_a_process_that_stays_frozen_is_named(
    lab: FakeLab,
    shell: Shell,
    daemons: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = lab.inject("freeze", node="node1", process=NAME)
    daemons[0].send_signal(18)  # SIGCONT
    becomes(daemons[0], "S")
    becomes(daemons[1], "T")
    monkeypatch.setattr(process, "SOON", 0.1)
    run = shell.run
    monkeypatch.setattr(shell, "run", lambda c, **m: run(c.replace("kill -CONT", "echo"), **m))
    assert lab.heals_not(made) == f"{NAME} ({daemons[1].pid}) is still stopped"


def test_a_frozen_process_that_died_with_its_machine(lab: FakeLab, shell: Shell) -> None:
    made = faults.Standing(1, "freeze", {"node": "node1", "process": NAME})
    lab.heals(made)  # it was fenced, and is up again: no process is stopped
    lab.provider.power["node1"] = False
    lab.machines.clear()  # nobody asks a machine without power
    lab.heals(made)


@pytest.mark.parametrize("name", ["freeze", "kill"])
def test_a_process_that_does_not_run(lab: FakeLab, shell: Shell, name: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        faults.inject(lab.real, name, {"node": "node1", "process": f"{NAME}-none"})
    assert caught.value.message == f"{NAME}-none does not run on node1"
    assert lab.records == []


@pytest.mark.parametrize("died", ["with its host", "alone"])
def test_a_guests_process_died_with_it(guests: FakeLab, died: str) -> None:
    if died == "alone":
        guests.domain = "shut off"
    guests.provider.power["example-host"] = died == "alone"
    guests.machines.clear()
    made = faults.Standing(1, "freeze", {"node": "guest1", "process": NAME})
    guests.heals(made)


def test_a_machine_that_was_fenced_for_a_frozen_process_is_awaited(
    lab: FakeLab, shell: Shell
) -> None:
    made = faults.Standing(1, "freeze", {"node": "node1", "process": NAME})
    shell.login = Unreachable("node1 cannot be logged in to")
    with pytest.raises(NotHealed, match="node1 cannot be logged in to"):
        faults.heal(lab.real, made)
    assert shell.typed == ["await login"]
    shell.login = None
    lab.heals(made)


def service(shell: Shell, folder: Path, unit: str) -> None:
    """systemd, as far as the process is a service's: starting it starts another one."""
    shell.program("ps", f'[ "$1 $2" = "-o unit=" ] && echo "{unit}" || exec /usr/bin/ps "$@"')
    shell.program("systemctl", f'[ "$1" = start ] && echo "$2" >> {folder}/started')


def test_processes_really_killed(
    lab: FakeLab, shell: Shell, daemons: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    service(shell, tmp_path, "a daemon's.service")
    made = lab.inject("kill", node="node1", process=NAME)
    assert [one.wait(5) for one in daemons] == [-9, -9]
    assert made.before == "a daemon's.service"
    daemons.append(subprocess.Popen([tmp_path / NAME, "60"]))  # as systemd would
    lab.heals(made)
    assert (tmp_path / "started").read_text() == "a daemon's.service\n"


def test_a_service_that_does_not_come_back_is_named(
    lab: FakeLab,
    shell: Shell,
    daemons: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service(shell, tmp_path, "x.service")
    monkeypatch.setattr(process, "SOON", 0.1)
    made = lab.inject("kill", node="node1", process=NAME)
    for one in daemons:
        one.wait(5)
    assert lab.heals_not(made) == f"{NAME} does not run"
    lab.provider.stuck = True
    assert lab.heals_not(made) == "node1 cannot be logged in to"


def test_a_machine_that_was_fenced_for_a_killed_process_gets_power(
    lab: FakeLab, shell: Shell, daemons: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    service(shell, tmp_path, "x.service")
    made = lab.inject("kill", node="node1", process=NAME)
    for one in daemons:
        one.wait(5)
    lab.provider.power["node1"] = False
    daemons.append(subprocess.Popen([tmp_path / NAME, "60"]))  # as systemd would
    lab.heals(made)
    assert (lab.given_power, lab.provider.power["node1"]) == (["node1"], True)
    assert (tmp_path / "started").read_text() == "x.service\n"


def test_a_process_that_is_no_service_is_not_started(
    lab: FakeLab, shell: Shell, daemons: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    service(shell, tmp_path, "session-1.scope")
    made = lab.inject("kill", node="node1", process=NAME)
    lab.heals(made)
    assert not (tmp_path / "started").exists()


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "authkey"
    path.write_bytes(b"right" * 800)
    path.chmod(0o660)  # more than a new file gets
    monkeypatch.setattr(machine, "KEY", str(path))
    return path


def test_a_wrong_key(lab: FakeLab, shell: Shell, key: Path, tmp_path: Path) -> None:
    shell.program("systemctl", f'echo "$*" >> {tmp_path}/systemctl.log')
    before, log = key.stat(), tmp_path / "systemctl.log"
    made = lab.inject("wrong_authkey", node="node1")
    assert key.read_bytes() != b"right" * 800
    assert len(key.read_bytes()) == 4096
    facts = ("st_mode", "st_uid", "st_gid")
    assert [getattr(key.stat(), f) for f in facts] == [getattr(before, f) for f in facts]
    assert log.read_text() == "try-restart pacemaker_remote\n"
    lab.heals(made)
    assert key.read_bytes() == b"right" * 800
    assert [getattr(key.stat(), f) for f in facts] == [getattr(before, f) for f in facts]
    assert log.read_text() == "try-restart pacemaker_remote\n" * 2
    lab.heals(made)  # there is nothing to do
    assert log.read_text() == "try-restart pacemaker_remote\n" * 2
    assert lab.given_power == ["node1"] * 2  # it may have been fenced for it


def test_a_wrong_key_of_which_only_half_was_made(
    lab: FakeLab, shell: Shell, key: Path, tmp_path: Path
) -> None:
    """The right key is kept aside, and the daemon could not be restarted."""
    shell.program("systemctl", f"[ -e {tmp_path}/fine ]")
    (tmp_path / "fine").touch()
    made = lab.inject("wrong_authkey", node="node1")
    lab.heals(made)
    (tmp_path / "fine").unlink()
    shell.program("systemctl", f"[ -e {tmp_path}/once ] || {{ touch {tmp_path}/once; exit 1; }}")
    with pytest.raises(CommandFailed):
        faults.inject(lab.real, "wrong_authkey", {"node": "node1"})
    assert key.read_bytes() == b"right" * 800
    assert lab.records == []


def test_a_key_that_stays_wrong_is_named(lab: FakeLab, shell: Shell, key: Path) -> None:
    shell.program("systemctl", "true")
    made = lab.inject("wrong_authkey", node="node1")
    shell.program("mv", "true")
    assert lab.heals_not(made) == f"the right key is still {key}.right"


@pytest.fixture
def mounts(lab: FakeLab, tmp_path: Path) -> Iterator[Shell]:
    """A machine that may mount: a shell in mount and user namespaces of its own."""
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--propagation=private"]
    holder = subprocess.Popen([*argv, "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        if not holder.stdout.readline():
            pytest.skip("no user namespaces here")
        way = ("nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials")
        made = Shell(tmp_path / "bin", way)
        lab.machines["node1"] = made
        yield made
    finally:
        holder.kill()
        holder.wait()


def test_a_folder_really_full(lab: FakeLab, mounts: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir(mode=0o750)
    (folder / "kept").write_text("kept")
    name = str(folder).replace("'", "'\\''")
    made = lab.inject("fill_disk", node="node1", folder=str(folder))
    write = f"head -c 100000 /dev/zero > '{name}/new'"
    done = mounts.run(write)
    assert "No space left" in done.stderr
    seen = mounts.run(f"cat '{name}/kept'; stat -c %a '{name}'; echo more > '{name}/kept'")
    assert seen.stdout == "kept750\n"
    mounts.run(f"rm '{name}/new'; rm '{name}/.lab-fault-full'; echo later > '{name}/later'")
    lab.heals(made)
    mounts.run(write, check=True)
    listed = mounts.run(f"ls -A '{name}'", check=True).stdout.split()
    assert listed == ["kept", "later", "new"]  # what was written meanwhile is not lost
    assert mounts.run(f"stat -c %a '{name}'").stdout == "750\n"
    assert "lab-full" not in mounts.run("cat /proc/self/mounts").stdout
    lab.heals(made)
    assert mounts.run(f"ls -A '{name}'").stdout.split() == listed


def full(lab: FakeLab, mounts: Shell, folder: Path) -> faults.Standing:
    """A full folder with a file of before, and one that was written since."""
    folder.mkdir()
    (folder / "kept").write_text("kept")
    made = lab.inject("fill_disk", node="node1", folder=str(folder))
    mounts.run(f"rm {folder}/.lab-fault-full; echo later > {folder}/later", check=True)
    return made


def test_nothing_is_deleted_in_a_folder_that_was_full(
    lab: FakeLab, mounts: Shell, tmp_path: Path
) -> None:
    """A daemon has a file of it open, and goes on writing to that one."""
    folder = tmp_path / "folder"
    made = full(lab, mounts, folder)
    with (folder / "kept").open() as daemon:  # from outside, where nothing is mounted
        mounts.run(f"echo more > {folder}/kept", check=True)
        lab.heals(made)
        assert daemon.read() == "more\n"


@pytest.mark.parametrize(
    ("program", "script"),
    [
        ("umount", "exit 1"),
        ("cp", '[ "$1" = -a ] && exit 1; exec /bin/cp "$@"'),
        ("cp", '[ "$1" = -au ] && exit 1; exec /bin/cp "$@"'),
        ("rm", '[ "$1" = -r ] && exit 1; exec /bin/rm "$@"'),
    ],
)
def test_a_full_folder_is_healed_at_the_second_try(
    lab: FakeLab, mounts: Shell, tmp_path: Path, program: str, script: str
) -> None:
    folder = tmp_path / "folder"
    made = full(lab, mounts, folder)
    mounts.program(program, script)
    lab.heals_not(made)
    (mounts.programs / program).unlink()
    lab.heals(made)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "kept": "kept", "later": "later\n",
    }  # fmt: skip
    assert "lab-full" not in mounts.run("cat /proc/self/mounts").stdout
    aside = Path(f"/var/tmp/lab-fault{str(folder).replace('/', '-')}")
    assert not aside.exists()


def test_a_folder_that_is_not_there(lab: FakeLab, mounts: Shell, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file or directory"):
        faults.inject(lab.real, "fill_disk", {"node": "node1", "folder": f"{tmp_path}/none"})
    assert "lab-full" not in mounts.run("cat /proc/self/mounts").stdout
    assert lab.records == []


def test_a_folder_that_stays_full_is_named(lab: FakeLab, mounts: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    made = lab.inject("fill_disk", node="node1", folder=str(folder))
    mounts.program("umount", "true")
    assert lab.heals_not(made) == f"{folder} is still the full file system"
