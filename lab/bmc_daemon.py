"""The process that is the BMCs of one lab: `python -m lab.bmc_daemon LAB NODE=ADDRESS …`

lab.bmc starts it on the lab's network. It returns with exit status 0 once its BMCs listen,
and leaves a child behind in a session of its own. That one lives until it is told to end,
until the lab's folder goes, or until its own file goes.

Packets are handled in one thread; what the provider does takes its time in others, so that
no machine's BMC waits for another's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab import lock, paths, providers
from lab.access import Access
from lab.bmc import LOG, PORT, USER
from lab.errors import LabError
from lab.ipmi import Answer, Bmc, Code, Session
from lab.providers import Provider

LOOK = 1.0  # seconds between two looks at whether the lab is still there
GRACE = 5.0  # seconds that actions under way have when it is told to end


class Refused(Exception):
    """The state of the machine does not allow the action."""


class Log:
    """The lab's bmc.log: a JSON object a line, each written at once and whole."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # the last one was killed while it wrote

    def write(self, node: str, action: str, asker: str, problem: str = "", **more: Any) -> None:
        """Write an entry; `asker` is the address of who asked."""
        entry = {"at": time.time(), "node": node, "action": action, "from": asker}
        line = json.dumps({**entry, **more, "problem": problem}) + "\n"
        os.write(self._file, line.encode())


class Power:
    """The power of a lab's machines, as its provider gives and takes it."""

    def __init__(self, lab: str, provider: Provider, nodes: Sequence[str]) -> None:
        self._lab = lab
        self._provider = provider
        self._turns = {node: asyncio.Lock() for node in nodes}
        self._looking = asyncio.Lock()
        self._next: asyncio.Task[dict[str, bool]] | None = None
        self._pool = ThreadPoolExecutor(len(nodes) + 1)  # each machine's turn, and one that looks

    async def state(self, node: str) -> bool:
        """Whether a machine has power. Never older than the question; those who wait share it."""
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        running = await self._next
        if node not in running:
            raise LabError("there is no such machine any more")
        return running[node]

    async def _look(self) -> dict[str, bool]:
        async with self._looking:
            self._next = None  # who asks from here on needs a newer look
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._provider.running, self._lab)

    async def act(self, node: str, action: str) -> str:
        """Do `on`, `off` or `reset`; returns when it was done and seen to be done.

        What comes back is what the power was before: on or off.

        Raises Refused, or whatever the provider raises.
        """
        async with self._turns[node]:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._act, node, action)

    def _act(self, node: str, action: str) -> str:
        before = self._provider.running(self._lab)
        if node not in before:
            raise LabError("there is no such machine any more")
        if action == "reset" and not before[node]:
            raise Refused("it has no power")
        if action != "on":
            # Also where it seems to have none: somebody may be about to start it, and a
            # cluster that believes in this "off" starts the same resources elsewhere.
            self._provider.power_off(self._lab, node)
        if action == "reset" or (action == "on" and not before[node]):
            self._provider.power_on(self._lab, node)
        if self._provider.running(self._lab).get(node) is not (action != "off"):
            raise LabError(f"the provider has done it, but the power is not {action}")
        return "on" if before[node] else "off"


