"""A machine, reached over a real OpenSSH server: one for each connection, without a port.

The server runs as whoever runs the tests, on the socket that stands for the ProxyCommand of
the lab's ssh_config (`sshd -i`), with keys of its own.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest

from lab import connections
from lab.errors import CommandFailed, CommandTimeout, Unreachable
from lab.machine import Machine

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SEPARATION = Path("/run/sshd")  # sshd, where it is root, wants this empty folder

pytestmark = pytest.mark.skipif(SSHD is None, reason="there is no sshd: install openssh-server")

SERVER = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
PermitRootLogin yes
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
"""
CLIENT = """\
Host {name}
    HostName {name}
    ProxyCommand {proxy}
    User {user}
    IdentityFile "{key}"
    IdentitiesOnly yes
    UserKnownHostsFile "{known_hosts}"
    StrictHostKeyChecking yes
"""


@dataclass
class Site:
    """Keys, a server's configuration, and machines that are reached through it."""

    folder: Path
    made: int = 0

    @property
    def proxy(self) -> str:
        return f"{SSHD} -i -f {self.folder}/sshd_config"

    def key(self, name: str) -> str:
        path = self.folder / name
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True
        )
        return path.with_suffix(".pub").read_text()

    def machine(
        self, *, proxy: str = "", key: str = "key", host_key: str = "host_key", more: str = ""
    ) -> Machine:
        """A machine `node`; `host_key`: the key that it is known by, '' for none."""
        self.made += 1
        known_hosts = self.folder / f"known_hosts-{self.made}"
        known = (self.folder / f"{host_key}.pub").read_text() if host_key else ""
        known_hosts.write_text(f"node {known}" if known else "")
        text = CLIENT.format(
            name="node",
            proxy=proxy or self.proxy,
            user=getpass.getuser(),
            key=self.folder / key,
            known_hosts=known_hosts,
        )
        config = self.folder / f"ssh_config-{self.made}"
        config.write_text(text + more)
        return Machine("node", config, known_hosts)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("ssh"))
    for name in ("host_key", "other_host_key", "key", "other_key"):
        made.key(name)
    (made.folder / "sshd_config").write_text(SERVER.format(folder=made.folder))
    ours = os.geteuid() == 0 and not SEPARATION.exists()
    if ours:
        SEPARATION.mkdir(mode=0o755)
    yield made
    if ours:
        SEPARATION.rmdir()


@pytest.fixture(scope="module")
def lasting(site: Site) -> Iterator[Machine]:
    """A machine for tests that leave its connection as it is."""
    made = site.machine()
    yield made
    made.close()


@pytest.fixture
def machine(site: Site) -> Iterator[Machine]:
    made = site.machine()
    yield made
    made.close()


# -- commands -------------------------------------------------------------------------------


