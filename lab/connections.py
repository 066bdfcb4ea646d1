"""Connections to one machine by ssh: each one user's at a time, and kept for the next.

They are held on a short leash. Host keys are verified against the lab's known_hosts (fabric would
add unknown ones), and every step has a deadline of its own, since opening a session on a machine
that just lost its power can hang for an hour in paramiko.
"""

from __future__ import annotations

import io
import logging
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fabric
import invoke
import paramiko

from lab.errors import Unreachable

T = TypeVar("T")
CONNECT = 10.0  # seconds for a connection, for a session on it, and for a log-in
PULSE = 5.0  # seconds between two questions whether the machine is there
SILENCE = 60.0  # seconds without an answer after which it is not: one that is emulated takes some
LOST = (OSError, EOFError, paramiko.SSHException)  # how fabric and paramiko say that one is lost

logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # what it says, it raises as well


class Connections:
    """Those to the machine of that name in the lab's ssh_config. Safe in threads."""

    def __init__(self, name: str, ssh_config: Path, known_hosts: Path) -> None:
        self._name = name
        self._ssh_config = ssh_config
        self._known_hosts = known_hosts
        # By identity: to fabric all connections to one machine are equal. (What is done to either
        # is one operation of dict or list, and safe in threads.)
        self._busy: dict[int, Connection] = {}
        self._kept: list[Connection] = []

    def use(self, do: Callable[[Connection], T]) -> T:
        """What `do` returns, given a connection that nobody else has meanwhile.

        One that was kept may have ended since it was used last, as the machine was rebooted; then
        it is done on another. After a failure none is kept: what ends one mostly ends all.
        """
        while True:
            connection, kept = self._take()
            try:
                found = do(connection)
            except BaseException as error:
                closed = not self._give_back(connection)
                _close(connection)
                self.drop()
                if kept and not closed and isinstance(error, _Ended):
                    continue
                raise
            if self._give_back(connection):
                self._kept.append(connection)
            return found

    def use_files(self, do: Callable[[paramiko.SFTPClient], T], within: float) -> T:
        """What `do` returns, given the machine's files; it may be done twice.

        `within`: seconds that the machine may take for each answer.
        """

        def files(connection: Connection) -> T:
            try:
                sftp = connection.sftp()
                sftp.get_channel().settimeout(within)
                return do(sftp)
            except LOST as error:
                connection.blame(error)
                raise

        return self.use(files)

    def drop(self) -> None:
        """Keep none; those that are in use go on."""
        while (connection := self._pop()) is not None:
            _close(connection)

    def close(self) -> None:
        """Close every one: what is being done on it fails."""
        for connection in list(self._busy.values()):
            if self._give_back(connection):
                _close(connection)
        self.drop()

    def _take(self) -> tuple[Connection, bool]:
        """A connection that nobody else has, and whether it was kept."""
        while (connection := self._pop()) is not None and not connection.is_connected:
            _close(connection)
        kept = connection is not None
        if connection is None:
            connection = self._connect()
        self._busy[id(connection)] = connection
        return connection, kept

    def _pop(self) -> Connection | None:
        """The kept one that was used last, kept no more; None if there is none."""
        try:
            return self._kept.pop()
        except IndexError:
            return None

    def _give_back(self, connection: Connection) -> bool:
        """It is in use no more; False if `close` has had it meanwhile."""
        return self._busy.pop(id(connection), None) is not None

    def _connect(self) -> Connection:
        config = fabric.Config(
            runtime_ssh_path=str(self._ssh_config),
            overrides={
                "timeouts": {"connect": CONNECT},
                "load_ssh_configs": True,
                "runners": {"remote": _Remote},
            },
        )
        connection = Connection(self._name, config=config)
        try:
            link: fabric.Connection | None = connection
            while isinstance(link, fabric.Connection):  # the hosts on the way are verified too
                self._harden(link)
                link = link.gateway
            connection.open()
            transport = connection.transport
            transport.channel_timeout = CONNECT
            threading.Thread(target=_pulse, args=(transport,), daemon=True).start()
        except (*LOST, invoke.exceptions.Exit) as error:
            _close(connection)
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{self._name} cannot be reached: {reason}") from error
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


class _Ended(paramiko.SSHException):  # type: ignore[misc]  # paramiko has no types
    """The connection had ended before anything was begun on it."""


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


class Connection(fabric.Connection):  # type: ignore[misc]  # fabric has no types
    """fabric's connection, with a ProxyCommand that is a real socket.

    paramiko's own reads a pipe and does not notice its end: it would wait, and spin, for a
    whole time-out where the machine is simply not there.
    """

    def create_session(self) -> paramiko.Channel:
        try:
            return super().create_session()
        except LOST as error:
            self.blame(error)
            raise

    def blame(self, error: Exception) -> None:
        """Raise _Ended if the reason for the error is that the connection has ended."""
        if not self.is_connected:
            raise _Ended(str(error) or type(error).__name__) from error

    def get_gateway(self) -> Any:
        gateway = super().get_gateway()
        if isinstance(gateway, fabric.Connection):
            return Connection(gateway.host, config=gateway.config)
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


def _pulse(transport: paramiko.Transport) -> None:
    """Close the connection once the machine answers no more: a virtual one that loses its power
    ends none of its connections, and a command would be waited for until its deadline.

    (paramiko's own keepalive asks, and does not care for the answer.)
    """
    while transport.is_active():
        silent = threading.Timer(SILENCE, transport.close)
        silent.daemon = True
        silent.start()
        transport.global_request("keepalive@openssh.com", wait=True)
        silent.cancel()
        transport.join(PULSE)  # until it ends


def _close(connection: fabric.Connection) -> None:
    try:
        connection.close()
        if connection.gateway is not None and hasattr(connection.gateway, "close"):
            connection.gateway.close()
    except LOST:
        pass  # it is gone, which is what was wanted