class Control:
    """What the BMCs do when they are asked for something that is not only talk."""

    def __init__(self, power: Power, log: Log) -> None:
        self._power = power
        self._log = log
        self._said: dict[tuple[str, str], tuple[str, str]] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    def status(self, node: str, session: Session) -> None:
        """Answer whether the machine has power."""
        self._start(self._status(node, session.asker, session.later()))

    def power(self, node: str, action: str, session: Session) -> None:
        """Do `on`, `off` or `reset`, then answer; refuse anything else."""
        self._start(self._action(node, action, session.asker, session.later()))

    def refused(self, node: str, asker: str, why: str) -> None:
        """A login was refused."""
        self._log.write(node, "refused login", asker, why)

    def defect(self, error: BaseException) -> None:
        """Something in here does not work."""
        text = "".join(traceback.format_exception(error))
        self._log.write("", "defect", "", text)

    async def finish(self) -> None:
        """Wait for what is under way."""
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=GRACE)

    def _start(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job)
        self._jobs.add(task)  # the loop itself does not keep it
        task.add_done_callback(self._jobs.discard)

    async def _status(self, node: str, asker: str, answer: Answer) -> None:
        state, problem = "", ""
        try:
            state = "on" if await self._power.state(node) else "off"
        except Exception as error:  # noqa: BLE001  # whatever it is, the client must not believe it
            problem = str(error)
        if self._said.get((node, asker)) != (state, problem):
            self._said[node, asker] = (state, problem)
            self._log.write(node, "status", asker, problem, state=state)
        if state:
            answer([int(state == "on"), 0, 0], Code.DONE)
        else:
            answer([], Code.FAILED)

    async def _action(self, node: str, action: str, asker: str, answer: Answer) -> None:
        asked, code, problem, was = time.time(), Code.DONE, "", ""
        try:
            if action not in ("on", "off", "reset"):
                code, problem = Code.INVALID, "these BMCs have no such action"
            else:
                was = await self._power.act(node, action)
        except Refused as error:
            code, problem = Code.NOT_NOW, str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client must not believe it
            code, problem = Code.FAILED, str(error)
        self._log.write(node, action, asker, problem, asked=asked, was=was)
        answer([], code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the BMCs of a lab; see above."""
    options = _parser().parse_args(arguments)
    bmcs = dict(entry.split("=") for entry in options.bmc)
    folder = paths.labs() / options.lab
    file = paths.RUN / "bmc" / options.lab
    taken = False
    try:
        with lock.hold(file, f"being the BMCs of lab {options.lab}", within=5):
            taken = True
            provider = providers.load(json.loads((folder / "lab.json").read_text())["provider"])
            password = Access(folder).secret("bmc")
            made = [Bmc(n, a, options.port, {USER: password}) for n, a in bmcs.items()]
            log = Log(folder / LOG)
            watched = _Watched(folder, file)
            reads, writes = os.pipe()
            if os.fork():
                os.close(writes)
                done = os.read(reads, 1)  # nothing, if the child has died instead
                os._exit(0 if done else 3)
            _detach()
            file.write_text(f"{os.getpid()}\n")
            os.write(writes, b"!")
            os.close(writes)
            control = Control(Power(options.lab, provider, list(bmcs)), log)
            try:
                asyncio.run(_serve(control, made, watched))
                if watched.file_is_ours():
                    file.unlink(missing_ok=True)  # its end is in order
            except Exception as error:  # noqa: BLE001  # stderr is gone: the log must say it
                control.defect(error)
            finally:
                # Not waiting for a provider that hangs: its threads must not keep this alive.
                os._exit(0)
    except (LabError, OSError, KeyError, ValueError) as error:
        if taken:
            file.unlink(missing_ok=True)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3


class _Watched:
    """The lab's folder and the daemon's file, as they were when it began."""

    def __init__(self, folder: Path, file: Path) -> None:
        self._folder, self._file = folder, file
        self._open = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)  # else a new one may look the same
        self._was = file.stat()

    def there(self) -> bool:
        """Whether both are still the same ones."""
        with suppress(OSError):
            same = os.path.samestat(self._folder.stat(), os.fstat(self._open))
            return same and self.file_is_ours()
        return False

    def file_is_ours(self) -> bool:
        """Whether the daemon's file is still the one that it locked."""
        with suppress(OSError):
            return os.path.samestat(self._file.stat(), self._was)
        return False


async def _serve(control: Control, bmcs: list[Bmc], watched: _Watched) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    for bmc in bmcs:
        bmc.control = control
        loop.add_reader(bmc.serversocket, bmc.receive)
    while not told.is_set() and watched.there():
        for bmc in bmcs:
            bmc.sweep()
        with suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), LOOK)
    for bmc in bmcs:
        loop.remove_reader(bmc.serversocket)
    await control.finish()


def _detach() -> None:
    """Leave the session and the streams of whoever started this."""
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab.bmc_daemon")
    parser.add_argument("lab")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("bmc", nargs="+", metavar="NODE=ADDRESS")
    return parser


if __name__ == "__main__":
    sys.exit(main())
