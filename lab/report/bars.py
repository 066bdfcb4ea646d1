"""The bars of a picture over time: a node's states and power, a resource's places.

Nothing is told by colour alone: a bar has its text in it where that fits, a pattern where its
state is not a good one, and all of it as its title. page.css has the colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from lab.report.markup import Html, joined, tag
from lab.report.recovery import Recovery, Row, Stretch

SIZE = 12.0  # of the text, in CSS pixels as all here
BAR = 17.0  # height
STRIP = 11.0  # height of what stands below a node's bar: its power
MONO = 0.61  # width of a letter, in sizes; generous, as nobody knows what font there will be
_SPACE = 7.0  # left and right of a text in a bar, together
_SMALL = SIZE - 2
_COLOURS = 6  # that page.css has for the nodes that a resource is on

PATTERNS = {
    "unclean": "cross",
    "offline": "back",
    "pending": "hatch",
    "standby": "dots",
    "maintenance": "dots",
}
"""What lies over a node's bar, by its kind."""

_DRAWN = {
    "hatch": tag("path", d="M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4"),
    "back": tag("path", d="M-2,6 l4,4 M0,0 l8,8 M6,-2 l4,4"),
    "cross": tag("path", d="M0,0 l8,8 M0,8 l8,-8"),
    "dots": joined([tag("circle", cx=2.0, cy=2.0, r=1.0), tag("circle", cx=6.0, cy=6.0, r=1.0)]),
}


@dataclass(frozen=True)
class Scale:
    """Where moments are: `begin` at `left`, and `unit` pixels for a second, up to `right`.

    `lines`: where lines run through all rows, in order.
    """

    begin: float
    left: float
    right: float
    unit: float
    lines: tuple[float, ...] = ()

    def x(self, at: float) -> float:
        """The place of a moment."""
        return self.left + (at - self.begin) * self.unit

    def width(self, begin: float, end: float) -> float:
        """Of a bar; one that lasted for no time can be seen as well."""
        return max(1.0, (end - begin) * self.unit)

    def gaps(self, begin: float, end: float) -> Iterator[tuple[float, float]]:
        """Places between two places that no line runs through, each with its width."""
        inside = [x for x in self.lines if begin < x < end]
        edges = [begin, *inside, end]
        yield from ((a, b - a) for a, b in pairwise(edges))


def definitions() -> Html:
    """The patterns that the pictures of a page share. A page has them once, before those."""
    patterns = [
        tag(
            "pattern",
            content,
            id=name,
            width=8.0,
            height=8.0,
            patternUnits="userSpaceOnUse",
            class_=f"pattern {name}",
        )
        for name, content in _DRAWN.items()
    ]
    defs = tag("defs", *patterns)
    return tag("svg", defs, class_="patterns", width=0.0, height=0.0, aria_hidden="true")


def seconds(at: float) -> str:
    """A moment as the pictures write it: `+10.2 s`, the fault's own `0 s`."""
    return f"{at:+.1f} s" if round(at, 1) else "0 s"


def kind(state: str) -> str:
    """The one word of a node's state that decides what its bar looks like."""
    words = state.split()
    order = ("unclean", "pending", "offline", "standby", "maintenance", "online")
    return next((one for one in order if one in words), "other")


def colours(recovery: Recovery) -> dict[str, str]:
    """The class of a resource's bar, for each node that one could be on."""
    names = [row.name for row in recovery.nodes]
    for row in recovery.resources:
        names += [node for one in row.stretches for node in one.nodes]
    return {name: f"n{i % _COLOURS}" for i, name in enumerate(dict.fromkeys(names))}


def box(x: float, y: float, width: float, height: float, look: str, pattern: str = "") -> Html:
    """A bar's area, and the pattern that lies over it."""
    base = tag("rect", class_=look, x=x, y=y, width=width, height=height)
    if not pattern:
        return base
    fill = f"url(#{pattern})"
    return joined([base, tag("rect", fill=fill, x=x, y=y, width=width, height=height)])


