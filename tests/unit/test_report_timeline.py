"""The pictures of recoveries: bars where the times are, labels that can be read."""

from __future__ import annotations

import re
from itertools import combinations
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest
from example_run import BEGAN, FROZEN, POWERLESS, UNFENCED, frozen, happened, lines, state

from lab import events as e
from lab.report.history import history
from lab.report.recovery import ROWS, Recovery, Row, Stretch, few, recoveries
from lab.report.timeline import NARROW, WIDE, Layout, picture

S = "5.6"
LAYOUTS = pytest.mark.parametrize("layout", [WIDE, NARROW], ids=lambda one: one.name)


def found(events: list[e.Event]) -> list[Recovery]:
    """The recoveries of a run with these events in its sections."""
    begun = e.RunStarted(
        at=BEGAN, lab="l", scenario="s", title="t", platform="p", provider="q", sections=()
    )
    if not any(isinstance(one, e.RunStarted) for one in events):
        events = [begun, *events]
    return [one for those in recoveries(history(lines(events))).values() for one in those]


def drawn(recovery: Recovery, layout: Layout) -> ET.Element:
    return ET.fromstring(picture(recovery, layout, "picture"))


def fault_with(phases: dict[str, float | None], healed: float | None = None) -> Recovery:
    """A fault with these phases, in a cluster in which nothing is known to have changed."""
    events: list[e.Event] = [
        state(BEGAN + 1, S),
        e.FaultInjected(at=BEGAN + 50, section=S, number=7, text="freeze"),
    ]
    if healed is not None:
        at = BEGAN + 50 + healed
        events.append(e.FaultHealed(at=at, section=S, number=7, text="freeze", seconds=0))
    last = max([healed or 0, *(at for at in phases.values() if at is not None)])
    events.append(
        e.Recovered(at=BEGAN + 60 + last, section=S, text="x", began=BEGAN + 50, phases=phases)
    )
    [recovery] = found(events)
    return recovery


class Bar(NamedTuple):
    """A bar as drawn, in pixels, and what its title says."""

    x: float
    width: float
    looks: list[str]
    title: str
    text: str


def number(element: ET.Element, name: str) -> float:
    return float(element.get(name, ""))


def bars(svg: ET.Element, row: str) -> list[Bar]:
    [group] = [one for one in svg.iter("g") if one.get("data-row") == row][-1:]
    result = []
    for bar in group:
        rects = bar.findall("rect")
        looks = [one.get("class", one.get("fill", "")) for one in rects]
        title, text = bar.findtext("title", ""), bar.findtext("text", "")
        if rects:
            result.append(Bar(number(rects[0], "x"), number(rects[0], "width"), looks, title, text))
        else:
            path = bar.find("path")
            assert path is not None
            match = re.fullmatch(r"M([\d.]+),[\d.]+ h([\d.]+)", path.get("d", ""))
            assert match
            x, width = float(match[1]), float(match[2])
            result.append(Bar(x, width, [path.get("class", "")], title, text))
    return result


class Axis:
    """Where the picture's own ticks say that moments are."""

    def __init__(self, svg: ET.Element) -> None:
        ticks = [one for one in svg.iter("text") if one.get("class") == "tick"]
        places = {float(one.text or ""): number(one, "x") for one in ticks}
        assert len(places) > 1
        first, last = min(places), max(places)
        self.unit = (places[last] - places[first]) / (last - first)
        self.zero = places[first] - first * self.unit

    def x(self, at: float) -> float:
        return self.zero + at * self.unit


def marks(svg: ET.Element) -> dict[str, tuple[float | None, list[ET.Element]]]:
    """For each mark, where its line is, and its label's texts."""
    result: dict[str, tuple[float | None, list[ET.Element]]] = {}
    for one in svg.iter("g"):
        if name := one.get("data-mark"):
            path = one.find("path")
            x = None if path is None else float(path.get("d", "")[1:].split(",")[0])
            result[name] = (x, one.findall("text"))
    return result


