"""Virtual BMCs: what a client of them gets, and the life of the process that they are.

The daemon is the real one, on addresses of 127.0.0.0/8. Its peer is pyghmi's client.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from lab import bmc, paths, providers
from lab.access import Access
from lab.deadline import Deadline, wait_for
from lab.errors import BadInput, CannotRun, LabError
from lab.ipmi import LOGIN, OPEN, RAKP1, RAKP3, Bmc, Session
from lab.lab import Lab
from lab.model import Entry, Guest, Machine, Scenario, Step

ROOT = Path(__file__).resolve().parents[2]
NAME = f"bmc-test-{os.getpid()}"  # two of these tests may run at once
GATE = 20.0  # seconds for which the provider can be held up

# Starts the daemon as `python -m` would, but in this test's world.
WORLD = """
import runpy, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from lab import paths, providers
from test_bmc import Fake
paths.RUN = Path({run!r})
providers.load = lambda name: Fake(Path({fake!r}), Path(__file__))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""

# Reads [address, port, user, password, privilege, orders, twice] and prints an answer for each
# order: "status", or the number of a chassis control. `twice`: every packet is sent two times.
CLIENT = """
import json, sys
from pyghmi.ipmi.private import session
from pyghmi.ipmi.command import Command
def answers(address, port, user, password, privilege, orders, twice):
    if twice:
        once = session._io_sendto
        session._io_sendto = lambda *packet: (once(*packet), once(*packet))
    try:
        peers = [
            Command(bmc=a, userid=user, password=password, port=port, privlevel=privilege)
            for a in address.split()
        ]
    except Exception as error:
        return [f"no login: {error}"]
    found = []
    for order in orders:
        for peer in peers:
            if order == "status":
                done = peer.raw_command(netfn=0, command=1)
                found.append(done["data"][0] if done["code"] == 0 else f"code {done['code']:#x}")
            else:
                done = peer.raw_command(netfn=0, command=2, data=[order])
                found.append("done" if done["code"] == 0 else f"code {done['code']:#x}")
    return found
print(json.dumps(answers(*json.load(sys.stdin))))
"""
OFF, ON, CYCLE, RESET, DIAG, SOFT = range(6)


class Fake:
    """A provider of files: one a machine, `on` or `off` in it."""

    name = "fake"

    def __init__(self, folder: Path, world: Path) -> None:
        self.folder, self.world = folder, world

    def running(self, lab: str) -> dict[str, bool]:
        self._fail("running")
        return {p.name: p.read_text() == "on" for p in self.folder.glob("node*")}

    def power_on(self, lab: str, node: str) -> None:
        self._set(node, "on")

    def power_off(self, lab: str, node: str) -> None:
        self._set(node, "off")

    def add_addresses(self, lab: str, addresses: Sequence[str]) -> None:
        self._note(f"addresses {' '.join(addresses)}")

    def outside(self, lab: str, argv: Sequence[str]) -> list[str]:
        if argv[1] == "-m":
            return [argv[0], str(self.world), *argv[2:]]
        return list(argv)

    # What a test does with it

    def calls(self) -> list[str]:
        """What was done, in order."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def breaks(self, what: str, why: str) -> None:
        """From now on `running`, `on` or `off` raises; with why == 'lie', it does nothing."""
        (self.folder / f"broken-{what}").write_text(why)

    def _set(self, node: str, state: str) -> None:
        self._note(f"{state} {node}")
        gate = self.folder / f"gate-{node}"
        assert wait_for(lambda: not gate.exists(), bool, Deadline(GATE))
        if self._fail(state) != "lie":
            (self.folder / node).write_text(state)

    def _note(self, line: str) -> None:
        with (self.folder / "calls").open("a") as file:
            file.write(line + "\n")

    def _fail(self, what: str) -> str:
        file = self.folder / f"broken-{what}"
        why = file.read_text() if file.exists() else ""
        if why not in ("", "lie"):
            raise LabError(why)
        return why


def scenario(count: int = 2, **more: Any) -> Scenario:
    machines = {f"node{n}": Machine(address=f"192.168.122.{100 + n}") for n in range(1, count + 1)}
    steps = [Step(section="4.1", title="T", expect=[Entry(use={"no_dc": None})])]
    return Scenario(
        **{"title": "T", "about": "A", "chapter": "4", "nodes": machines, "steps": steps, **more}
    )


def loopback(of: Scenario, node: str) -> str:
    return f"127.0.0.{1 + int(node.removeprefix('node'))}"


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    folder = tmp_path / "fake"
    folder.mkdir()
    for node in ("node1", "node2"):
        (folder / node).write_text("on")
    return Fake(folder, tmp_path / "world.py")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake) -> Iterator[Lab]:
    """A lab on disk, with a provider and folders of this test's own. Its BMCs do not run yet."""
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(providers, "load", lambda name: fake)
    monkeypatch.setattr(bmc, "address", loopback)
    names = {"root": ROOT, "tests": Path(__file__).parent, "run": paths.RUN, "fake": fake.folder}
    fake.world.write_text(WORLD.format(**{name: str(path) for name, path in names.items()}))
    made = Lab.create(NAME, tmp_path / "none.yaml", "debian-12", "fake")
    made.__dict__["scenario"] = scenario()
    yield made
    bmc.stop(NAME)


