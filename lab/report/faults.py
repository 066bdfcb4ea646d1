"""The HTML of a fault: its picture for wide and for narrow pages, a legend, a table."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from lab.report.bars import PATTERNS, box, colours, kind, seconds
from lab.report.markup import Html, tag
from lab.report.recovery import ROWS, Mark, Recovery
from lab.report.text import one_line
from lab.report.timeline import NARROW, WIDE, picture


def figure(recovery: Recovery, name: str) -> Html:
    """All that is told of a fault; `name` is unique in the page."""
    return tag(
        "figure",
        tag("figcaption", tag("strong", heading(recovery)), " ", tag("span", brief(recovery))),
        *([tag("p", left, class_="end")] if (left := _left(recovery)) else []),
        *(picture(recovery, layout, f"{name}-{layout.name}") for layout in (WIDE, NARROW)),
        _legend(recovery),
        _table(recovery),
        id=name,
        class_="fault",
    )


def heading(recovery: Recovery) -> str:
    """The fault in words."""
    name = "Faults" if len(recovery.faults) > 1 else "Fault" if recovery.faults else "Recovery"
    numbers = f" {', '.join(map(str, recovery.faults))}" if recovery.faults else ""
    return f"{name}{numbers}: {one_line(recovery.text)}"


def brief(recovery: Recovery) -> str:
    """How it ended, in a few words."""
    if not recovery.observed:
        return "its recovery is not on record"
    parts = []
    for name in ("recovered", "reintegrated"):
        at = recovery.phase(name)
        parts.append(recovery.missed(name) if at is None else f"{name} {seconds(at)}")
    return ", ".join(part.replace(" s", "\u00a0s") for part in parts)


def _left(recovery: Recovery) -> str:
    """What the picture leaves out."""
    parts = []
    if recovery.unchanged:
        parts.append(f"{recovery.unchanged} of the nodes and resources, well all the time")
    if recovery.more:
        parts.append(f"{recovery.more} more that changed")
    return f"Not drawn: {', '.join(parts)}." if parts else ""


def _legend(recovery: Recovery) -> Html:
    items = [
        tag(
            "li",
            tag("svg", drawn, class_="swatch", width=26.0, height=14.0, aria_hidden="true"),
            text,
        )
        for drawn, text in _swatches(recovery)
    ]
    return tag("ul", *items, class_="legend") if items else Html()


def _swatches(recovery: Recovery) -> Iterator[tuple[Html, str]]:
    """What the bars of this picture mean."""
    size = (0.0, 0.0, 26.0, 14.0)
    states = [one.state for row in recovery.nodes for one in row.stretches]
    for look in dict.fromkeys(map(kind, states)):
        yield box(*size, f"s-{look}", PATTERNS.get(look, "")), f"node {look}"
    if any(row.off for row in recovery.nodes):
        yield box(0.0, 3.0, 26.0, 8.0, "off"), "machine without power"
    spells = [one for row in recovery.resources for one in row.stretches]
    used = {node for one in spells for node in one.nodes}
    for node, look in list(colours(recovery).items())[:ROWS]:
        if node in used:
            yield box(*size, look), f"resource on {node}"
    if any(one.nodes and one.state.endswith("ing") for one in spells):
        yield box(*size, "n-none", "hatch"), "starting or stopping"
    if any(one.failed for one in spells):
        yield box(*size, "n-none", "cross"), "✗ failed"
    if any(not one.nodes and not one.failed for one in spells):
        yield tag("path", class_="nowhere", d="M0,7 h26"), "active nowhere"


def _table(recovery: Recovery) -> Html:
    """Marks and power in the order of time; what did not happen is last."""
    moments: list[tuple[float, str, str]] = []
    last = 0.0
    for mark in recovery.marks:
        if not mark.missing:
            took = f"{mark.at - last:.1f} s" if mark.at > 0 else ""
            moments.append((mark.at, _name(mark), took))
            last = max(last, mark.at)
    for row in recovery.nodes:
        for at, action, problem in row.switched:
            failed = f" failed: {one_line(problem)}" if problem else ""
            moments.append((at, f"power {action} {row.name}{failed}", ""))
    told = [(name, seconds(at), took) for at, name, took in sorted(moments, key=itemgetter(0))]
    told += [(mark.name, recovery.missed(mark.name), "") for mark in recovery.marks if mark.missing]
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", when), tag("td", took))
        for name, when, took in told
    ]
    head = [tag("th", text, scope="col") for text in ("phase", "at", "took")]
    return tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="phases")


def _name(mark: Mark) -> str:
    return f"{mark.name} injected" if mark.kind == "other" else mark.name
