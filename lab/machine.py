"""One machine: run a command by a deadline, put and get a file, ask testinfra for its facts.

With `lab.connections` all that knows fabric, paramiko and testinfra. testinfra passes no time-out
on, so that what it asks is asked by us.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import invoke
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from lab.connections import CONNECT, LOST, Connection, Connections
from lab.deadline import Deadline, wait_for
from lab.errors import CommandFailed, CommandTimeout, Unreachable

if TYPE_CHECKING:
    import paramiko

QUICK = 30.0  # seconds for what should take one


@dataclass(frozen=True)
class Result:
    """How a command ended. `seconds` is its duration as seen from here."""

    command: str
    exit: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        """Both streams, standard error last."""
        return self.stdout + self.stderr


class Machine:
    """A machine of a lab, reached by its name in the lab's ssh_config. Safe in threads."""

    def __init__(self, name: str, ssh_config: Path, known_hosts: Path) -> None:
        self.name = name
        self._connections = Connections(name, ssh_config, known_hosts)
        self.host: Any = Host(_Backend(self))  # testinfra's modules are made at run time

    def run(
        self, command: str, *, within: float = QUICK, stdin: str | None = None, check: bool = False
    ) -> Result:
        """Run `command` in root's shell there and wait for its end.

        Raises Unreachable without a connection, CommandTimeout (with the output so far)
        after `within` seconds, and CommandFailed for a non-zero exit if `check` is true.
        """
        started = time.monotonic()

        def do(connection: Connection) -> Any:
            done = connection.run(
                command,
                hide=True,
                warn=True,
                timeout=within,
                in_stream=io.StringIO(stdin or ""),  # who asks gets an end, not silence
                encoding="utf-8",
            )
            if done.exited == -1:  # paramiko's word for: the channel closed without a status
                raise Unreachable(
                    f"the connection to {self.name} was lost, or a signal ended this: {command}"
                )
            return done

        try:
            done = self._connections.use(do)
        except invoke.exceptions.CommandTimedOut as error:
            raise CommandTimeout(
                f"on {self.name}, this did not end within {within:.0f} s: {command}",
                output=error.result.stdout + error.result.stderr,
            ) from error
        except (*LOST, invoke.exceptions.ThreadException) as error:
            raise Unreachable(f"the connection to {self.name} was lost: {error}") from error
        result = Result(command, done.exited, done.stdout, done.stderr, time.monotonic() - started)
        if check and result.exit:
            raise CommandFailed(
                f"on {self.name}, `{command}` ended with exit status {result.exit}: "
                f"{result.output.strip()}",
                output=result.output,
            )
        return result

    def await_login(self, within: float) -> None:
        """Wait until a command can be run; Unreachable says what was in the way at the end."""

        def look() -> str:
            try:
                self.run("true", within=CONNECT, check=True)
            except CommandFailed as error:
                return error.message
            return ""

        if problem := wait_for(look, lambda seen: not seen, Deadline(within)):
            raise Unreachable(f"{self.name} cannot be logged in to after {within:.0f} s: {problem}")

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        """Write a file there."""

        def do(sftp: paramiko.SFTPClient) -> None:
            with sftp.open(path, "wb") as file:
                sftp.chmod(path, mode)
                file.write(data)

        try:
            self._connections.use_files(do, QUICK)
        except LOST as error:
            raise CommandFailed(f"{path} could not be written on {self.name}: {error}") from error

    def get(self, path: str) -> bytes:
        """Read a file there."""

        def do(sftp: paramiko.SFTPClient) -> bytes:
            with sftp.open(path, "rb") as file:
                file.prefetch()
                content: bytes = file.read()
                return content

        try:
            return self._connections.use_files(do, QUICK)
        except LOST as error:
            raise CommandFailed(f"{path} could not be read on {self.name}: {error}") from error

    def drop(self) -> None:
        """Keep no connection for the next command."""
        self._connections.drop()

    def close(self) -> None:
        """Close every connection: what is being done on one fails."""
        self._connections.close()


class _Backend(BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """testinfra's way to a machine: ours, with our deadlines."""

    NAME = "lab"
    HAS_RUN_SALT = False
    HAS_RUN_ANSIBLE = False

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.name)
        self._machine = machine

    def run(self, command: str, *args: str, **_kwargs: Any) -> CommandResult:
        text = self.get_command(command, *args)
        done = self._machine.run(text)
        return self.result(done.exit, self.encode(text), done.stdout.encode(), done.stderr.encode())
