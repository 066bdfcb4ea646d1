"""The HTML of a section: its problem, its faults, its transcript."""

from __future__ import annotations

from collections.abc import Iterable

from lab import events as e
from lab.report.bars import seconds
from lab.report.faults import figure
from lab.report.history import Command, Entry, Section, Typed
from lab.report.markup import Html, joined, tag
from lab.report.recovery import Recovery
from lab.report.text import (
    WORDS,
    Failure,
    duration,
    exit_status,
    lines_of,
    machine_state,
    notes,
    one_line,
    plain,
    power,
    time_line,
    typed,
)
from lab.wording import counted

_LINES = 12  # of an output; a longer one is folded
_WAITED = 0.05  # seconds; less is no waiting
_WORDS = {str(verdict): word for verdict, word in WORDS.items()} | {
    "broken off": "BROKE OFF",
    "not run": "NOT RUN",
}


def badge(outcome: str) -> Html:
    """A verdict, as a word in a box."""
    return tag("span", _WORDS.get(outcome, outcome), class_=f"badge {outcome.replace(' ', '-')}")


def section(told: Section, recoveries: list[Recovery], later: Section | None) -> Html:
    """All of a section. `later`: where a later run did it again."""
    bad = told.outcome not in ("passed", "skipped", "not run")
    again: list[Html] = []
    if later:
        there = tag("a", f"run {later.run}", href=f"#{later.anchor}")
        again.append(tag("p", "Done again in ", there, ".", class_="again"))
    return tag(
        "section",
        tag(
            "h2",
            badge(told.outcome),
            tag("span", told.number, class_="number"),
            tag("span", one_line(told.title), class_="title"),
        ),
        *again,
        *_problem(told),
        *(figure(one, f"{told.anchor}-fault-{i}") for i, one in enumerate(recoveries, start=1)),
        *_audits(told.audits),
        *_transcript(told, unfolded=bad),
        id=told.anchor,
        class_=told.outcome.replace(" ", "-"),
    )


def _problem(told: Section) -> Iterable[Html]:
    """What went wrong, or why the section was not done."""
    if told.outcome == "passed" and not told.failures:
        return
    facts = [
        _facts({"expected": one.expected, "seen": one.seen, "hint": one.hint})
        for one in told.failures
    ]
    if not any(_tells(one, told.problem) for one in told.failures):
        facts.insert(0, _facts({"why": told.problem}))
    facts += [_facts({"evidence": folder}) for folder in told.evidence]
    yield tag("div", *facts, class_=f"problem {told.outcome.replace(' ', '-')}")


def _tells(failure: Failure, problem: str) -> bool:
    """Whether the section's problem is this failure in other words."""
    subject = failure.expected
    if "`" in subject:  # a command: the problem names it too
        subject = subject[subject.index("`") : subject.rindex("`") + 1]
    return subject in plain(problem)


def _facts(facts: dict[str, str]) -> Html:
    rows = [
        tag("div", tag("dt", label), tag("dd", text.strip()))
        for label, text in facts.items()
        if text.strip()
    ]
    return tag("dl", *rows) if rows else Html()


def _audits(audits: list[e.Audited]) -> Iterable[Html]:
    """Those that passed in a line, folded; those that were announced not to, each with what it
    found in the end.
    """
    passed = [one for one in audits if one.verdict == "passed" and not one.announced]
    for one in audits:
        announced = one.verdict == "passed" and one.announced
        if one.verdict != "skipped" and not announced:
            continue  # it passed, or is told among the problems
        yield tag(
            "div",
            badge("announced" if announced else one.verdict),
            tag("span", f"audit: {one_line(one.audit)}", class_="what"),
            _seen(one.seen),
            class_="audit",
        )
    if passed:
        violated = sum(one.verdict not in ("passed", "skipped") for one in audits)
        number = f"{counted(len(passed), 'audit')} passed"
        number += f", {violated} violated" if violated else ""
        rows = [tag("li", one_line(one.audit), _seen(one.seen)) for one in passed]
        yield tag("details", tag("summary", number), tag("ul", *rows), class_="audits")


def _transcript(told: Section, *, unfolded: bool) -> Iterable[Html]:
    if not told.entries:
        return
    rows: list[Html] = []
    remarks: list[tuple[str, str]] = []  # beside the last command
    for entry in told.entries:
        if isinstance(entry, Typed):
            kind, body, remarks = _typed(entry, remarks)
        else:
            kind, body = type(entry).__name__.lower(), _happened(entry)
        when = seconds(entry.at - told.began) if told.began else ""
        rows.append(tag("li", tag("span", when, class_="when"), tag("div", *body), class_=kind))
    yield tag(
        "details",
        tag("summary", "Transcript: " + _extent(told.entries)),
        tag("ol", *rows, class_="transcript"),
        open="open" if unfolded else None,
    )


