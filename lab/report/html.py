"""The report: a run as one HTML page that needs nothing beside itself.

Made of what results.jsonl holds, and of nothing else. No script, no file that it refers to.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from lab.events import StepEnded
from lab.report import growth
from lab.report.bars import definitions
from lab.report.faults import brief, heading
from lab.report.history import History, Run, Section, history
from lab.report.markup import Html, joined, tag
from lab.report.page import document
from lab.report.recovery import Recovery, recoveries
from lab.report.sections import badge, section
from lab.report.text import duration, lines_of, one_line
from lab.wording import counted

_BAD = ("error", "broken off", "failed")  # the worst first
_COLUMNS = ("section", "title", "verdict", "cluster", "harness", "verbatim", "adapted", "added")
_COUNTS = ("verbatim", "adapted", "added")


def write(path: Path, events: list[dict[str, Any]]) -> None:
    """Write the report of the events that `lab.report.results.read` gave."""
    page = render(events)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def render(events: list[dict[str, Any]]) -> str:
    """The page. Of events without a run in them it says so."""
    found = history(events)
    name = "lab: no run"
    if found.runs:
        started = found.runs[-1].started
        name = f"{started.scenario} on {started.platform}: {outcome(found)}"
    drawn = recoveries(found)
    body = [definitions(), *_header(found)]
    if found.runs:
        body += [_overview(found, drawn), *growth.block(found), *_sections(found, drawn)]
    return document(name, *body)


def outcome(found: History) -> str:
    """The verdict on all runs together: on each section as it was done last."""
    if found.runs and found.runs[-1].ended is None:
        return "broken off"
    outcomes = [one.outcome for one in found.final]
    return next(
        (bad for bad in _BAD if bad in outcomes), "passed" if "passed" in outcomes else "skipped"
    )


def _header(found: History) -> list[Html]:
    if not found.runs:
        return [tag("header", tag("h1", "No run is on record"), *_unread(found))]
    first, last = found.runs[0], found.runs[-1]
    started = last.started
    facts = {
        "scenario": started.scenario,
        "lab": started.lab,
        "platform": started.platform,
        "provider": started.provider,
        "began": _moment(first.started.at),
        "took": duration(sum(run.seconds for run in found.runs)),
        "sections": _counted([one.outcome for one in found.final]),
        "commands": ", ".join(f"{n} {name}" for name, n in _totals(found).items()),
    }
    parts = [
        tag("h1", badge(outcome(found)), tag("span", one_line(started.title))),
        tag("dl", *(tag("div", tag("dt", key), tag("dd", text)) for key, text in facts.items())),
    ]
    if len(found.runs) > 1:
        parts.append(
            tag(
                "p",
                f"{len(found.runs)} runs, the later ones of which carried on. ",
                "A section counts as it was done last.",
            )
        )
    for number, run in enumerate(found.runs, start=1):
        parts += _remarks(run, f"Run {number}" if len(found.runs) > 1 else "The run")
    return [tag("header", *parts, *_unread(found))]


def _remarks(run: Run, name: str) -> list[Html]:
    """What there is to say of a run beside its sections."""
    found = []
    if run.ended is None:
        said = f"{name} has no end on record: it broke off after {duration(run.seconds)}, "
        found.append(tag("p", f"{said}or still goes on.", class_="warning"))
    lines = [line for event in run.before for line in lines_of(event.text)]
    if lines:
        summary = tag("summary", f"{name}, before its first section")
        found.append(tag("details", summary, tag("ul", *(tag("li", line) for line in lines))))
    return found


def _unread(found: History) -> list[Html]:
    if not found.unread:
        return []
    lines = counted(found.unread, "line")
    said = f"{lines} of the results could not be read: another version of lab wrote them."
    return [tag("p", said, class_="warning")]


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S %z}"


def _counted(outcomes: list[str]) -> str:
    """How many sections passed, and so on."""
    order = ("passed", "failed", "error", "broken off", "skipped", "not run")
    counts = [f"{outcomes.count(one)} {one}" for one in order if one in outcomes]
    return ", ".join(counts) or "none"


def _totals(found: History) -> dict[str, int]:
    ended = [one.ended for one in found.final if one.ended]
    return {name: sum(getattr(one, name) for one in ended) for name in _COUNTS}


def _overview(found: History, drawn: dict[str, list[Recovery]]) -> Html:
    """A row for each section, with a link to it."""
    columns = [*_COLUMNS, *(["recovery"] if drawn else [])]
    groups: list[Html] = []
    for number, sections in enumerate(found.told, start=1):
        rows: list[Html] = []
        if len(found.runs) > 1:
            run = found.runs[number - 1]
            said = f"run {number}, began {_moment(run.started.at)}, took {duration(run.seconds)}"
            rows.append(tag("tr", tag("th", said, colspan=str(len(columns)), class_="run")))
        rows += [_row(one, drawn.get(one.anchor, []), wide=bool(drawn)) for one in sections]
        groups.append(tag("tbody", *rows))
    return tag(
        "table",
        tag("thead", tag("tr", *(tag("th", name, class_=name, scope="col") for name in columns))),
        *groups,
        tag("tfoot", _total(found, wide=bool(drawn))),
        class_="overview",
        id="overview",
    )


def _row(one: Section, drawn: list[Recovery], *, wide: bool) -> Html:
    link = partial(tag, "a", href=f"#{one.anchor}")
    cells = [
        tag("td", link(one.number), class_="section"),
        tag("td", link(one_line(one.title) or "not begun"), class_="title"),
        tag("td", badge(one.outcome), class_="verdict"),
        *_numbers(one.ended if one.began else None),
    ]
    if wide:
        short = [
            tag("li", tag("a", heading(f), href=f"#{one.anchor}-fault-{i}"), " ", brief(f))
            for i, f in enumerate(drawn, start=1)
        ]
        cells.append(tag("td", *([tag("ul", *short)] if short else []), class_="recovery"))
    return tag("tr", *cells)


def _numbers(ended: StepEnded | None) -> list[Html]:
    """Seconds and counts; empty cells for what did not end."""
    if ended is None:
        return [tag("td", class_=f"{name} empty") for name in ("cluster", "harness", *_COUNTS)]
    times = {"cluster": duration(ended.cluster), "harness": duration(ended.harness)}
    counts = {name: str(getattr(ended, name)) for name in _COUNTS}
    return [tag("td", text, class_=name) for name, text in (times | counts).items()]


def _total(found: History, *, wide: bool) -> Html:
    ended = [one.ended for one in found.final if one.ended]
    totals = _totals(found)
    total = StepEnded(
        section="",
        title="",
        verdict="passed",
        cluster=sum(one.cluster for one in ended),
        harness=sum(one.harness for one in ended),
        verbatim=totals["verbatim"],
        adapted=totals["adapted"],
        added=totals["added"],
    )
    cells = [
        tag("td", "total", class_="section"),
        tag("td", counted(len(found.final), "section"), class_="title"),
        tag("td", class_="verdict"),
        *_numbers(total),
    ]
    return tag("tr", *cells, *([tag("td", class_="recovery")] if wide else []))


def _sections(found: History, drawn: dict[str, list[Recovery]]) -> list[Html]:
    final = {one.number: one for one in found.final}
    parts = []
    for sections in found.told:
        for one in sections:
            later = final[one.number] if final[one.number] is not one else None
            parts.append(section(one, drawn.get(one.anchor, []), later))
    return [joined(parts)]