@LAYOUTS
def test_bars_are_where_the_times_are(layout: Layout) -> None:
    frozen_one = found(happened())[0]
    svg = drawn(frozen_one, layout)
    axis = Axis(svg)
    node = bars(svg, "remote1")  # the resource; the node of that name is asked for below
    assert [bar.title.split(", +")[0] for bar in node][1:] == [
        "remote1: Started node1 (failed)",
        "remote1: Stopped",
        "remote1: Starting node1",
        "remote1: Started node1",
    ]
    for bar, begin, end in zip(node[1:4], (12.3, 12.9, 15.4), (12.9, 15.4, 21.8), strict=True):
        assert bar.x == pytest.approx(axis.x(begin), abs=0.1)
        assert bar.x + bar.width == pytest.approx(axis.x(end), abs=0.1)
    first = next(one for one in svg.iter("g") if one.get("data-row") == "remote1")
    states = [re.split(r", [+-]", one.findtext("title", ""))[0] for one in first]
    assert states == [
        "remote1: online", "remote1: offline unclean", "remote1: offline", "remote1: online"
    ]  # fmt: skip
    unclean = first[1].find("rect")
    assert unclean is not None
    assert number(unclean, "x") == pytest.approx(axis.x(12.9), abs=0.1)
    assert number(unclean, "width") == pytest.approx(2.5 * axis.unit, abs=0.1)


@LAYOUTS
def test_rows_begin_with_the_state_before_the_fault(layout: Layout) -> None:
    recovery = found(happened())[0]  # its last snapshot before is section 5.3's
    for row in (*recovery.nodes, *recovery.resources):
        assert row.stretches[0].begin == recovery.begin < 0
        assert row.stretches[-1].end == recovery.end
    assert [one.name for one in recovery.nodes] == ["node1", "node2", "remote1"]
    svg = drawn(recovery, layout)
    assert bars(svg, "FAKE2")[0].text == "node1"


def test_looks_tell_states_and_places_apart_without_colour() -> None:
    svg = drawn(found(happened())[0], WIDE)
    failed, nowhere, starting, started = bars(svg, "remote1")[1:]
    assert failed.looks[1:] == ["url(#cross)", "frame"]
    assert failed.text.startswith("✗")
    assert nowhere.looks == ["nowhere"]
    assert starting.looks[1:] == ["url(#hatch)"]
    assert starting.text == "Starting node1"
    assert len(started.looks) == 1
    places = {
        bar.text: bar.looks[0] for name in ("FAKE1", "FAKE2", "FAKE3") for bar in bars(svg, name)
    }
    assert len({places[name] for name in ("node1", "node2", "remote1")}) == 3
    assert bars(svg, "FAKE2")[0].looks == bars(svg, "fence-node2")[0].looks


def test_a_resource_on_two_nodes_shows_both() -> None:
    both = state(BEGAN + 52, S)
    both.resources["FAKE1"]["nodes"] = ["remote1", "node2"]
    [recovery] = found(
        [
            state(BEGAN + 1, S),
            e.FaultInjected(at=BEGAN + 50, section=S, number=1, text="x"),
            both,
            state(BEGAN + 58, S),
        ]
    )
    bar = bars(drawn(recovery, WIDE), "FAKE1")[1]
    assert len(set(bar.looks)) == 2
    assert bar.text == "remote1 node2"


def test_a_node_that_the_cluster_forgot_for_a_while_has_a_gap() -> None:
    without = state(BEGAN + 52, S)
    del without.nodes["remote1"]
    again = [state(BEGAN + 55, S), state(BEGAN + 56, S)]
    fault = e.FaultInjected(at=BEGAN + 50, section=S, number=1, text="x")
    [recovery] = found([state(BEGAN + 1, S), fault, without, *again])
    remote1 = next(row for row in recovery.nodes if row.name == "remote1")
    assert [(max(0, one.begin), min(6, one.end)) for one in remote1.stretches] == [(0, 2), (5, 6)]