def _extent(entries: list[Entry]) -> str:
    """How much there is to read."""
    commands = sum(len(one.commands) for one in entries if isinstance(one, Typed))
    parts = [(commands, "command")]
    for kind, name in ((e.Acted, "act"), (e.Checked, "check"), (e.FaultInjected, "fault")):
        parts.append((sum(isinstance(one, kind) for one in entries), name))
    changes = [len(one.changes) for one in entries if isinstance(one, e.ClusterChanged)]
    parts.append((sum(changes), "cluster change"))
    return ", ".join(f"{n} {name}{'s' if n != 1 else ''}" for n, name in parts if n) or "nothing"


def _typed(
    entry: Typed, before: list[tuple[str, str]]
) -> tuple[str, list[Html], list[tuple[str, str]]]:
    """A command: its class, its lines, and its remarks, for the next one to say `likewise`."""
    first = entry.commands[0].started
    body: list[Html] = []
    for one in entry.commands:
        begun = one.started or one.ended
        if begun is None or (one.started and one.started.omitted):
            continue
        lines = [
            joined([tag("span", prompt, class_="prompt"), text])
            for prompt, text in typed(begun.node, begun.text)
        ]
        body.append(tag("pre", joined(lines, "\n"), class_="typed"))
    remarks = notes(first) if first else []
    if remarks and remarks == before:
        body.append(tag("p", "likewise", class_="note"))
    else:
        body += [_note(label, text) for label, text in remarks]
    if first and first.secret:
        body.append(_note("reads the secret ", first.secret))
    several = len(entry.commands) > 1
    for one in entry.commands:
        if not (one.started and one.started.omitted):
            body += _ended(one, several=several)
    omitted = first is not None and first.omitted
    adapted = first is not None and first.adapted
    kind = "omitted" if omitted else "adapted" if adapted else ""
    return f"command {kind}".strip(), body, remarks


def _note(label: str, text: str) -> Html:
    shown = tag("code", text) if "because" not in label else text
    return tag("p", tag("span", label, class_="label"), *([shown] if text else []), class_="note")


def _ended(command: Command, *, several: bool) -> Iterable[Html]:
    ended = command.ended
    who = f"{command.started.node}: " if several and command.started else ""
    if ended is None:
        yield tag("p", f"{who}its end is not on record", class_="bad")
        return
    said = f"{who}{exit_status(ended)}, {duration(ended.seconds)}"
    yield from _output(ended.output, said if ended.ok else "", unfolded=not ended.ok)
    if not ended.ok:
        yield tag("p", said, class_="bad")


def _output(output: str, said: str, *, unfolded: bool = False) -> Iterable[Html]:
    """An output, folded if it is long, and `said` of how it came about, if that is anything."""
    lines = lines_of(output)
    shown = tag("pre", "\n".join(lines), class_="output")
    if len(lines) <= _LINES:
        if lines:
            yield shown
        if said:
            yield tag("p", said, class_="end")
        return
    summary = tag(
        "summary", f"{said}; " if said else "", f"{counted(len(lines), 'line')} of output"
    )
    yield tag("details", summary, shown, open="open" if unfolded else None)


def _seen(text: str) -> Html:
    lines = lines_of(text)
    return tag("span", "\n".join(lines), class_="seen") if lines else Html()


def _happened(event: e.Event) -> list[Html]:
    """An entry that is no command, as lines."""
    match event:
        case e.Checked():
            return _checked(event)
        case e.Acted():
            said = tag("p", f"» {one_line(event.text)} ({duration(event.seconds)})")
            return [
                said,
                *_output(event.output, "", unfolded=bool(event.problem)),
                *_bad(event.problem),
            ]
        case e.ClusterChanged():
            return [tag("p", one_line(change)) for change in event.changes]
        case e.FaultInjected():
            return [tag("p", f"fault {event.number}: {one_line(event.text)}")]
        case e.FaultHealed():
            said = tag("p", f"fault {event.number} healed: {one_line(event.text)} ")
            return [said, *_bad(event.problem)]
        case e.PowerSwitched():
            return [tag("p", power(event), class_="bad" if event.problem else None)]
        case e.MachineChanged():
            return [tag("p", machine_state(event), class_="bad" if event.by_itself else None)]
        case e.Recovered():
            return [tag("p", f"recovery after {one_line(event.text)}: {time_line(event)}")]
        case e.Progress():
            return [tag("p", one_line(event.text))]
    return []


def _bad(problem: str) -> list[Html]:
    return [tag("p", line, class_="bad") for line in lines_of(problem)]


def _checked(event: e.Checked) -> list[Html]:
    before = "before: " if event.phase == "before" else ""
    waited = f" ({duration(event.waited)})" if event.waited > _WAITED else ""
    said = tag("span", f"{before}{one_line(event.what)}{waited}", class_="what")
    hint = event.hint if event.verdict != "passed" else ""
    body = [tag("p", badge(event.verdict), tag("span", said, _seen(event.seen)))]
    return [*body, *([_note("hint: ", hint)] if hint else [])]