@pytest.fixture
def port() -> int:
    """A port that is free at the addresses of both."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.2", 0))
        found: int = probe.getsockname()[1]
        return found


Said = list[str]
Ensure = Callable[[], Said]


@pytest.fixture
def ensure(lab: Lab, port: int) -> Ensure:
    """Call `bmc.ensure`; what it said."""

    def call() -> Said:
        said: Said = []
        bmc.ensure(lab, said.append, port)
        return said

    return call


Ask = Callable[..., Any]


def command(*asked: Any) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdin is not None
    started.stdin.write(json.dumps(asked))
    started.stdin.close()
    return started


def answers(client: subprocess.Popen[str]) -> list[Any]:
    assert client.stdout is not None
    found: list[Any] = json.loads(client.stdout.read())
    client.wait()
    return found


@pytest.fixture
def ask(lab: Lab, port: int, ensure: Ensure) -> Ask:
    """Give orders to BMCs that run: a node, the orders, and what is unusual about it."""
    ensure()

    def call(nodes: str, *orders: Any, **unusual: Any) -> Any:
        user = unusual.get("user", bmc.USER)
        password = unusual.get("password", lab.access.secret("bmc"))
        where = " ".join(loopback(lab.scenario, node) for node in nodes.split())
        privilege, twice = unusual.get("privilege"), unusual.get("twice", False)
        client = command(where, port, user, password, privilege, orders, twice)
        return client if unusual.get("wait") is False else answers(client)

    return call


def pid() -> int:
    return int((paths.RUN / "bmc" / NAME).read_text())


def entries(lab: Lab, *actions: str) -> list[dict[str, Any]]:
    return [entry for entry in bmc.log(lab) if entry["action"] in actions]


def ends(look: Callable[[], bool], within: float = 10.0) -> bool:
    """Whether it becomes true in time."""
    return wait_for(look, bool, Deadline(within))


# -- addresses ------------------------------------------------------------------------------


def test_addresses_from_the_top_in_the_order_of_the_machines() -> None:
    of = scenario(3, guests={"guest1": Guest(host="node1", address="192.168.122.10")})
    found = [bmc.address(of, node) for node in of.nodes]
    assert found == ["192.168.122.254", "192.168.122.253", "192.168.122.252"]
    with pytest.raises(KeyError):
        bmc.address(of, "guest1")


def test_addresses_in_use_are_skipped() -> None:
    nodes = {
        "a": Machine(address="192.168.122.253"),
        "b": Machine(address="192.168.122.5"),
        "c": Machine(address="192.168.122.6"),
    }
    of = scenario(nodes=nodes, guests={"g": Guest(host="a", address="192.168.122.254")})
    found = [bmc.address(of, node) for node in of.nodes]
    assert found == ["192.168.122.252", "192.168.122.251", "192.168.122.250"]


def test_network_that_is_full_is_bad_input() -> None:
    nodes = {f"n{i}": Machine(address=f"192.168.122.{i}") for i in range(2, 129)}
    of = scenario(nodes=nodes)
    assert bmc.address(of, "n127") == "192.168.122.129"
    with pytest.raises(BadInput, match="no address left for the BMC of n128"):
        bmc.address(of, "n128")


# -- the password ---------------------------------------------------------------------------


def test_password_fits_ipmi(lab: Lab) -> None:
    lab.access.create_secrets()
    assert 16 <= len(lab.access.secret("bmc").encode()) <= 20


def test_lab_of_before_gets_the_password_and_keeps_the_others(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text('{"hacluster": "as it was"}')
    access = Access(tmp_path)
    access.create_secrets()
    first = access.secret("bmc")
    access.create_secrets()
    assert (access.secret("hacluster"), access.secret("bmc")) == ("as it was", first)
    assert file.stat().st_mode & 0o777 == 0o600


# -- what a client gets ---------------------------------------------------------------------


def test_power_on_off_reset_and_status(ask: Ask, fake: Fake) -> None:
    assert ask("node1", "status", OFF, "status", ON, "status") == [1, "done", 0, "done", 1]
    assert ask("node1", RESET, "status", CYCLE, "status") == ["done", 1, "done", 1]
    assert fake.calls()[1:] == [f"{state} node1" for state in ("off", "on") * 3]
    assert (fake.folder / "node2").read_text() == "on"


def test_what_is_so_already_is_done_and_reset_without_power_is_an_error(
    ask: Ask, fake: Fake, lab: Lab
) -> None:
    assert ask("node1", ON) == ["done"]
    assert "on node1" not in fake.calls()
    assert ask("node1", OFF, OFF, "status") == ["done", "done", 0]
    assert ask("node1", RESET, CYCLE, "status") == ["code 0xd5", "code 0xd5", 0]
    assert "on node1" not in fake.calls()
    assert [e["problem"] for e in entries(lab, "reset")] == ["it has no power"] * 2


def test_no_soft_shutdown_is_pretended(ask: Ask, fake: Fake, lab: Lab) -> None:
    assert ask("node1", SOFT, DIAG, 9, "status") == ["code 0xcc", "code 0xcc", "code 0xcc", 1]
    assert fake.calls()[1:] == []
    assert [e["action"] for e in entries(lab, "soft", "diag")] == ["soft", "diag"]


@pytest.mark.parametrize("what", ["running", "off"])
def test_error_of_the_provider_is_no_success(what: str, ask: Ask, fake: Fake, lab: Lab) -> None:
    fake.breaks(what, "the cellar is flooded")
    assert ask("node1", OFF, RESET) == ["code 0xff", "code 0xff"]
    assert (fake.folder / "node1").read_text() == "on"
    seen = entries(lab, "off", "reset")
    assert [e["problem"] for e in seen] == ["the cellar is flooded"] * 2


@pytest.mark.parametrize(("what", "order"), [("off", OFF), ("on", ON), ("on", RESET)])
def test_provider_that_only_says_so_is_no_success(
    what: str, order: int, ask: Ask, fake: Fake
) -> None:
    if order == ON:
        (fake.folder / "node1").write_text("off")
    fake.breaks(what, "lie")
    assert ask("node1", order) == ["code 0xff"]


def test_status_that_cannot_be_had_is_an_error(ask: Ask, fake: Fake, lab: Lab) -> None:
    fake.breaks("running", "the cellar is flooded")
    assert ask("node1", "status", "status") == ["code 0xff"] * 2
    (seen,) = entries(lab, "status")
    assert (seen["state"], seen["problem"]) == ("", "the cellar is flooded")


def test_machine_that_is_gone_is_an_error(ask: Ask, fake: Fake) -> None:
    (fake.folder / "node1").unlink()
    assert ask("node1", "status", ON, OFF) == ["code 0xff"] * 3
    assert ask("node2", "status") == [1]


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"user": "root"}, {"user": ""}])
def test_wrong_login_is_refused(wrong: dict[str, str], ask: Ask, fake: Fake) -> None:
    (said,) = ask("node1", OFF, **wrong)
    assert said.startswith("no login:")
    assert fake.calls()[1:] == []


def test_mere_user_changes_nothing(ask: Ask, fake: Fake) -> None:
    assert ask("node1", "status", OFF, privilege=2) == [1, "code 0xd4"]
    assert fake.calls()[1:] == []


def test_each_bmc_is_one_machine_also_for_one_socket(ask: Ask, fake: Fake) -> None:
    # pyghmi's client talks to both from one port: only the address says which is meant.
    (fake.folder / "node2").write_text("off")
    assert ask("node1 node2", "status", "status") == [1, 0, 1, 0]
    assert ask("node2 node1", "status") == [0, 1]


def test_packet_that_comes_twice_acts_once(ask: Ask, fake: Fake, lab: Lab) -> None:
    assert ask("node1", OFF, ON, RESET, "status", twice=True) == ["done", "done", "done", 1]
    assert fake.calls()[1:] == [f"{state} node1" for state in ("off", "on", "off", "on")]
    assert [e["action"] for e in entries(lab, "on", "off", "reset")] == ["off", "on", "reset"]


def test_slow_action_holds_up_nobody_else_and_is_done_once(ask: Ask, fake: Fake, lab: Lab) -> None:
    gate = fake.folder / "gate-node1"
    gate.touch()
    slow = ask("node1", OFF, wait=False)
    assert ends(lambda: "off node1" in fake.calls())
    assert ask("node2", "status", OFF, "status") == [1, "done", 0]
    assert ask("node1", "status") == [1]  # true still
    assert entries(lab, "off")[0]["node"] == "node2"  # and the other is not done
    gate.unlink()
    assert answers(slow) == ["done"]
    assert fake.calls().count("off node1") == 1


def test_bad_packets_end_nothing(ask: Ask, port: int) -> None:
    header = bytes.fromhex("0600ff07")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for kind in range(0, 256, 2):
            for size in (0, 10, 40):
                peer.sendto(header + bytes([6, kind]) + bytes(size), ("127.0.0.2", port))
                peer.sendto(header + bytes([0, kind]) + b"\xff" * size, ("127.0.0.2", port))
    assert ask("node1", "status") == [1]


# -- the log --------------------------------------------------------------------------------


def test_actions_are_logged_when_done(ask: Ask, lab: Lab) -> None:
    before = time.time()
    ask("node1", OFF, ON, RESET)
    seen = entries(lab, "on", "off", "reset")
    assert [e["action"] for e in seen] == ["off", "on", "reset"]
    for entry in seen:
        assert set(entry) == {"at", "asked", "node", "action", "from", "problem", "was"}
        assert before <= entry["asked"] <= entry["at"] <= time.time()
        assert (entry["node"], entry["from"], entry["problem"]) == ("node1", "127.0.0.1", "")


def test_the_power_before_an_action_is_logged(ask: Ask, lab: Lab, fake: Fake) -> None:
    ask("node1", ON, OFF, OFF, ON, RESET)
    fake.breaks("off", "the cellar is flooded")
    ask("node1", OFF)
    seen = entries(lab, "on", "off", "reset")
    assert [e["was"] for e in seen] == ["on", "on", "off", "off", "on", ""]


def test_status_is_logged_where_it_changed(ask: Ask, lab: Lab) -> None:
    ask("node1", "status", "status", OFF, "status", "status", ON, "status")
    assert [e.get("state", e["action"]) for e in bmc.log(lab)] == ["on", "off", "off", "on", "on"]
    ask("node1", "status")
    assert len(bmc.log(lab)) == 5


def test_password_is_nowhere_but_in_its_file(ask: Ask, lab: Lab) -> None:
    ask("node1", "status")
    ask("node1", "status", user=lab.access.secret("bmc")[:16])
    password = lab.access.secret("bmc").encode()
    assert password not in Path(f"/proc/{pid()}/cmdline").read_bytes()
    assert password not in Path(f"/proc/{pid()}/environ").read_bytes()
    assert password[:16] not in (lab.folder / bmc.LOG).read_bytes()


def test_torn_line_is_left_out_and_not_written_on(ask: Ask, ensure: Ensure, lab: Lab) -> None:
    ask("node1", OFF)
    os.kill(pid(), signal.SIGKILL)
    assert ends(lambda: not bmc.alive(NAME))
    with (lab.folder / bmc.LOG).open("a") as file:
        file.write('{"at": 17')
    assert [e["action"] for e in bmc.log(lab)] == ["off"]
    ensure()
    ask("node1", ON)
    assert [e["action"] for e in bmc.log(lab)] == ["off", "on"]


def test_no_log_is_an_empty_one(lab: Lab) -> None:
    assert bmc.log(lab) == []


# -- logins, packet by packet -----------------------------------------------------------------


class Heard:
    """A controller that only remembers what it was told."""

    def __init__(self) -> None:
        self.refusals: list[tuple[str, str, str]] = []
        self.defects: list[BaseException] = []

    def refused(self, node: str, asker: str, why: str) -> None:
        self.refusals.append((node, asker, why))

    def defect(self, error: BaseException) -> None:
        self.defects.append(error)


class Peer:
    """A client that makes each packet of a login itself."""

    def __init__(self) -> None:
        self.bmc = Bmc("node1", "127.0.0.1", 0, {"lab": "right"})
        self.heard = Heard()
        self.bmc.control = cast(Any, self.heard)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.number = b""

    def send(self, kind: int, body: bytes) -> bytes:
        """Send a packet of a login; what the answer has in it."""
        header = bytes.fromhex("0600ff0706") + bytes([kind]) + bytes(8)
        packet = header + struct.pack("<H", len(body)) + body
        self.socket.sendto(packet, self.bmc.serversocket.getsockname())
        self.bmc.receive()
        return self.socket.recv(3000)[16:]

    def open(self, suite: tuple[int, int, int] = (1, 1, 1)) -> bytes:
        body = bytes([7, 0, 0, 0]) + b"mine"
        for number, algorithm in enumerate(suite):
            body += bytes([number, 0, 0, 8, algorithm, 0, 0, 0])
        answer = self.send(OPEN, body)
        self.number = answer[8:12]
        return answer

    def first(self, user: bytes, draw: bytes = b"r" * 16) -> bytes:
        name = bytes([0x14, 0, 0, len(user)]) + user
        return self.send(RAKP1, bytes([8, 0, 0, 0]) + self.number + draw + name)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    assert made.heard.defects == []
    made.bmc.serversocket.close()
    made.socket.close()


@pytest.mark.parametrize("said", [(0x0F, b""), (0, b"w" * 20)])
def test_wrong_password_is_noticed_and_said(peer: Peer, said: tuple[int, bytes]) -> None:
    assert peer.open()[1] == 0
    assert peer.first(b"lab")[1] == 0
    code, proof = said
    answer = peer.send(RAKP3, bytes([9, code, 0, 0]) + peer.number + proof)
    assert answer[1] == 0x0F
    assert peer.heard.refusals == [("node1", "127.0.0.1", "wrong password")]


def test_packet_out_of_order_is_heard_of_and_ends_nothing(peer: Peer) -> None:
    peer.open()
    peer.socket.settimeout(0)
    with pytest.raises(BlockingIOError):
        peer.send(RAKP3, bytes([9, 0, 0, 0]) + peer.number + b"w" * 20)
    peer.socket.settimeout(5)
    assert [type(error) for error in peer.heard.defects] == [AttributeError]
    peer.heard.defects.clear()
    assert peer.first(b"lab")[1] == 0


def test_unknown_user_is_noticed_and_said(peer: Peer) -> None:
    peer.open()
    assert peer.first(b"root")[1] == 0x0D
    assert peer.heard.refusals == [("node1", "127.0.0.1", "unknown user")]


@pytest.mark.parametrize("suite", [(3, 4, 1), (0, 0, 0), (1, 1, 0), (2, 2, 1)])
def test_other_cipher_suites_are_refused(peer: Peer, suite: tuple[int, int, int]) -> None:
    assert peer.open(suite)[1] == 0x11
    assert not peer.bmc.sessions


def test_login_that_is_sent_again_is_answered_the_same(peer: Peer) -> None:
    assert peer.open() == peer.open()
    once = peer.first(b"lab")
    assert peer.first(b"lab") == once
    assert peer.first(b"lab", b"R" * 16) != once
    assert len(peer.bmc.sessions) == 1


def test_login_that_is_left_is_refused_and_forgotten(peer: Peer) -> None:
    peer.open()
    peer.first(b"lab")
    peer.bmc.sweep()
    (session,) = cast(list[Session], list(peer.bmc.sessions.values()))
    session.used -= LOGIN + 1
    peer.bmc.sweep()
    peer.bmc.sweep()
    assert peer.heard.refusals == [("node1", "127.0.0.1", "the login was not completed")]
    assert not peer.bmc.sessions


# -- the process's life -----------------------------------------------------------------------


def daemons() -> list[int]:
    """Every process that is a daemon of this test's lab, by its command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if bmc.MODULE.encode() in words and NAME.encode() in words:
            found.append(int(path.parent.name))
    return found


