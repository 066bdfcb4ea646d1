"""One machine: run a command by a deadline, put and get a file, ask testinfra for its facts.

The only file that knows fabric, paramiko and testinfra. They are held on a short leash:

- host keys are verified against the lab's known_hosts (fabric would add unknown ones);
- every step has a deadline of its own, since opening a session on a machine that just lost
  its power can hang for an hour in paramiko, and testinfra passes no time-out on;
- one connection a machine and thread, dropped when anything on it timed out.
"""

from __future__ import annotations

import io
import logging
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fabric
import invoke
import paramiko
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from lab.deadline import Deadline, wait_for
from lab.errors import CommandFailed, CommandTimeout, Unreachable

CONNECT = 10.0  # seconds for a connection, for a session on it, and for a log-in
QUICK = 30.0  # seconds for what should take one

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # what it says, it raises as well


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
        self._ssh_config = ssh_config
        self._known_hosts = known_hosts
        self._mine = threading.local()
        self._all: list[fabric.Connection] = []
        self.host: Any = Host(_Backend(self))  # testinfra's modules are made at run time

    def run(
        self, command: str, *, within: float = QUICK, stdin: str | None = None, check: bool = False
    ) -> Result:
        """Run `command` in root's shell there and wait for its end.

        Raises Unreachable without a connection, CommandTimeout (with the output so far)
        after `within` seconds, and CommandFailed for a non-zero exit if `check` is true.
        """
        started = time.monotonic()
        connection = self._connect()
        try:
            done = connection.run(
                command,
                hide=True,
                warn=True,
                timeout=within,
                in_stream=io.StringIO(stdin or ""),  # who asks gets an end, not silence
                encoding="utf-8",
            )
        except invoke.exceptions.CommandTimedOut as error:
            self.drop()
            raise CommandTimeout(
                f"on {self.name}, this did not end within {within:.0f} s: {command}",
                output=error.result.stdout + error.result.stderr,
            ) from error
        except (OSError, EOFError, paramiko.SSHException, invoke.exceptions.ThreadException) as e:
            self.drop()
            raise Unreachable(f"the connection to {self.name} was lost: {e}") from e
        result = Result(command, done.exited, done.stdout, done.stderr, time.monotonic() - started)
        if result.exit == -1:  # paramiko's word for: the channel closed without a status
            self.drop()
            raise Unreachable(
                f"the connection to {self.name} was lost, or a signal ended this: {command}"
            )
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
        connection = self._connect()
        try:
            sftp = connection.sftp()
            sftp.get_channel().settimeout(QUICK)
            with sftp.open(path, "wb") as file:
                sftp.chmod(path, mode)
                file.write(data)
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.drop()
            raise CommandFailed(f"{path} could not be written on {self.name}: {error}") from error

    def get(self, path: str) -> bytes:
        """Read a file there."""
        connection = self._connect()
        try:
            sftp = connection.sftp()
            sftp.get_channel().settimeout(QUICK)
            with sftp.open(path, "rb") as file:
                file.prefetch()
                content: bytes = file.read()
                return content
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.drop()
            raise CommandFailed(f"{path} could not be read on {self.name}: {error}") from error

    def drop(self) -> None:
        """Forget this thread's connection; the next command makes another."""
        connection = getattr(self._mine, "connection", None)
        self._mine.connection = None
        if connection is not None:
            with suppress(ValueError):  # `close` may have had it
                self._all.remove(connection)
            _close(connection)

    def close(self) -> None:
        """Close every thread's connection."""
        while self._all:  # other threads may drop theirs meanwhile
            _close(self._all.pop())
        self._mine = threading.local()

    def _connect(self) -> fabric.Connection:
        connection = getattr(self._mine, "connection", None)
        if connection is not None and connection.is_connected:
            return connection
        self.drop()
        config = fabric.Config(
            runtime_ssh_path=str(self._ssh_config),
            overrides={
                "timeouts": {"connect": CONNECT},
                "load_ssh_configs": True,
                "runners": {"remote": _Remote},
            },
        )
        connection = _Connection(self.name, config=config)
        try:
            link: fabric.Connection | None = connection
            while isinstance(link, fabric.Connection):  # the hosts on the way are verified too
                self._harden(link)
                link = link.gateway
            connection.open()
            transport = connection.transport
            transport.set_keepalive(5)
            transport.channel_timeout = CONNECT
        except (OSError, EOFError, paramiko.SSHException, invoke.exceptions.Exit) as error:
            _close(connection)
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{self.name} cannot be reached: {reason}") from error
        self._mine.connection = connection
        self._all.append(connection)
        return connection

    def _harden(self, link: fabric.Connection) -> None:
        link.client.load_host_keys(str(self._known_hosts))
        link.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        link.connect_kwargs.update(
            banner_timeout=CONNECT,
            auth_timeout=CONNECT,
            channel_timeout=CONNECT,
            allow_agent=False,
            look_for_keys=False,
        )


class _Remote(fabric.runners.Remote):  # type: ignore[misc]  # fabric has no types
    """fabric's way to run a command, with a Ctrl-C that does not await the command's end, and with
    all of its input at once.

    fabric raises a Ctrl-C as well, but only once the command has closed its output. And it reads
    input a character at a time, with a pause after each: 200 lines take half a minute.
    """

    def send_interrupt(self, interrupt: KeyboardInterrupt) -> None:
        self.channel.close()
        super().send_interrupt(interrupt)

    def read_our_stdin(self, input_: io.StringIO) -> str:
        return input_.read()


class _Connection(fabric.Connection):  # type: ignore[misc]  # fabric has no types
    """fabric's connection, with a ProxyCommand that is a real socket.

    paramiko's own reads a pipe and does not notice its end: it would wait, and spin, for a
    whole time-out where the machine is simply not there.
    """

    def get_gateway(self) -> Any:
        gateway = super().get_gateway()
        if isinstance(gateway, fabric.Connection):
            return _Connection(gateway.host, config=gateway.config)
        return gateway

    def open_gateway(self) -> Any:
        if not isinstance(self.gateway, str):
            return super().open_gateway()
        ours, theirs = socket.socketpair()
        with theirs:
            subprocess.Popen(
                ["sh", "-c", f"exec {self.gateway}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return ours


def _close(connection: fabric.Connection) -> None:
    try:
        connection.close()
        if connection.gateway is not None and hasattr(connection.gateway, "close"):
            connection.gateway.close()
    except (OSError, EOFError, paramiko.SSHException):
        pass  # it is gone, which is what was wanted


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