@LAYOUTS
def test_power_is_marked_on_the_node_s_row(layout: Layout) -> None:
    svg = drawn(found(happened())[0], layout)
    axis = Axis(svg)
    [group] = [one for one in svg.iter("g") if one.get("data-power")]
    assert group.get("data-power") == "remote1"
    off = group.find(".//rect")
    assert off is not None
    assert number(off, "x") == pytest.approx(axis.x(13.9), abs=0.1)
    assert number(off, "width") == pytest.approx(1.3 * axis.unit, abs=0.1)
    assert "power off" in [one.text for one in group.findall("text")]


def test_power_that_could_not_be_switched_is_not_off() -> None:
    last = found(happened())[2]
    assert [row.off for row in last.nodes] == [(), (), ()]
    svg = drawn(last, WIDE)
    assert "power off failed" in "".join(svg.itertext())


def test_power_switched_before_the_fault_and_told_late_counts() -> None:
    [recovery] = found(
        [
            state(BEGAN + 1, S),
            e.FaultInjected(at=BEGAN + 50, section=S, number=1, text="x"),
            state(BEGAN + 60, S, nodes={"node2": "offline"}),
            e.PowerSwitched(at=BEGAN + 55, section=S, node="node2", action="on"),
            e.PowerSwitched(at=BEGAN + 20, section=S, node="node2", action="off"),
            e.PowerSwitched(at=BEGAN + 54, section=S, node="node1", action="reset"),
        ]
    )
    rows = {row.name: row for row in recovery.nodes}
    assert rows["node2"].off == ((recovery.begin, 5.0, ""),)
    assert rows["node1"].off == ()
    assert rows["node1"].switched == ((4.0, "reset", ""),)


def test_power_is_what_libvirtd_saw_where_it_looked() -> None:
    """A BMC writes down later what it did, and nothing of a machine that ends by itself."""
    [recovery] = found(
        [
            state(BEGAN + 1, S),
            e.FaultInjected(at=BEGAN + 50, section=S, number=1, text="x"),
            e.PowerSwitched(at=BEGAN + 56, section=S, node="node2", action="off"),
            e.MachineChanged(
                at=BEGAN + 55, section=S, node="node2", state="off", reason="destroyed"
            ),
            e.MachineChanged(
                at=BEGAN + 57, section=S, node="guest1", state="paused", reason="paused"
            ),
            e.MachineChanged(at=BEGAN + 58, section=S, node="node2", state="on", reason="booted"),
            e.MachineChanged(at=BEGAN + 52, section=S, node="host", state="off", reason="failed"),
            state(BEGAN + 60, S, nodes={"node2": "offline"}),
        ]
    )
    rows = {row.name: row for row in recovery.nodes}
    assert rows["node2"].off == ((5.0, 8.0, "destroyed"),)
    assert "guest1" not in rows  # it had power
    assert rows["host"].off == ((2.0, recovery.end, "failed"),)
    said = "".join(drawn(recovery, WIDE).itertext())
    assert "node2: power off (destroyed), +5.0 s to +8.0 s" in said
    assert "host: power off (failed), +2.0 s to" in said


@LAYOUTS
def test_marks_stand_at_their_times_and_say_them(layout: Layout) -> None:
    svg = drawn(found(happened())[0], layout)
    axis = Axis(svg)
    told = {
        name: (x, " ".join(t.text or "" for t in texts)) for name, (x, texts) in marks(svg).items()
    }
    assert {name: text for name, (_, text) in told.items()} == {
        "fault": "fault 0 s",
        "detected": "detected +12.3 s",
        "fenced": "fenced +13.9 s",
        "recovered": "recovered +17.2 s",
        "reintegrated": "reintegrated +21.8 s",
        "healed": "healed +22.6 s",
    }
    for name, at in {"fault": 0, "detected": 12.3, "reintegrated": 21.8, "healed": 22.6}.items():
        assert told[name][0] == pytest.approx(axis.x(at), abs=0.1)