def test_first_start_says_nothing_and_the_second_does_nothing(ensure: Ensure, fake: Fake) -> None:
    assert not bmc.alive(NAME)
    assert bmc.names() == set()
    assert ensure() == []
    assert bmc.alive(NAME)
    assert bmc.names() == {NAME}
    first = pid()
    assert ensure() == []
    assert (pid(), daemons()) == (first, [first])
    assert fake.calls() == ["addresses 127.0.0.2 127.0.0.3"]


def test_two_at_once_start_one(ensure: Ensure) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: ensure(), range(4))) == [[]] * 4
    assert daemons() == [pid()]
    assert bmc.names() == {NAME}


def test_is_of_no_session_of_ours(ensure: Ensure) -> None:
    ensure()
    assert os.getsid(pid()) == pid()
    streams = [str(Path(f"/proc/{pid()}/fd/{n}").readlink()) for n in range(3)]
    assert streams == ["/dev/null"] * 3


def test_killed_one_is_started_anew_and_said(ensure: Ensure, ask: Ask) -> None:
    first = pid()
    os.kill(first, signal.SIGKILL)
    assert ends(lambda: not bmc.alive(NAME))
    assert bmc.names() == {NAME}
    (said,) = ensure()
    assert "had died" in said
    assert pid() != first
    assert ask("node1", "status") == [1]


