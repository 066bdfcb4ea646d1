"""Programs on this machine: by a deadline, with nothing left behind, and with a clear message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import command
from lab.deadline import Deadline, wait_for
from lab.errors import CannotRun, CommandFailed, CommandTimeout

Line = Callable[[str], None]
WAYS = pytest.mark.parametrize("on_line", [None, lambda _: None], ids=["at its end", "by line"])


def gone(pid: int) -> bool:
    """No such process, or a dead one that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def ends(pid: int) -> bool:
    return wait_for(lambda: gone(pid), bool, Deadline(3))


def test_output_and_status() -> None:
    done = command.run(["sh", "-c", "echo out; echo err >&2"], within=10)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")


@WAYS
def test_input_and_environment(on_line: Line | None) -> None:
    done = command.run(
        ["sh", "-c", "cat; echo; echo $LAB_WORD; echo ${HOME:+home}"],
        within=10,
        stdin="typed",
        env={"LAB_WORD": "word"},
        on_line=on_line,
    )
    assert done.stdout.split() == ["typed", "word", "home"]


@WAYS
def test_no_input_is_an_empty_one(on_line: Line | None) -> None:
    assert command.run(["cat"], within=10, on_line=on_line).stdout == ""


@WAYS
def test_input_that_nobody_reads(on_line: Line | None) -> None:
    done = command.run(["echo", "done"], within=10, stdin=b"x" * 1_000_000, on_line=on_line)
    assert done.stdout.strip() == "done"


def test_what_is_no_utf8_is_shown_all_the_same() -> None:
    assert command.run(["printf", r"a\377b"], within=10).stdout == "a\N{REPLACEMENT CHARACTER}b"


@WAYS
def test_failure_says_what_and_how_and_the_last_lines(on_line: Line | None) -> None:
    script = "seq 1 40; echo it broke >&2; exit 7"
    with pytest.raises(CommandFailed) as caught:
        command.run(["sh", "-c", script], within=10, on_line=on_line)
    assert "ended with exit status 7: " in caught.value.message
    assert caught.value.message.startswith("sh -c seq 1 40")
    assert caught.value.message.endswith("it broke")
    assert "\n5\n" not in caught.value.message
    assert "\n5\n" in caught.value.output
    assert caught.value.output.strip().endswith("it broke")
    assert not isinstance(caught.value, CommandTimeout)


def test_failure_without_error_output_shows_the_output() -> None:
    with pytest.raises(CommandFailed, match=r"exit status 1: only this$"):
        command.run(["sh", "-c", "echo only this; exit 1"], within=10)


def test_unchecked_failure() -> None:
    assert command.run(["false"], within=10, check=False).returncode == 1


def test_missing_program() -> None:
    with pytest.raises(CannotRun, match="the program no-such-program is not installed") as caught:
        command.run(["no-such-program", "-x"], within=10)
    assert (caught.value.exit_code, bool(caught.value.hint)) == (3, True)


def test_program_that_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(CannotRun, match="tool cannot be run: Permission denied"):
        command.run([str(tmp_path / "tool")], within=10)


@WAYS
def test_deadline_ends_grandchildren_too(tmp_path: Path, on_line: Line | None) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; sleep 60"
    started = time.monotonic()
    with pytest.raises(CommandTimeout, match=r"^sh did not end within 0\.3 s: sh -c sleep 60"):
        command.run(["sh", "-c", script], within=0.3, on_line=on_line)
    assert time.monotonic() - started < 3
    assert ends(int((tmp_path / "pid").read_text()))


@WAYS
def test_deadline_ends_a_grandchild_that_holds_the_output(
    tmp_path: Path, on_line: Line | None
) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid"  # the shell itself has ended long before
    with pytest.raises(CommandTimeout):
        command.run(["sh", "-c", script], within=0.3, on_line=on_line)
    assert ends(int((tmp_path / "pid").read_text()))