def test_what_did_not_happen_has_no_line() -> None:
    last = found(happened())[2]
    svg = drawn(last, WIDE)
    assert set(marks(svg)) == {"fault", "detected", "healed"}
    assert "not fenced" in svg.findtext("desc", "")
    assert last.end >= 60  # as long as it was waited for


def test_what_was_not_lost_need_not_come_back() -> None:
    recovery = fault_with(
        {"detected": 1.0, "fenced": None, "recovered": None, "reintegrated": None}
    )
    assert recovery.missed("recovered") == "no resource was lost"
    assert recovery.missed("reintegrated") == "no node was lost"
    assert recovery.missed("fenced") == "not fenced"
    assert found(happened())[2].missed("recovered") == "not recovered"


def test_a_healing_far_away_does_not_squeeze_the_rest() -> None:
    recovery = found(happened())[1]
    assert recovery.end < 12
    x, texts = marks(drawn(recovery, WIDE))["healed"]
    assert (x, [one.text for one in texts]) == (None, ["healed +45.0 s →"])
    near = fault_with({"detected": 5.0, "recovered": 20.0, "reintegrated": 21.0}, healed=30.0)
    assert near.end >= 30


CLOSE = [
    {"detected": 0.1, "fenced": 0.2, "recovered": 0.3, "reintegrated": 30.0},
    {"detected": 10.0, "fenced": 10.0, "recovered": 10.0, "reintegrated": 10.0},
    {"detected": 29.7, "fenced": 29.8, "recovered": 29.9, "reintegrated": 29.9},
    {"detected": 1.0, "fenced": 8.0, "recovered": 15.0, "reintegrated": 22.0},
    {"detected": 12.3, "fenced": 13.9, "recovered": 17.2, "reintegrated": 21.8},
    {"detected": 400.0, "fenced": None, "recovered": 1799.5, "reintegrated": 1800.0},
]


@LAYOUTS
@pytest.mark.parametrize("healed", [None, 0.4, 30.5, 900.0])
@pytest.mark.parametrize("phases", CLOSE)
def test_labels_can_be_read(
    phases: dict[str, float | None], healed: float | None, layout: Layout
) -> None:
    svg = drawn(fault_with(phases, healed), layout)
    boxes, strokes = [], []
    for name, (x, texts) in marks(svg).items():
        for one in texts:
            left, base = number(one, "x"), number(one, "y")
            # 12 px text: a letter of a wide sans-serif font is 7.4 wide on average.
            boxes.append((name, left, left + 7.4 * len(one.text or ""), base - 9.5, base + 2.5))
        if x is not None:
            path = next(
                p for g in svg.iter("g") if g.get("data-mark") == name for p in g.iter("path")
            )
            top = float(re.split("[, ]", path.get("d", ""))[1])
            strokes.append((name, x, top))
    assert len(boxes) >= 4
    for (a, a0, a1, at, ab), (b, b0, b1, bt, bb) in combinations(boxes, 2):
        apart = a1 <= b0 or b1 <= a0 or ab <= bt or bb <= at
        assert apart, f"the label of {a} is over that of {b}"
    for name, left, right, _, bottom in boxes:
        assert left >= 0
        assert right <= layout.width + 0.1
        for other, x, top in strokes:
            assert not (left < x < right and top < bottom), f"{other}'s line is through {name}"


@LAYOUTS
def test_texts_stay_in_their_bars(layout: Layout) -> None:
    for recovery in found(happened()):
        svg = drawn(recovery, layout)
        count = 0
        for group in svg.iter("g"):
            rect, text = group.find("rect"), group.find("text")
            if group.get("class") != "bar" or rect is None or text is None:
                continue
            count += 1
            end = number(text, "x") + 7.3 * len(text.text or "")
            assert number(rect, "x") <= number(text, "x")
            assert end <= number(rect, "x") + number(rect, "width")
        assert count > 8


