"""A picture of a cluster over time, as SVG: a row for each node and resource, a line for each mark.

It is drawn for the width at which it is going to be seen, so that its text is never scaled
down: `WIDE` and `NARROW`. Units are CSS pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lab.report.bars import (
    BAR,
    MONO,
    SIZE,
    STRIP,
    Scale,
    colours,
    node_bars,
    power_marks,
    resource_bars,
    seconds,
)
from lab.report.markup import Html, tag
from lab.report.recovery import Mark, Recovery, Row

_LINE = 14.0  # height of a line of text
_SANS = 0.64  # width of a letter, in sizes; generous, as nobody knows what font there will be
_SPACE = 6.0  # between a label and its line, and behind it
_NAME = 28  # letters of a row's name that are shown
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # seconds


@dataclass(frozen=True)
class Layout:
    """`above`: names stand above their bars, and times below the names of their marks."""

    name: str
    width: float
    above: bool
    ticks: int  # at most


WIDE = Layout("wide", 1080.0, above=False, ticks=12)
NARROW = Layout("narrow", 358.0, above=True, ticks=6)


def picture(recovery: Recovery, layout: Layout, name: str) -> Html:
    """The recovery as an SVG element; `name` is unique in the page."""
    marks = [mark for mark in recovery.marks if not mark.missing]
    scale = _scale(recovery, marks, layout)
    places = [scale.x(min(mark.at, recovery.end)) for mark in marks]
    lanes = _lanes(places, [_room(mark, recovery, layout) for mark in marks])
    lane = _LINE * (2 if layout.above else 1) + 2
    top = (max(lanes, default=0) + 1) * lane + 4
    scale = replace(scale, lines=tuple(places))
    bars, texts, bottom = _rows(recovery, layout, scale, top)
    lines = [
        _line(mark, _label(mark, recovery, layout), x, top - lane * (number + 1) - 2, bottom)
        for mark, x, number in zip(marks, places, lanes, strict=True)
    ]
    return tag(
        "svg",
        tag("title", f"The cluster over time: {recovery.text}", id=f"{name}-title"),
        tag("desc", described(recovery), id=f"{name}-about"),
        *_axis(recovery, scale, layout.ticks, top, bottom),
        *bars,
        *lines,
        *texts,
        viewBox=f"0 0 {layout.width:.0f} {bottom + 34:.0f}",
        class_=f"timeline {layout.name}",
        role="img",
        aria_labelledby=f"{name}-title {name}-about",
    )


def described(recovery: Recovery) -> str:
    """The picture in a sentence."""
    reached = [f"{m.name} {seconds(m.at)}" for m in recovery.marks if not m.missing]
    missed = [recovery.missed(m.name) for m in recovery.marks if m.missing]
    return ", ".join(reached + missed) + "."


def _label(mark: Mark, recovery: Recovery, layout: Layout) -> list[str]:
    """A mark in words, one or two lines of them; an arrow if it is beyond the picture."""
    when = seconds(mark.at) + (" →" if mark.at > recovery.end else "")
    return [mark.name, when] if layout.above else [f"{mark.name} {when}"]


def _room(mark: Mark, recovery: Recovery, layout: Layout) -> float:
    """What a mark's label needs right of its line."""
    letters = max(map(len, _label(mark, recovery, layout)))
    return letters * SIZE * _SANS + 2 * _SPACE


def _scale(recovery: Recovery, marks: list[Mark], layout: Layout) -> Scale:
    names = [row.name for row in (*recovery.nodes, *recovery.resources)]
    letters = min(_NAME, max(map(len, names), default=0))
    left = 1.0 if layout.above else letters * SIZE * MONO + 14
    # Labels stand right of their lines: the last ones need room there.
    span = recovery.end - recovery.begin
    right = layout.width - SIZE  # half of the last tick's number stands beyond it
    for mark in marks:
        part = (min(mark.at, recovery.end) - recovery.begin) / span
        right = min(right, left + (layout.width - left - _room(mark, recovery, layout)) / part)
    return Scale(recovery.begin, left, right, (right - left) / span)


def _lanes(places: list[float], rooms: list[float]) -> list[int]:
    """For each mark, in which line of labels its own stands; 0 is next to the rows.

    A mark's line ends at its label. So where several are close, the label of the earlier one
    is above those of the later ones: then no line runs through a label.
    """
    found = [0] * len(places)
    for i in reversed(range(len(places))):
        reach = places[i] + rooms[i]
        under = [found[j] for j in range(i + 1, len(places)) if places[j] < reach]
        found[i] = max(under) + 1 if under else 0
    return found


def _rows(
    recovery: Recovery, layout: Layout, scale: Scale, y: float
) -> tuple[list[Html], list[Html], float]:
    """All rows from `y` on: their bars, what stands above marks' lines, and where they end."""
    drawn: list[Html] = []
    above: list[Html] = []
    looks = colours(recovery)
    for title, group in (("nodes", recovery.nodes), ("resources", recovery.resources)):
        if group:
            above.append(tag("text", title, class_="group", x=0.0, y=y + 13))
            y += 19
        for row in group:
            name = row.name if len(row.name) <= _NAME else row.name[: _NAME - 1] + "…"
            above.append(tag("text", name, class_="name", x=0.0, y=y + 13))
            y += 17 if layout.above else 0
            is_node = group is recovery.nodes
            bars = node_bars(row, scale, y) if is_node else resource_bars(row, scale, y, looks)
            drawn.append(tag("g", *bars, data_row=row.name))
            y += BAR + 5
            if _has_power(row):
                above.append(tag("g", *power_marks(row, scale, y - 3), data_power=row.name))
                y += STRIP
        y += 5 if group else 0
    return drawn, above, y


def _has_power(row: Row) -> bool:
    return bool(row.off or row.switched)


def _axis(
    recovery: Recovery, scale: Scale, ticks: int, top: float, bottom: float
) -> Iterator[Html]:
    """Lines and seconds at round moments from the fault on."""
    span = recovery.end - recovery.begin
    step = next((one for one in _STEPS if span / one <= ticks), span / ticks)
    number = 0
    while (at := number * step) <= recovery.end:
        x = scale.x(at)
        yield tag("path", class_="grid", d=f"M{x:.2f},{top:.2f} V{bottom + 3:.2f}")
        yield tag("text", f"{at:g}", class_="tick", x=x, y=bottom + 16)
        number += 1
    yield tag("path", class_="axis", d=f"M{scale.left:.2f},{bottom:.2f} H{scale.right:.2f}")
    yield tag("text", "seconds after the fault", class_="unit", x=scale.right, y=bottom + 31)


def _line(mark: Mark, label: list[str], x: float, top: float, bottom: float) -> Html:
    """A mark's line from its label down through all rows; without it if it is beyond them."""
    drawn = [tag("path", d=f"M{x:.2f},{top:.2f} V{bottom:.2f}")] if "→" not in label[-1] else []
    for number, text in enumerate(label):
        drawn.append(tag("text", text, x=x + _SPACE - 2, y=top + 11 + number * _LINE))
    return tag("g", *drawn, class_=f"mark {mark.kind}", data_mark=mark.name)