def test_hung_one_is_started_anew_and_said(
    ensure: Ensure, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pid()
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr(bmc, "END", 0.5)
    (said,) = ensure()
    assert "do not answer" in said
    assert first not in daemons()
    assert ask("node1", "status") == [1]


def test_ends_with_the_lab_s_folder(ensure: Ensure, lab: Lab) -> None:
    ensure()
    shutil.rmtree(lab.folder)
    assert ends(lambda: not bmc.alive(NAME), within=5)
    assert ends(lambda: not daemons(), within=5)
    assert bmc.names() == set()


def test_ends_if_the_folder_is_another_lab_s(ensure: Ensure, lab: Lab) -> None:
    ensure()
    shutil.rmtree(lab.folder)
    lab.folder.mkdir()
    assert ends(lambda: not bmc.alive(NAME), within=5)


def test_ends_with_its_file(ensure: Ensure) -> None:
    ensure()
    (paths.RUN / "bmc" / NAME).unlink()
    assert ends(lambda: not daemons(), within=5)


def test_stop_ends_it_and_waits(ensure: Ensure) -> None:
    ensure()
    bmc.stop(NAME)
    assert daemons() == []
    assert bmc.names() == set()
    assert not bmc.alive(NAME)
    bmc.stop(NAME)  # and once more is no error
    assert ensure() == []  # it had not died


def test_stop_without_the_folder(ensure: Ensure, lab: Lab) -> None:
    ensure()
    os.kill(pid(), signal.SIGSTOP)  # so that it cannot see that the folder has gone
    shutil.rmtree(lab.folder)
    os.kill(pid(), signal.SIGCONT)
    bmc.stop(NAME)
    assert daemons() == []
    assert bmc.names() == set()


def test_stop_lets_an_action_end(ask: Ask, fake: Fake, lab: Lab) -> None:
    gate = fake.folder / "gate-node1"
    gate.touch()
    ask("node1", OFF, wait=False)
    assert ends(lambda: "off node1" in fake.calls())
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(bmc.stop, NAME)
        gate.unlink()
        stopped.result()
    assert [e["action"] for e in entries(lab, "off")] == ["off"]


@pytest.mark.parametrize("held", [False, True])
def test_stop_ends_no_stranger(lab: Lab, held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bmc, "END", 0.3)
    stranger = subprocess.Popen(["sleep", "60"])
    file = paths.RUN / "bmc" / NAME
    file.parent.mkdir(parents=True)
    file.write_text(f"{stranger.pid}\n")
    with file.open() as mine:
        if held:
            fcntl.flock(mine, fcntl.LOCK_EX)
            with pytest.raises(LabError, match="cannot be ended"):
                bmc.stop(NAME)
        else:
            bmc.stop(NAME)
            assert bmc.names() == set()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_start_that_fails_says_why_and_leaves_nothing(ensure: Ensure, lab: Lab, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.3", port))
        with pytest.raises(CannotRun, match=r"did not start: .*Address already in use"):
            ensure()
    assert daemons() == []
    assert bmc.names() == set()
    assert ensure() == []


def test_listens_on_its_own_addresses_only(ensure: Ensure, port: int) -> None:
    ensure()
    table = Path(f"/proc/{pid()}/net/udp").read_text().splitlines()[1:]
    bound = {line.split()[1] for line in table if line.split()[1].endswith(f":{port:04X}")}
    assert bound == {f"0200007F:{port:04X}", f"0300007F:{port:04X}"}
    assert f":{port:04X} " not in Path(f"/proc/{pid()}/net/udp6").read_text()
