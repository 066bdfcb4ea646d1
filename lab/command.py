"""Programs on this machine (not on a lab's machines): run one, by a deadline, and say why not."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lab.deadline import Deadline, wait_for
from lab.errors import CannotRun, CommandFailed, CommandTimeout


def run(
    argv: Sequence[str],
    *,
    within: float,
    stdin: str | bytes = b"",
    env: Mapping[str, str | None] | None = None,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end, in a process group of its own.

    `within`: seconds after which the whole group is killed and CommandTimeout raised.
    `env`: changes to this process's own variables, as `environment` takes them.
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
            env=environment(env or {}),
            start_new_session=True,
        )
    except OSError as error:
        # A folder of PATH that may not be read makes "not there" a "permission denied".
        if isinstance(error, FileNotFoundError) or not ("/" in argv[0] or shutil.which(argv[0])):
            raise CannotRun(
                f"the program {argv[0]} is not installed", hint="run: lab doctor --fix"
            ) from error
        raise CannotRun(f"the program {argv[0]} cannot be run: {error.strerror}") from error
    try:
        out, err = _talk(process, stdin, within, on_line)
    except BaseException as error:
        _end(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise CommandTimeout(
                f"{argv[0]} did not end within {within:g} s: {' '.join(argv)}"
            ) from error
        raise
    done = subprocess.CompletedProcess(argv, process.returncode, out, err)
    if check and process.returncode:
        tail = "\n".join((err or out).strip().splitlines()[-15:])
        raise CommandFailed(
            f"{' '.join(argv)} ended with exit status {process.returncode}: {tail}",
            output=out + err,
        )
    return done


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """This process's variables with `changes`; None takes one away."""
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


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
    # Reading has no timeout itself, so a thread does it; it ends with the group.
    read: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(process, data, read), daemon=True).start()
    deadline = Deadline(within)
    lines: list[str] = []
    try:
        while (line := read.get(timeout=deadline.left)) is not None:
            lines.append(line)
            on_line(line)
    except queue.Empty as error:
        raise subprocess.TimeoutExpired(process.args, within) from error
    process.wait(deadline.left)
    return "\n".join(lines), ""


def _pump(
    process: subprocess.Popen[bytes], data: bytes, read: queue.SimpleQueue[str | None]
) -> None:
    """Give it its input and put each line of its output into `read`, then None."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):  # it may end without having read all of it
        process.stdin.write(data)
        process.stdin.close()
    with process.stdout as output:
        for raw in output:
            read.put(raw.decode(errors="replace").rstrip("\n"))
    read.put(None)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: politely first, since mmdebstrap then undoes its mounts."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            wait_for(lambda: _gone(process), bool, Deadline(patience))


def _gone(process: subprocess.Popen[bytes]) -> bool:
    """Whether nothing of its group is left; its first process may end before the others.

    A dead process that nobody collects (PID 1 of a container often does not) is not left.
    """
    process.poll()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
            if int(group) == process.pid and state != "Z":
                return False
    return True
