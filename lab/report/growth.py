"""What remote nodes cost, as pictures: a line for each thing measured, over their number.

The same numbers stand in a table below. One layout serves all pages: as many pictures beside
one another as there is room for, none of them scaled far from its own width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab.events import Grew
from lab.growth import Point, from_plain
from lab.report.history import History
from lab.report.markup import Html, tag

WIDTH, HEIGHT = 352.0, 190.0  # of a picture, in CSS pixels as all here
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 20.0, 34.0, 30.0  # around the lines
_TICKS = 4  # at most, of each axis
_LETTER = 7.5  # width of a letter of a number; generous
_CLOSE = 12.0  # numbers below the axis are no closer than that


@dataclass(frozen=True)
class Measure:
    """One thing measured: its title, its unit, a point's value, and how that is written."""

    title: str
    unit: str
    value: Callable[[Point], float]
    digits: int = 1

    def said(self, point: Point) -> str:
        """A point's value in words."""
        return f"{self.value(point):.{self.digits}f}"


MEASURES = (
    Measure("until all are online", "s", lambda one: one.integrate),
    Measure("until a lost node's connections are taken over", "s", lambda one: one.failover),
    Measure("CIB", "KiB", lambda one: one.cib / 1024, 0),
    Measure("one run of the scheduler", "s", lambda one: one.scheduler, 3),
    Measure("memory of a remote node", "MiB", lambda one: one.memory),
)


def block(found: History) -> Iterator[Html]:
    """The pictures and their table, if the run measured any growth."""
    told = [event for event in found.events if isinstance(event, Grew)]
    if not told:
        return
    last = told[-1]
    points = [from_plain(one) for one in last.points]
    pictures = [picture(measure, points, last.nodes) for measure in MEASURES]
    yield tag(
        "section",
        tag("h2", "What remote nodes cost"),
        tag(
            "p",
            f"This run had {last.nodes}; the other points are of earlier runs on this machine. "
            "It is one machine for all nodes: its load at that time is in the table.",
            class_="note",
        ),
        tag("div", *pictures, class_="growth"),
        _table(points, last.nodes),
        id="growth",
    )


def picture(measure: Measure, points: list[Point], own: int) -> Html:
    """One measure over the number of remote nodes; `own` is this run's, drawn larger."""
    most = max(one.nodes for one in points)
    top: float = max(max(measure.value(one) for one in points), 10.0**-measure.digits)
    across, up = _step(most), _step(top)
    top = up * math.ceil(top / up - 1e-9)

    def x(nodes: float) -> float:
        return _LEFT + nodes / most * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)

    places = [(x(one.nodes), y(measure.value(one)), one) for one in points]
    line = " L".join(f"{a:.1f},{b:.1f}" for a, b, _ in places)
    said = f"{measure.title}, {measure.unit}"
    name = f"growth-{MEASURES.index(measure)}"
    return tag(
        "svg",
        tag("title", said, id=f"{name}-title"),
        tag("desc", described(measure, points), id=f"{name}-about"),
        tag("text", said, class_="name", x=0.0, y=14.0),
        *_grid(top, up, y),
        *_numbers(most, across, x),
        tag("path", class_="line", d=f"M{line}") if len(points) > 1 else Html(),
        *(_dot(a, b, one, measure, own=one.nodes == own) for a, b, one in places),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-about",
    )


def described(measure: Measure, points: list[Point]) -> str:
    """The picture in a sentence."""
    return ", ".join(f"{one.nodes}: {measure.said(one)} {measure.unit}" for one in points) + "."


def _grid(top: float, step: float, y: Callable[[float], float]) -> Iterator[Html]:
    for number in range(round(top / step) + 1):
        at = y(number * step)
        kind = "grid" if number else "axis"
        yield tag("path", class_=kind, d=f"M{_LEFT:.1f},{at:.1f} H{WIDTH - _RIGHT:.1f}")
        yield tag("text", f"{number * step:g}", class_="tick upward", x=_LEFT - 6, y=at + 4)


def _numbers(most: float, step: float, x: Callable[[float], float]) -> Iterator[Html]:
    """How many remote nodes, below the axis: round numbers, and the last one."""
    round_ = [number * step for number in range(int(most / step) + 1)]
    room = len(str(most)) * _LETTER + _CLOSE
    shown = [at for at in round_ if x(most) - x(at) >= room]
    for at in [*shown, most]:
        yield tag("text", f"{at:g}", class_="tick", x=x(at), y=HEIGHT - _BOTTOM + 16)
    unit = "remote nodes"
    yield tag("text", unit, class_="unit", x=WIDTH - _RIGHT, y=HEIGHT - 2)


def _dot(x: float, y: float, point: Point, measure: Measure, *, own: bool) -> Html:
    """A point, its numbers as its title; this run's has its value beside it."""
    said = f"{point.nodes} remote nodes: {measure.said(point)} {measure.unit}"
    drawn = [tag("title", said), tag("circle", cx=x, cy=y, r=5.0 if own else 3.0)]
    if own:
        text = measure.said(point)
        room = len(text) * _LETTER / 2
        middle = min(max(x, _LEFT + room), WIDTH - room)
        drawn.append(tag("text", text, class_="value", x=middle, y=max(y - 9, 26.0)))
    return tag("g", *drawn, class_="dot own" if own else "dot")


def _step(most: float) -> float:
    """The smallest round step of which no more than _TICKS are needed."""
    size = 10.0 ** math.floor(math.log10(most))
    steps = (size / 10, size / 5, size / 4, size / 2, size, 2 * size, 5 * size)
    return next(one for one in steps if most / one <= _TICKS + 1e-9)


def _table(points: list[Point], own: int) -> Html:
    names = ["remote nodes", *(f"{m.title}, {m.unit}" for m in MEASURES), "load of the machine"]
    head = [tag("th", name, scope="col") for name in names]
    rows = [
        tag(
            "tr",
            tag("th", f"{one.nodes}{' (this run)' if one.nodes == own else ''}", scope="row"),
            *(tag("td", measure.said(one)) for measure in MEASURES),
            tag("td", f"{one.load:.1f}"),
        )
        for one in points
    ]
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="costs")
    return tag("div", table, class_="wide")
