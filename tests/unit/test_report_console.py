"""The console report: what a log holds, and what a terminal shows."""

from __future__ import annotations

import io
import re
import threading
from dataclasses import replace

import pytest
from rich.console import Console as Screen

from lab import events as e
from lab.report.console import Console

SECTION = "4.3.2"
WHAT = "guest1 online as guest node on example-host"


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def started(text: str = "pcs status", **more: object) -> e.CommandStarted:
    return replace(e.CommandStarted(section=SECTION, node="example-host", text=text), **more)  # type: ignore[arg-type]


def ended(output: str = "", exit: int | None = 0, problem: str = "") -> e.CommandEnded:
    return e.CommandEnded(
        section=SECTION,
        node="example-host",
        text="pcs status",
        exit=exit,
        expected=(0,),
        output=output,
        seconds=0.2,
        problem=problem,
    )


def checked(verdict: e.Verdict = "passed", waited: float = 0.0, hint: str = "") -> e.Checked:
    return e.Checked(
        section=SECTION,
        what=WHAT,
        seen="guest1 offline",
        verdict=verdict,
        waited=waited,
        hint=hint,
    )


def step_ended(
    verdict: e.Verdict = "passed", section: str = SECTION, problem: str = ""
) -> e.StepEnded:
    return e.StepEnded(
        section=section,
        title="Integrate as Guest Node",
        verdict=verdict,
        cluster=62.4,
        harness=1.5,
        verbatim=3,
        adapted=1,
        added=2,
        problem=problem,
    )


def waiting(at: float, left: float, what: str = WHAT) -> e.Waiting:
    return e.Waiting(section=SECTION, what=what, seen="guest1 offline", left=left, at=at)


RUN = e.RunStarted(
    lab="mine",
    scenario="guest-walkthrough",
    title="Guest Node Walk-through",
    platform="debian-12",
    provider="podman",
    sections=("4.3.1", SECTION, "4.4"),
)
STEP = e.StepStarted(section=SECTION, title="Integrate as Guest Node", at=100.0)


def log(*happened: e.Event, width: int = 80) -> list[str]:
    """The lines in a log, where nothing is a terminal."""
    file = io.StringIO()
    with Console(Screen(file=file, width=width)) as report:
        for event in happened:
            report(event)
    assert "\x1b" not in file.getvalue()
    return [line.rstrip() for line in file.getvalue().splitlines()]


def on_terminal(
    *happened: e.Event, width: int = 80, clock: Clock | None = None
) -> tuple[Console, Terminal]:
    file = Terminal()
    screen = Screen(file=file, width=width, height=30, force_terminal=True, _environ={"TERM": "x"})
    report = Console(screen, clock=clock or Clock())
    for event in happened:
        report(event)
    return report, file