def test_deadline_holds_where_the_output_was_closed() -> None:
    started = time.monotonic()
    with pytest.raises(CommandTimeout):
        command.run(["sh", "-c", "exec >&- 2>&-; sleep 60"], within=0.3, on_line=lambda _: None)
    assert time.monotonic() - started < 3


@WAYS
def test_deadline_holds_where_the_input_is_not_read(on_line: Line | None) -> None:
    with pytest.raises(CommandTimeout):
        command.run(["sleep", "60"], within=0.3, stdin=b"x" * 1_000_000, on_line=on_line)


def test_it_is_asked_politely_first(tmp_path: Path) -> None:
    script = f"trap 'echo undone > {tmp_path}/trace; exit' TERM; echo up; sleep 60 & wait"
    with pytest.raises(CommandTimeout):
        command.run(["sh", "-c", script], within=0.3)
    assert (tmp_path / "trace").read_text() == "undone\n"


def test_who_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The shell listens and ends; what it started does not.
    deaf = "trap '' TERM; while :; do sleep 1; done"
    script = f'sh -c "{deaf}" & echo $! > {tmp_path}/pid; wait'
    monkeypatch.setattr(command, "Deadline", lambda seconds: Deadline(min(seconds, 0.3)))
    with pytest.raises(CommandTimeout):
        command.run(["sh", "-c", script], within=0.3)
    assert ends(int((tmp_path / "pid").read_text()))


def test_the_dead_are_not_waited_for() -> None:
    # Where PID 1 collects nobody, what a killed group leaves stays listed for ever.
    first = subprocess.Popen(["sleep", "60"], process_group=0)
    dead = subprocess.Popen(["true"], process_group=first.pid)
    assert wait_for(lambda: gone(dead.pid), bool, Deadline(3))
    started = time.monotonic()
    command._end(first)
    assert time.monotonic() - started < 3
    assert (first.wait(), dead.wait()) == (-signal.SIGTERM, 0)


INTERRUPTED = """
import sys
from lab import command
script = f"echo $$ > {sys.argv[1]}.new; mv {sys.argv[1]}.new {sys.argv[1]}; sleep 60"
command.run(["sh", "-c", script], within=60, on_line=print if sys.argv[2] == "line" else None)
"""


@pytest.mark.parametrize("way", ["end", "line"])
def test_ctrl_c_ends_it_too(tmp_path: Path, way: str) -> None:
    path = tmp_path / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(path), way], stderr=subprocess.PIPE
    ) as process:
        assert wait_for(path.exists, bool, Deadline(10))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert b"KeyboardInterrupt" in errors
    assert ends(int(path.read_text()))


def test_lines_come_as_they_are_printed(tmp_path: Path) -> None:
    # It goes on only when its first line was seen: it would not end by itself.
    seen: list[str] = []

    def on_line(line: str) -> None:
        seen.append(line)
        (tmp_path / "go").touch()

    script = (
        f"echo one; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo two >&2; printf three"
    )
    done = command.run(["sh", "-c", script], within=5, on_line=on_line)
    assert seen == ["one", "two", "three"]
    assert done.stdout == "one\ntwo\nthree"


def test_by_line_in_any_thread() -> None:
    seen: list[str] = []
    thread = threading.Thread(
        target=lambda: command.run(["echo", "one"], within=10, on_line=seen.append)
    )
    thread.start()
    thread.join()
    assert seen == ["one"]


def test_what_on_line_raises_ends_the_program(tmp_path: Path) -> None:
    def on_line(line: str) -> None:
        (tmp_path / "pid").write_text(line)
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        command.run(["sh", "-c", "echo $$; sleep 60"], within=10, on_line=on_line)
    assert ends(int((tmp_path / "pid").read_text()))


def test_it_runs_in_a_group_of_its_own() -> None:
    done = command.run(["sh", "-c", "ps -o pgid= -p $$; echo $$"], within=10)
    group, process = done.stdout.split()
    assert group == process
    assert int(group) != os.getpgrp()
