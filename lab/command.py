"""Programs on this machine (not on a lab's machines): run one, by a deadline, and say why not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from lab.errors import CannotRun, CommandFailed, CommandTimeout


def run(
    argv: Sequence[str],
    *,
    within: float,
    stdin: str | bytes = b"",
    env: Mapping[str, str] | None = None,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end, in a process group of its own.

    `within`: seconds after which the whole group is killed and CommandTimeout raised.
    `on_line` gets each line of its output as it comes (both streams together). A non-zero
    exit raises CommandFailed unless `check` is false; a program that is not there CannotRun.
    Ctrl-C ends the group too: nothing goes on in the background.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if on_line else subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise CannotRun(
            f"the program {argv[0]} is not installed", hint="run: lab doctor --fix"
        ) from error
    try:
        out, err = _talk(process, stdin, within, on_line)
    except subprocess.TimeoutExpired as error:
        raise CommandTimeout(
            f"{argv[0]} did not end within {within:.0f} s: {' '.join(argv)}"
        ) from error
    finally:
        if process.poll() is None:
            _end(process)
    done = subprocess.CompletedProcess(argv, process.returncode, out, err)
    if check and process.returncode:
        tail = "\n".join((err or out).strip().splitlines()[-15:])
        raise CommandFailed(
            f"{' '.join(argv)} ended with exit status {process.returncode}: {tail}",
            output=out + err,
        )
    return done


def _talk(
    process: subprocess.Popen[bytes],
    stdin: str | bytes,
    within: float,
    on_line: Callable[[str], None] | None,
) -> tuple[str, str]:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    if on_line is None:
        out, err = process.communicate(data, timeout=within)
        return out.decode(errors="replace"), err.decode(errors="replace")
    assert process.stdin is not None
    assert process.stdout is not None
    # A timer ends the group, which ends the loop below: reading lines has no timeout itself.
    process.stdin.write(data)
    process.stdin.close()
    previous = signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, within)
    lines: list[str] = []
    try:
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            lines.append(line)
            on_line(line)
        process.wait()
    except TimeoutError as error:
        raise subprocess.TimeoutExpired(process.args, within) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return "\n".join(lines), ""


def _alarm(_signal: int, _frame: object) -> None:
    raise TimeoutError


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: politely first, since mmdebstrap then undoes its mounts."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue
