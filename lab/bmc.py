"""A lab's BMCs, seen from the lab: where they are, starting and ending them, what they did.

Every machine of a lab (no guest) has a virtual BMC, IPMI 2.0 on UDP port 623 of an address of
its own on the lab's network: the user is `lab`, the password the lab's secret `bmc`. What a
fence agent asks of it, the lab's provider does. One process a lab is all its BMCs, see
lab.bmc_daemon; what is there of it:

    /run/lab/bmc/NAME        its pid; it holds a lock on this file for as long as it lives
    <lab's folder>/bmc.log   what was asked of it and done, see `log`
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import command, lock, paths
from lab.addresses import NETWORK
from lab.deadline import Deadline, wait_for
from lab.errors import BadInput, CannotRun, CommandFailed, LabError
from lab.providers import GATEWAY

if TYPE_CHECKING:
    from lab.lab import Lab
    from lab.model import Scenario

PORT = 623
USER = "lab"
MODULE = "lab.bmc_daemon"
LOG = "bmc.log"
START = 30.0  # seconds until the daemon must have started
END = 10.0  # seconds that it has after a SIGTERM, and after a SIGKILL

# Runs on the lab's network: asks each address for its "channel authentication capabilities",
# which needs no password, and prints the addresses that answered within 2 seconds.
_PROBE = """
import json, socket, sys, time
port, missing = json.loads(sys.argv[1])
packet = bytes.fromhex("0600ff07000000000000000000092018c88100388e04b5")
end, answered = time.monotonic() + 2, []
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(0.2)
    while missing and time.monotonic() < end:
        for address in missing:
            s.sendto(packet, (address, port))
        try:
            while missing:
                address = s.recvfrom(3000)[1][0]
                if address in missing:
                    missing.remove(address)
                    answered.append(address)
        except socket.timeout:
            pass
print(json.dumps(answered))
"""


def address(scenario: Scenario, node: str) -> str:
    """The address of a machine's BMC: from .254 downwards in the machines' order.

    Addresses of nodes and guests and the gateway are skipped. KeyError if `node` is no
    machine, or a slim one; BadInput if the network has no address left.
    """
    used = {GATEWAY, *(scenario.address(name) for name in scenario.names)}
    free = (str(a) for a in reversed(list(NETWORK.hosts())) if str(a) not in used)
    found = dict(zip(scenario.managed, free, strict=False))
    if node in scenario.managed and node not in found:
        raise BadInput(f"the network {NETWORK} has no address left for the BMC of {node}")
    return found[node]


def names() -> set[str]:
    """The labs of which a daemon's file is there, whether or not it lives."""
    folder = paths.RUN / "bmc"
    there = folder.iterdir() if folder.exists() else ()
    return {path.name for path in there if not path.suffix}


def alive(name: str) -> bool:
    """Whether a lab's daemon lives: its lock is held."""
    try:
        descriptor = os.open(_file(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def ensure(lab: Lab, say: Callable[[str], None], port: int = PORT) -> None:
    """See to it that the BMC of every machine answers; start the daemon if need be.

    `say` is told if one had died or hung and is started anew. Raises LabError if it cannot
    be started, or if it does not answer.
    """
    bmcs = {node: address(lab.scenario, node) for node in lab.scenario.managed}
    if alive(lab.name) and _answers(lab, bmcs, port):
        return
    with _held(lab.name):
        died = _file(lab.name).exists()  # one that ends in order takes its file with it
        if alive(lab.name):
            if _answers(lab, bmcs, port):
                return  # another process started it meanwhile
            say(f"the BMCs of lab {lab.name} do not answer; they are started anew")
            _end(lab.name)
        elif died:
            say(f"the BMCs of lab {lab.name} had died; they are started anew")
        _start(lab, bmcs, port)


def stop(name: str) -> None:
    """End a lab's daemon and wait until it has ended. Needs nothing of the lab but its name."""
    if name in names():
        with _held(name):
            _end(name)


def log(lab: Lab) -> list[dict[str, Any]]:
    """What the BMCs were asked and did, oldest first; the lines that a kill tore are left out.

    Each entry has `at` (when it was done, epoch seconds), `node`, `action`, `from` (address
    of who asked) and `problem` ('' if it was done). Actions:

        on, off, reset   with `asked`, when it was asked for, and `was`: on or off before
        soft, diag       never done: there is no way to ask a machine's system from outside
        status           with `state`: on, off or ''. Written when it is another answer than
                         the one that this asker got last for this machine
        refused login    `problem` says why
        defect           the daemon's own: `problem` is a traceback
    """
    entries = []
    with suppress(FileNotFoundError):
        for line in (lab.folder / LOG).read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entries.append(json.loads(line))
    return entries


def _file(name: str) -> Path:
    return paths.RUN / "bmc" / name


@contextmanager
def _held(name: str) -> Iterator[None]:
    """Nobody else starts or ends this lab's daemon while the block runs."""
    file = _file(f"{name}.start")
    with lock.hold(file, f"the BMCs of lab {name}", within=START):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _start(lab: Lab, bmcs: dict[str, str], port: int) -> None:
    lab.access.create_secrets()  # a lab that was made before there were BMCs has none for them
    lab.provider.add_addresses(lab.name, list(bmcs.values()))
    argv = [sys.executable, "-m", MODULE, lab.name, f"--port={port}"]
    argv += [f"{node}={bmc}" for node, bmc in bmcs.items()]
    # Python finds `lab` where this process did, also in a checkout that is not installed.
    path = os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH")]))
    try:
        # The process that is started here ends once a child of it has taken over.
        command.run(lab.provider.outside(lab.name, argv), within=START, env={"PYTHONPATH": path})
    except CommandFailed as error:
        last = (error.output.strip() or error.message).splitlines()[-1]
        raise CannotRun(f"the BMCs of lab {lab.name} did not start: {last}") from error
    if not _answers(lab, bmcs, port):
        raise CannotRun(
            f"the BMCs of lab {lab.name} were started but do not answer",
            hint=f"look into {lab.folder / LOG}",
        )


def _answers(lab: Lab, bmcs: dict[str, str], port: int) -> bool:
    """Whether the BMC of every machine answers on the lab's network."""
    asked = json.dumps([port, list(bmcs.values())])
    argv = [sys.executable, "-I", "-S", "-c", _PROBE, asked]
    done = command.run(lab.provider.outside(lab.name, argv), within=20)
    return set(json.loads(done.stdout)) == set(bmcs.values())


def _end(name: str) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = wait_for(
            lambda: _process(name),
            lambda found: found is not None or not alive(name),
            Deadline(END),
        )
        if process is None:
            break
        try:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, number)
            ended = select.poll()
            ended.register(process, select.POLLIN)
            if ended.poll(END * 1000):
                break
        finally:
            os.close(process)
    if alive(name):
        raise LabError(f"the process of the BMCs of lab {name} cannot be ended: see {_file(name)}")
    _file(name).unlink(missing_ok=True)


def _process(name: str) -> int | None:
    """A descriptor of the daemon's process, None if no process is proven to be it.

    The proof: its pid is in the file, its command line is this lab's daemon's, and after all
    that, with a descriptor that means no other process, the lock is still held.
    """
    try:
        pid = int(_file(name).read_text())
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError):
        return None
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        if MODULE in words and name in words and alive(name):
            return descriptor
    os.close(descriptor)
    return None