def test_the_zero_is_where_the_recovery_began() -> None:
    """Injecting takes a while: the fault stands a little later than the recovery begins."""
    events = [
        state(BEGAN + 1, S),
        e.FaultInjected(at=BEGAN + 50.5, section=S, number=1, text="cut a off"),
        e.FaultInjected(at=BEGAN + 50.9, section=S, number=2, text="cut b off"),
        e.FaultHealed(at=BEGAN + 58, section=S, number=2, text="cut b off", seconds=0),
        e.FaultHealed(at=BEGAN + 59, section=S, number=1, text="cut a off", seconds=0),
        e.Recovered(at=BEGAN + 60, section=S, text="x", began=BEGAN + 50, phases={"detected": 3.0}),
    ]
    [both] = found(events)
    assert both.faults == (1, 2)
    assert both.text == "cut a off, cut b off"
    assert {one.name: round(one.at, 1) for one in both.marks} == {
        "fault 1": 0.5, "fault 2": 0.9, "detected": 3.0, "fault 2 healed": 8.0,
        "fault 1 healed": 9.0,
    }  # fmt: skip


def test_numbers_that_come_again_are_other_faults() -> None:
    again = [
        e.FaultInjected(at=BEGAN + 90, section=S, number=1, text="again"),
        e.FaultHealed(at=BEGAN + 95, section=S, number=1, text="again", seconds=0),
    ]
    lost = e.FaultInjected(at=BEGAN + 10, section=S, number=1, text="its harness was killed")
    first, second = found([state(BEGAN, S), lost, *again])
    assert [m.name for m in first.marks] == ["fault", "fault 1"]
    assert first.marks[1].kind == "other"
    assert [m.name for m in second.marks] == ["fault", "healed"]


def test_the_book_s_own_kill_is_drawn_from_its_recovery_alone() -> None:
    events = [one for one in frozen() if not isinstance(one, e.FaultInjected)]
    [recovery] = found(events)
    assert recovery.faults == ()
    assert recovery.phase("recovered") == 17.2


def test_the_example_s_faults_are_where_it_says() -> None:
    at = [one.at for one in happened() if isinstance(one, e.FaultInjected)]
    assert at == [FROZEN, POWERLESS, UNFENCED]


# -- very many rows -------------------------------------------------------------------------


def _rows(count: int, *states: str) -> tuple[Row, ...]:
    stretches = tuple(Stretch(float(n), n + 1.0, state) for n, state in enumerate(states))
    return tuple(Row(f"r{number}", stretches) for number in range(1, count + 1))


def test_few_rows_are_all_there() -> None:
    rows = (*_rows(ROWS - 1, "online"), Row("x", ()))
    assert few(rows) == (rows, (0, 0))


def test_of_many_rows_those_that_were_well_are_left_out() -> None:
    lost = Row("node2", (Stretch(0, 1, "online"), Stretch(1, 2, "offline")))
    dead = Row("node3", (Stretch(0, 2, "offline"),))
    failed = Row("F", (Stretch(0, 2, "Started", ("node1",), failed=True),))
    switched = Row("node4", (Stretch(0, 2, "online"),), switched=((1.0, "off", ""),))
    drawn, left = few((*_rows(200, "online"), lost, dead, failed, switched))
    assert drawn == (lost, dead, failed, switched)
    assert left == (200, 0)


def test_rows_that_look_the_same_are_one() -> None:
    drawn, left = few(_rows(200, "online", "offline", "online"))
    assert [row.name for row in drawn] == ["r1 … r200"]
    assert left == (0, 0)


def test_no_picture_is_longer_than_it_can_be() -> None:
    rows = tuple(Row(f"r{n}", (Stretch(0, n, "online"), Stretch(n, 99, "x"))) for n in range(1, 90))
    drawn, left = few(rows)
    assert (len(drawn), left) == (ROWS, (0, 89 - ROWS))