def test_how_a_command_ended(lasting: Machine) -> None:
    done = lasting.run("echo out; echo err >&2; exit 7")
    assert (done.exit, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert done.output == "out\nerr\n"
    assert done.command.endswith("exit 7")
    assert 0 < done.seconds < 5


def test_a_failure_that_is_checked(lasting: Machine) -> None:
    with pytest.raises(CommandFailed, match="`echo no; exit 3` ended with exit status 3: no") as e:
        lasting.run("echo no; exit 3", check=True)
    assert e.value.output == "no\n"
    assert not isinstance(e.value, CommandTimeout | Unreachable)
    assert lasting.run("true", check=True).exit == 0


def test_the_text_is_what_the_shell_there_is_given(lasting: Machine) -> None:
    done = lasting.run("""a="it's"; printf '%s|' "$a" 'x  y' \\$HOME; echo "$((6*7))" """)
    assert done.stdout == "it's|x  y|$HOME|42\n"


def test_a_document_in_the_command(lasting: Machine) -> None:
    assert lasting.run("cat << END\n192.168.122.10    guest1\nEND").stdout == (
        "192.168.122.10    guest1\n"
    )


def test_text_that_is_no_ascii_and_bytes_that_are_no_text(lasting: Machine) -> None:
    assert lasting.run("echo é").stdout == "é\n"
    assert lasting.run(r"printf 'a\377b'").stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_much_output(lasting: Machine) -> None:
    done = lasting.run("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2")
    assert len(done.stdout) == 3_000_000
    assert done.stderr == "end\n"


def test_standard_input(lasting: Machine) -> None:
    assert lasting.run("cat; echo .", stdin="a secret\nin two lines\n").stdout == (
        "a secret\nin two lines\n.\n"
    )


def test_input_arrives_at_once(lasting: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a character at a time, as fabric has it: that takes longer than any deadline."""
    sent: list[str] = []
    send = connections._Remote.write_proc_stdin

    def keep(runner: object, data: str) -> None:
        sent.append(data)
        send(runner, data)

    monkeypatch.setattr(connections._Remote, "write_proc_stdin", keep)
    text = "192.168.122.101 remote1\n" * 400
    assert lasting.run("md5sum", stdin=text).stdout.split()[0] == (
        hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    )
    assert sent == [text]


def test_no_standard_input(lasting: Machine) -> None:
    """A command that reads gets the end of it at once: not the caller's, and not silence."""
    assert lasting.run("cat", within=10).stdout == ""


def test_testinfra(lasting: Machine, tmp_path: Path) -> None:
    file = tmp_path / "it's there"
    assert not lasting.host.file(str(file)).exists
    file.write_text("é")
    assert lasting.host.file(str(file)).content_string == "é"
    assert lasting.host.run("exit %s", "4").rc == 4


# -- time-outs and losses -------------------------------------------------------------------


def test_a_command_that_takes_too_long(machine: Machine) -> None:
    started = time.monotonic()
    with pytest.raises(CommandTimeout, match="did not end within 2 s: echo so far") as caught:
        machine.run("echo so far; echo and that >&2; sleep 60", within=2)
    assert time.monotonic() - started < 30
    assert caught.value.output == "so far\nand that\n"
    assert machine.run("echo next").stdout == "next\n"


def test_a_connection_that_is_lost_during_a_command(machine: Machine) -> None:
    started = time.monotonic()
    with pytest.raises(Unreachable, match="connection to node was lost"):
        machine.run("kill -9 $PPID; sleep 3")
    assert time.monotonic() - started < 2
    assert machine.run("echo next").stdout == "next\n"


def test_a_machine_that_says_nothing_more_during_a_command(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a virtual one that lost its power: its connections stand, and are silent."""
    monkeypatch.setattr(connections, "PULSE", 0.1)
    monkeypatch.setattr(connections, "SILENCE", 1.0)
    assert machine.run("sleep 2; echo there").stdout == "there\n"  # its server answers
    started = time.monotonic()
    with pytest.raises(Unreachable, match="connection to node was lost"):
        machine.run("server=$PPID; kill -STOP $server; sleep 9; kill -KILL $server")
    assert time.monotonic() - started < 8
    assert machine.run("echo next").stdout == "next\n"


def test_a_connection_that_is_lost_between_commands(machine: Machine) -> None:
    """What is kept may end: the machine is rebooted by others, a cluster among them."""
    machine.run("(sleep 0.1; kill -9 $PPID) > /dev/null 2>&1 &")
    time.sleep(0.3)
    assert machine.run("echo next").stdout == "next\n"


@pytest.mark.parametrize("what", ["a command", "a file"])
def test_an_end_that_is_seen_as_something_begins(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    """Nothing was done then, and it is done on another connection: once."""
    machine.run("true")
    file = tmp_path / "file"
    file.write_bytes(b"data\n")
    open_session = paramiko.Transport.open_session
    ended: list[paramiko.Transport] = []

    def once(transport: paramiko.Transport, **more: Any) -> paramiko.Channel:
        if not ended:
            ended.append(transport)
            transport.close()
        return open_session(transport, **more)

    monkeypatch.setattr(paramiko.Transport, "open_session", once)
    if what == "a command":
        assert machine.run(f"echo more >> {file}; cat {file}").stdout == "data\nmore\n"
    else:
        assert machine.get(str(file)) == b"data\n"
    assert len(ended) == 1


def test_a_machine_that_takes_no_session_is_not_asked_twice(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stands: then it hangs, and to wait once more does not help."""
    machine.run("true")
    asked: list[paramiko.Transport] = []

    def silent(transport: paramiko.Transport, **_: object) -> object:
        asked.append(transport)
        raise paramiko.SSHException("Timeout opening channel.")

    monkeypatch.setattr(paramiko.Transport, "open_session", silent)
    with pytest.raises(Unreachable, match="Timeout opening channel"):
        machine.run("true")
    assert len(asked) == 1


def test_after_a_failure_no_connection_is_kept(machine: Machine) -> None:
    """What ended one may have ended the others, and they would not know yet."""

    def one(_: int) -> str:
        both.wait()
        return machine.run("sleep 0.2; echo $PPID").stdout

    both = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        before = set(pool.map(one, range(2)))
    assert len(before) == 2
    with pytest.raises(Unreachable):
        machine.run("kill -9 $PPID; sleep 3")
    assert machine.run("echo $PPID").stdout not in before


def test_a_command_that_a_signal_ends(machine: Machine) -> None:
    """It is the command that ended, not the connection."""
    done = machine.run("sh -c 'kill -9 $$'; exit $?")
    assert done.exit == 137


def test_one_after_the_other_has_the_same_connection_whatever_thread_it_is(
    machine: Machine,
) -> None:
    first = machine.run("echo $PPID").stdout
    for _ in range(2):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(machine.run, "echo $PPID").result().stdout == first


def test_at_the_same_time_each_has_one_of_its_own(machine: Machine) -> None:
    def one(number: int) -> tuple[str, str]:
        threads.wait()
        said, parent = machine.run(f"sleep 0.3; echo {number} $PPID").stdout.split()
        return said, parent

    threads = threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(one, range(3)))
        again = list(pool.map(one, range(3)))
    assert [said for said, _ in answers] == ["0", "1", "2"]
    assert len({parent for _, parent in answers}) == 3
    assert {parent for _, parent in again} == {parent for _, parent in answers}


def test_a_connection_that_is_dropped_is_forgotten(machine: Machine) -> None:
    first = machine.run("echo $PPID").stdout
    machine.drop()
    machine.drop()  # there is none
    assert machine.run("echo $PPID").stdout != first


def test_what_runs_is_not_dropped(machine: Machine) -> None:
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(machine.run, "sleep 0.5; echo $PPID")
        until(lambda: machine._connections._busy)
        machine.drop()
        assert job.result().exit == 0


def test_close_ends_what_runs(machine: Machine) -> None:
    """And neither is it done again, nor is its connection kept."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(machine.run, "echo so far; sleep 30")
        until(lambda: machine._connections._busy)
        time.sleep(0.2)
        started = time.monotonic()
        machine.close()
        with pytest.raises(Unreachable):
            job.result()
    assert time.monotonic() - started < 10
    assert not machine._connections._busy
    assert not machine._connections._kept


def test_what_was_closed_meanwhile_is_not_kept(machine: Machine) -> None:
    machine._connections.use(lambda _connection: machine.close())
    assert not machine._connections._kept


def test_after_close_it_is_connected_to_again(machine: Machine) -> None:
    first = machine.run("echo $PPID").stdout
    assert machine.run("echo $PPID").stdout == first
    machine.close()
    assert machine.run("echo $PPID").stdout != first


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# -- connecting -----------------------------------------------------------------------------


@pytest.mark.parametrize("host_key", ["other_host_key", ""])
def test_a_host_key_that_is_not_the_known_one(site: Site, host_key: str) -> None:
    machine = site.machine(host_key=host_key)
    with pytest.raises(Unreachable, match=r"node cannot be reached: .*not"):
        machine.run("true")
    known = site.folder / f"known_hosts-{site.made}"
    assert "host_key" not in known.read_text()
    assert len(known.read_text().splitlines()) == (1 if host_key else 0)  # nor is it learnt


def test_a_log_in_that_is_refused(site: Site) -> None:
    machine = site.machine(key="other_key")
    with pytest.raises(Unreachable, match="Authentication failed"):
        machine.run("true")


def test_a_host_on_the_way_is_verified_too(site: Site) -> None:
    """`far` is behind `node`, which has another key than the known one."""
    made = site.machine(host_key="other_host_key", more="\nHost far\n    ProxyJump node\n")
    its = made._connections
    far = Machine("far", its._ssh_config, its._known_hosts)
    with pytest.raises(Unreachable, match=r"far cannot be reached: .*does not match"):
        far.run("true")


@pytest.mark.parametrize("proxy", ["false", "no-such-program", "echo SSH"])
def test_a_proxy_that_fails_at_once(site: Site, proxy: str) -> None:
    machine = site.machine(proxy=proxy)
    started = time.monotonic()
    with pytest.raises(Unreachable, match="node cannot be reached"):
        machine.run("true")
    assert time.monotonic() - started < 2


def test_a_proxy_that_says_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECT", 0.3)
    machine = site.machine(proxy="sleep 2")
    started = time.monotonic()
    with pytest.raises(Unreachable, match="node cannot be reached"):
        machine.run("true")
    assert time.monotonic() - started < 1.5


def test_a_name_that_the_config_does_not_have(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    known = site.machine()
    its = known._connections
    stranger = Machine("stranger", its._ssh_config, its._known_hosts)
    with pytest.raises(Unreachable, match="stranger cannot be reached"):
        stranger.run("true")


def test_await_login_waits(site: Site, tmp_path: Path) -> None:
    """The machine answers at the third attempt."""
    tries = tmp_path / "tries"
    script = tmp_path / "proxy"
    script.write_text(
        f"#!/bin/sh\necho >> {tries}\n[ $(wc -l < {tries}) -ge 3 ] || exit 1\nexec {site.proxy}\n"
    )
    script.chmod(0o755)
    machine = site.machine(proxy=str(script))
    machine.await_login(10)
    assert len(tries.read_text()) == 3
    machine.close()


def test_await_login_gives_up(site: Site) -> None:
    machine = site.machine(proxy="false")
    started = time.monotonic()
    with pytest.raises(Unreachable, match="node cannot be logged in to after 0 s: node cannot be"):
        machine.await_login(0.4)
    assert 0.4 <= time.monotonic() - started < 2


# -- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\0\xff\n" * 70_000])
def test_a_file_there_and_back(lasting: Machine, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "it's a file"
    lasting.put(data, str(path), mode=0o600)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o7777 == 0o600
    assert lasting.get(str(path)) == data


def test_a_file_that_is_there_is_replaced(lasting: Machine, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("something longer")
    lasting.put(b"new", str(path), mode=0o755)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == 0o755


def test_files_that_cannot_be_had(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="could not be read on node"):
        machine.get(str(tmp_path / "missing"))
    with pytest.raises(CommandFailed, match="could not be written on node"):
        machine.put(b"", str(tmp_path / "missing" / "file"))
    assert machine.run("echo next").stdout == "next\n"


def test_ctrl_c_does_not_await_the_command(machine: Machine) -> None:
    """It may take minutes, and a run that is told to end is waited for."""
    machine.run("true")
    started = time.monotonic()
    timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            machine.run("echo so far; sleep 40", within=60)
    finally:
        timer.cancel()
    assert time.monotonic() - started < 20
    assert machine.run("echo next").stdout == "next\n"