def visible(file: Terminal) -> list[str]:
    """What was written, without colours and cursor movements."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", text)]


def refresh(report: Console) -> None:
    """What happens twice a second by itself."""
    assert report._live._live is not None
    report._live._live.refresh()


def test_a_section_in_a_log() -> None:
    assert log(
        STEP,
        started("pcs cluster start", book=("pcs cluster start",)),
        ended("Starting Cluster...\n"),
        e.ClusterChanged(section=SECTION, changes=("guest1 online → lost",), at=112.34),
        e.Acted(section=SECTION, text="rebooted example-host", seconds=3.2),
        checked(waited=0.4),
        checked(waited=3.4),
        step_ended(),
    ) == [
        "",
        "4.3.2  Integrate as Guest Node",
        "[root@example-host ~]# pcs cluster start",
        "  Starting Cluster...",
        "  +12.3s cluster: guest1 online → lost",
        "» rebooted example-host (3.2 s)",
        f"  PASS  {WHAT}",
        f"  PASS  {WHAT} (3.4 s)",
    ]


def test_deviations_from_the_book() -> None:
    why = "pcs has another command for it"
    assert log(
        started("pcs host auth h", adapted=True, book=("pcs cluster auth h",), why=why),
        started("pcs host list", adapted=True, book=("pcs cluster auth h",), why=why),
        started("apt-get install x", adapted=True, why="not in the base image"),
        started("", omitted=True, book=("systemctl stop firewalld",), why="there is none"),
        started("passwd", secret="root-password"),
    ) == [
        "[root@example-host ~]# pcs host auth h",
        "  instead of: pcs cluster auth h",
        f"  because: {why}",
        "[root@example-host ~]# pcs host list",
        "  likewise",
        "[root@example-host ~]# apt-get install x",
        "  in addition",
        "  because: not in the base image",
        "  left out: systemctl stop firewalld",
        "  because: there is none",
        "[root@example-host ~]# passwd",
        "  (reads the secret root-password)",
    ]


def test_a_command_of_several_lines_continues_as_in_a_shell() -> None:
    assert log(started("cat > /etc/x <<END\nhello\nEND")) == [
        "[root@example-host ~]# cat > /etc/x <<END",
        "> hello",
        "> END",
    ]


def test_long_output_keeps_its_head_or_of_a_failed_command_its_tail() -> None:
    output = "".join(f"line {number}\n" for number in range(1, 41))
    assert log(ended(output)) == [
        *(f"  line {number}" for number in range(1, 13)),
        "  … 28 more lines (transcript)",
    ]
    assert log(ended(output, exit=1)) == [
        "  … 28 lines before (transcript)",
        *(f"  line {number}" for number in range(29, 41)),
        "  exit status 1 (expected 0)",
    ]


def test_an_exit_status_is_told_unless_it_is_zero() -> None:
    assert log(replace(ended(exit=255), expected=(255,))) == ["  exit status 255, as expected"]
    assert log(replace(ended(exit=0), expected=(1, 2))) == ["  exit status 0 (expected 1 or 2)"]
    assert log(ended()) == []


def test_a_command_that_does_not_end_says_so() -> None:
    assert log(ended(exit=None, problem="did not end within 60 s")) == ["  did not end within 60 s"]


@pytest.mark.parametrize("text", ["[bold]x[/bold] [/] [link=y]", ":warning: [red]"])
def test_markup_in_what_machines_say_is_shown_as_it_is(text: str) -> None:
    failed = replace(checked("failed", hint=text), what=text, seen=text)
    bad = replace(step_ended("failed", problem=text), title=text)
    happened = [
        e.Progress(text=text),
        replace(STEP, title=text),
        started(text),
        ended(text),
        failed,
        bad,
        e.RunEnded(verdict="failed", seconds=1),
    ]
    printed = log(*happened, width=200)
    _, file = on_terminal(*happened, width=200)
    for lines in (printed, visible(file)):
        # progress, heading, command, output, check, seen, hint, problem; row, first failure,
        # expected, seen, hint
        assert sum(text in line for line in lines) == 13, lines


def test_control_characters_of_an_output_do_not_reach_the_screen() -> None:
    hostile = "\x1b]0;title\x07\x1b[31mred\x1b[0m\x07 10%\r20%\x1b[2J\x9b1m\n"
    assert log(ended(hostile)) == ["  red 10%", "  20%1m"]
    _, file = on_terminal(ended(hostile))
    assert "\x1b[31m" not in file.getvalue()
    assert "\x1b[2J" not in file.getvalue()


def test_a_log_shows_life_every_15_seconds_and_not_more_often() -> None:
    other = "resource x started"
    times = [(0.0, 90.0), (1.0, 89.0), (14.9, 75.1), (15.0, 75.0), (29.0, 61.0), (31.0, 59.0)]
    assert log(
        *(waiting(at, left) for at, left in times),
        checked(waited=32),
        waiting(33.0, 57.0, other),
        waiting(34.0, 56.0, other),
        checked(waited=2),
        waiting(35.0, 55.0, other),
    ) == [
        f"  waiting until {WHAT}, seen: guest1 offline, 90 s left",
        f"  waiting until {WHAT}, seen: guest1 offline, 75 s left",
        f"  waiting until {WHAT}, seen: guest1 offline, 59 s left",
        f"  PASS  {WHAT} (32.0 s)",
        f"  waiting until {other}, seen: guest1 offline, 57 s left",
        f"  PASS  {WHAT} (2.0 s)",
        f"  waiting until {other}, seen: guest1 offline, 55 s left",
    ]


def test_forced_colours_in_a_pipe_move_no_cursor() -> None:
    file = io.StringIO()
    report = Console(Screen(file=file, width=80, force_terminal=True, force_interactive=True))
    for event in (STEP, started(), waiting(0.0, 9.0), checked()):
        report(event)
    assert "waiting until guest1" in file.getvalue()
    assert not re.search(r"\x1b\[[0-9?]*[^m0-9?;]", re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()))


def test_a_failing_run_ends_with_what_was_expected_and_seen_and_the_evidence() -> None:
    folder = "/results/" + "long-name/" * 8 + "4.3.2"
    lines = log(
        RUN,
        step_ended(section="4.3.1"),
        STEP,
        checked("failed", waited=120, hint="is the daemon up?"),
        checked("error"),
        e.EvidenceCollected(section=SECTION, folder=folder),
        step_ended("failed", problem="guest1 was not online within 120 s"),
        e.RunEnded(verdict="failed", seconds=280.1),
    )
    at = lines.index(f"  FAIL  {WHAT} (2 min 0 s)")
    assert lines[at + 1 : at + 3] == [
        "        seen: guest1 offline",
        "        hint: is the daemon up?",
    ]
    assert "4.3.2  failed: guest1 was not online within 120 s" in lines
    assert lines[-6:] == [
        "",
        "First failure: 4.3.2  Integrate as Guest Node",
        f"  expected: {WHAT}",
        "  seen:     guest1 offline",
        "  hint:     is the daemon up?",
        f"  evidence: {folder}",
    ]
    assert lines[-7] == (
        "FAIL  guest-walkthrough on debian-12: 1 passed, 1 failed, 1 not run, in 4 min 40 s"
    )


def test_the_summary_table() -> None:
    lines = log(
        RUN,
        step_ended(section="4.3.1"),
        step_ended("error"),
        e.RunEnded(verdict="error", seconds=60),
    )
    rows = [line.split() for line in lines]
    title = ["Integrate", "as", "Guest", "Node"]
    assert ["4.3.1", *title, "PASS", "62.4", "s", "1.5", "s", "3", "/", "1", "/", "2"] in rows
    assert ["4.3.2", *title, "ERROR", "62.4", "s", "1.5", "s", "3", "/", "1", "/", "2"] in rows
    assert ["4.4", "not", "run"] in rows
    assert [
        "total",
        "3",
        "sections",
        "2",
        "min",
        "5",
        "s",
        "3.0",
        "s",
        "6",
        "/",
        "2",
        "/",
        "4",
    ] in rows
    assert max(map(len, lines)) <= 80


def test_a_command_that_failed_is_what_the_summary_names() -> None:
    lines = log(
        RUN,
        STEP,
        started(),
        ended("checking\nError: cluster is not running\n", exit=1),
        step_ended("error", problem="a command failed"),
        e.RunEnded(verdict="error", seconds=1),
    )
    assert lines[-5:] == [
        "First error: 4.3.2  Integrate as Guest Node",
        "  expected: exit status 0 of `pcs status` on example-host",
        "  seen:     exit status 1 (expected 0)",
        "            Error: cluster is not running",
        "  evidence: none collected",
    ]


def test_a_passed_run_names_no_failure() -> None:
    lines = log(RUN, step_ended(), e.RunEnded(verdict="passed", seconds=1))
    assert not any("failure" in line or "evidence" in line for line in lines)


def test_a_skipped_section_says_why() -> None:
    assert log(step_ended("skipped", problem="4.3.1 failed")) == ["4.3.2  skipped: 4.3.1 failed"]


@pytest.mark.parametrize("width", [30, 40, 80])
def test_no_line_of_prose_is_wider_than_a_terminal(width: int) -> None:
    report, file = on_terminal(
        RUN,
        replace(STEP, title="A Title " * 8),
        ended("x" * 300 + "\n" + "word " * 50),
        started(omitted=True, book=("y" * 120,), why="words " * 30),
        waiting(0.0, 87.0, "something of a very long name " * 5),
        width=width,
    )
    refresh(report)
    for event in (
        e.ClusterChanged(section=SECTION, changes=("guest1 " * 20,)),
        checked("failed", waited=3, hint="hint " * 40),
        step_ended("failed", problem="problem " * 20),
        e.RunEnded(verdict="failed", seconds=1),
    ):
        report(event)
    report.close()
    live = [line for line in visible(file) if line.endswith("· 87 s left")]
    assert live
    assert max(map(len, live)) <= width - 3  # the terminal writes ^C behind it
    too_long = [line for line in visible(file) if len(line) > width]
    assert too_long == []
    assert "x" * 300 in "".join(line.strip() for line in visible(file))


def test_a_terminal_shows_one_line_with_the_time_left_now() -> None:
    clock = Clock()
    report, file = on_terminal(STEP, waiting(0.0, 87.0), clock=clock)
    refresh(report)
    shown = visible(file)[-1]
    assert re.fullmatch(
        r"waiting until guest1 online .*… · seen: guest1 offline · 87 s left", shown
    )
    clock.now += 20
    refresh(report)
    assert visible(file)[-1].endswith(" · 67 s left")
    report(e.ClusterChanged(section=SECTION, changes=("guest1 lost → online",)))
    refresh(report)
    assert visible(file)[-1].endswith(" · 67 s left")  # still the last line
    before = len(file.getvalue())
    report(checked(waited=21))
    assert "\x1b[1A\x1b[2K" in file.getvalue()[before:]  # taken away
    assert visible(file)[-2:] == [f"  PASS  {WHAT} (21.0 s)", ""]
    assert file.getvalue().rindex("\x1b[?25h") < file.getvalue().rindex("PASS")
    report.close()


def test_a_running_command_shows_for_how_long_already() -> None:
    clock = Clock()
    report, file = on_terminal(started(), clock=clock)
    assert "running" not in file.getvalue()  # most commands end at once
    clock.now += 12
    refresh(report)
    assert visible(file)[-1] == "running · 12 s"
    report.close()


def test_interrupted_it_gives_the_terminal_back() -> None:
    before = set(threading.enumerate())
    report, file = on_terminal()

    def interrupted() -> None:
        with report:
            report(waiting(0.0, 87.0))
            assert "\x1b[?25l" in file.getvalue()  # the cursor is hidden
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
    report.close()  # once more does no harm


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    file = Terminal()
    with Console(Screen(file=file, width=80, force_terminal=True)) as report:
        report(checked("failed"))
    assert not re.search(r"\x1b\[(\d+;)*3[0-7]m", file.getvalue())


def test_a_screen_without_the_letters_still_works() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    with Console(Screen(file=file, width=80)) as report:
        report(e.Acted(section=SECTION, text="rebooted example-host", seconds=1))
    assert raw.getvalue() == b"? rebooted example-host (1.0 s)\n"


def test_of_machines_only_what_nobody_ordered() -> None:
    """What was ordered is told by who did it."""

    def off(reason: str) -> e.MachineChanged:
        return e.MachineChanged(section=SECTION, node="n", state="off", reason=reason, at=102.5)

    assert log(off("destroyed"), off("shutdown")) == []
    assert log(STEP, off("failed"))[-1] == "  +2.5s machine: n off by itself (failed)"