def node_bars(row: Row, scale: Scale, y: float) -> Iterator[Html]:
    """What the cluster thought of a node."""
    for one in row.stretches:
        x, width = scale.x(one.begin), scale.width(one.begin, one.end)
        look = kind(one.state)
        drawn = box(x, y, width, BAR, f"s-{look}", PATTERNS.get(look, ""))
        yield _bar(row, one, drawn, _fitting([one.state, look], scale, x, y, width))


def resource_bars(row: Row, scale: Scale, y: float, looks: dict[str, str]) -> Iterator[Html]:
    """Where a resource was; a dotted line while it was nowhere."""
    for one in row.stretches:
        x, width = scale.x(one.begin), scale.width(one.begin, one.end)
        if not one.nodes and not one.failed:
            line = f"M{x:.2f},{y + BAR / 2:.2f} h{width:.2f}"
            yield _bar(row, one, tag("path", class_="nowhere", d=line))
            continue
        moving = one.state.endswith("ing")  # Starting, Stopping, Migrating, Promoting …
        pattern = "cross" if one.failed else "hatch" if moving else ""
        height = BAR / max(1, len(one.nodes))
        areas = [
            box(x, y + number * height, width, height, looks[name], pattern)
            for number, name in enumerate(one.nodes)
        ]
        if not areas:
            areas = [box(x, y, width, BAR, "n-none", pattern)]
        if one.failed:
            areas.append(tag("rect", class_="frame", x=x, y=y, width=width, height=BAR))
        yield _bar(row, one, *areas, _fitting(_texts(one), scale, x, y, width))


def _texts(one: Stretch) -> list[str]:
    """What to write into a resource's bar, the best first."""
    where = " ".join(one.nodes)
    mark = "✗ " if one.failed else ""
    full = f"{mark}{one.state} {where}"
    short = f"{mark}{where}"
    first = short if one.state == "Started" else full
    return [text.strip() for text in (first, short, mark)]


def power_marks(row: Row, scale: Scale, y: float) -> Iterator[Html]:
    """Below a node's bar: while its machine had no power, and what else was switched when."""
    free = scale.left  # there is no text from here on yet
    for begin, end, reason in row.off:
        x, width = scale.x(begin), scale.width(begin, end)
        text = f"power off ({reason})" if reason else "power off"
        said = f"{row.name}: {text}, {seconds(begin)} to {seconds(end)}"
        yield tag("g", tag("title", said), box(x, y, width, STRIP - 2, "off"))
        room = _room(text)
        inside = room <= width
        place = x + 3 if inside else x + width + 3
        if inside or (place >= free and place + room <= scale.right):
            look = "in-off" if inside else "beside"
            yield tag("text", text, class_=look, x=place, y=y + 8)
            free = place + room
    for at, action, problem in row.switched:
        if action in ("off", "on") and not problem:
            continue  # the bar shows it
        x = scale.x(at)
        text = f"power {action}" + (" failed" if problem else "")
        line = tag("path", class_="switch", d=f"M{x:.2f},{y:.2f} v{STRIP - 2:.2f}")
        yield tag("g", tag("title", f"{row.name}: {text}, {seconds(at)}"), line)
        if x + 3 >= free:
            yield tag("text", text, class_="beside", x=x + 3, y=y + 8)
            free = x + 3 + _room(text)


def _room(text: str) -> float:
    return len(text) * _SMALL * MONO + 4


def _bar(row: Row, one: Stretch, *drawn: Html) -> Html:
    where = " ".join(one.nodes)
    state = f"{one.state} {where}".strip() + (" (failed)" if one.failed else "")
    said = f"{row.name}: {state}, {seconds(one.begin)} to {seconds(one.end)}"
    return tag("g", tag("title", said), *drawn, class_="bar")


def _fitting(choice: list[str], scale: Scale, x: float, y: float, width: float) -> Html:
    """The first of these texts that fits into the bar, if one does; best beside the lines."""
    for places in (list(scale.gaps(x, x + width)), [(x, width)]):
        for text in choice:
            for place, room in places:
                if text and len(text) * SIZE * MONO + _SPACE <= room:
                    return tag("text", text, class_="in", x=place + 4, y=y + 13)
    return Html()
