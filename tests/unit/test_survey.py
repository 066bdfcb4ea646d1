"""A node's survey: its script run by a real shell, its answer read, the journal read on."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import platforms, survey
from lab.errors import CommandTimeout, Unreachable
from lab.lab import Lab
from lab.machine import Result
from lab.pacemaker import OLD_STATUS, STATUS
from lab.survey import Surveyor, journal, made, split

DATA = Path(__file__).parent / "data"
CRM_MON = (DATA / "audits" / "settled-node1-crm_mon.xml").read_text()
CIB = (DATA / "audits" / "settled-node1-cib.xml").read_text()
JOURNAL = (DATA / "audits" / "journal.jsonl").read_text()
CRASHES = [
    "2026-11-22T23:34:40.970+00:00 pacemakerd: "
    "error: pacemaker-attrd[6881] terminated with signal 11 (Segmentation fault)",
    "2026-11-22T23:47:57.756+00:00 pacemakerd: "
    "error: pacemaker-controld[4653] terminated with signal 6 (Aborted)",
    "2026-11-22T23:34:44.566+00:00 systemd: "
    "pacemaker_remote.service: Main process exited, code=killed, status=11/SEGV",
]
NOT_CONNECTED = (DATA / "crm_mon-2.1.5-not-connected.xml").read_text()


# -- the journal ----------------------------------------------------------------------------


def entry(who: str, what: str, cursor: str = "c1") -> str:
    keys = {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1795390480970405"}
    return json.dumps({**keys, "SYSLOG_IDENTIFIER": who, "MESSAGE": what})


def crashed(who: str, what: str) -> bool:
    return bool(journal(entry(who, what), "")[0])


def test_recorded_crashes_and_no_kill_nor_anything_else() -> None:
    found, cursor = journal(JOURNAL, "")
    assert found == CRASHES
    assert cursor.startswith("s=ff43ad6b3e8d43ad93fa6178d07a36ff;i=993;")


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ("pacemakerd", "error: cib[12] terminated with signal 7 (core=1)"),
        ("pacemakerd", "The attrd process (12) terminated with signal 8 (core=0)"),
        ("pacemaker-based", "crm_abort: f: Triggered fatal assertion at cib.c:12 : x != NULL"),
        ("pacemaker-controld", "error: f: Triggered assert at xml.c:594 : a == b"),
        ("corosync", "corosync: totemsrp.c:12: f: Assertion `a < b' failed."),
        ("systemd", "corosync.service: Main process exited, code=dumped, status=6/ABRT"),
        ("systemd", "pacemaker.service: main process exited, code=killed, status=4/ILL"),
        ("systemd", "libvirtd.service: Main process exited, code=dumped, status=11/SEGV"),
        ("systemd-coredump", "Process 12 (pacemaker-attrd) of user 189 dumped core.\n\nStack …"),
        ("abrt-hook-ccpp", "Process 12 (crmd) of user 189 killed by SIGABRT - dumping core"),
        ("kernel", "pacemaker-based[12]: segfault at 0 ip 00007f sp 00007ffd error 4 in libc.so"),
        ("kernel", "traps: corosync[12] general protection fault ip:7f sp:7f error:0 in libqb"),
    ],
)
def test_a_crash(who: str, what: str) -> None:
    assert crashed(who, what)


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ("pacemakerd", "warning: pacemaker-attrd[12] terminated with signal 9 (Killed)"),
        ("pacemakerd", "warning: pacemaker-attrd[12] terminated with signal 15 (Terminated)"),
        ("pacemakerd", "error: pacemaker-controld[12] exited with status 102 (Not connected)"),
        ("systemd", "corosync.service: Main process exited, code=killed, status=9/KILL"),
        ("systemd", "pacemaker.service: Main process exited, code=exited, status=4/NOPERMISSION"),
        ("systemd", "apache2.service: Main process exited, code=dumped, status=11/SEGV"),
        ("systemd-coredump", "Process 12 (python3) of user 0 dumped core."),
        ("kernel", "qemu-system-x86[12]: segfault at 0 ip 00007f"),
        ("sudo", "root : STATUS=echo pacemakerd[12] terminated with signal 11"),
        ("libvirtd", "internal error: process exited while connecting to monitor"),
    ],
)
def test_no_crash_of_the_cluster(who: str, what: str) -> None:
    assert not crashed(who, what)


def test_the_entry_that_was_read_last_is_not_read_again() -> None:
    lines = entry("pacemakerd", "x[1] terminated with signal 11", "c1")
    assert journal(lines, "c1") == ([], "")
    assert len(journal(lines, "c0")[0]) == 1


def test_an_entry_that_was_cut_off_is_left_for_the_next_look() -> None:
    lines = entry("pacemakerd", "x[1] terminated with signal 11")
    assert journal(lines[:-20], "") == ([], "")


# -- a node's answer ------------------------------------------------------------------------


def parts(**given: tuple[str, int]) -> dict[str, tuple[str, int]]:
    usual = {"status": (CRM_MON, 0), "cib": (CIB, 0), "cores": ("", 0), "journal": ("", 0)}
    return {**usual, **given}


def test_a_cluster_node() -> None:
    found = made("node1", parts(), ("crash",), member=True)
    assert (found.node, found.problem, found.crashes) == ("node1", "", ("crash",))
    assert found.status
    assert (found.status.dc, sorted(found.status.nodes)) == (
        "node2",
        ["node1", "node2", "remote1"],
    )
    assert found.configuration.version == "0.31.0"
    assert found.promoted == {("st", "node2")}


def test_where_the_cluster_does_not_run() -> None:
    found = made("node1", parts(status=(NOT_CONNECTED, 102), cib=("", 102)), (), member=True)
    assert (found.status, found.cib, found.problem) == (None, "", "")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"status": ("", 124)}, "no answer within 6 s: status"),
        ({"cib": ("", 124), "journal": ("", 124)}, "no answer within 6 s: cib, journal"),
        ({"status": ("<torn", 0)}, "crm_mon did not print XML: '<torn'"),
        (
            {"journal": ("", 1)},
            "its journal could not be read: journalctl ended with exit status 1",
        ),
    ],
)
def test_problem(answer: dict[str, tuple[str, int]], problem: str) -> None:
    assert made("node1", parts(**answer), (), member=True).problem == problem


def test_an_answer_that_broke_off() -> None:
    given = split(f"\n{CRM_MON}\ntoken status 0\n<cib", "token")
    assert given == {"status": (f"\n{CRM_MON}\n", 0)}
    found = made("node1", given, (), member=True)
    assert found.problem == "the survey broke off: no cib, cores, journal"


def test_core_files() -> None:
    line = "/var/lib/pacemaker/cores/core\t6234112\t1795390480.9601230000\n"
    assert made("node1", parts(cores=(line, 0)), (), member=True).cores == (
        "/var/lib/pacemaker/cores/core, 6234112 bytes, 2026-11-22T23:34:40.960+00:00",
    )


# -- the script, in a shell -----------------------------------------------------------------


@dataclass
class Node:
    """A machine whose commands are stubs in a folder, run by this machine's shell."""

    folder: Path
    scripts: list[str] = field(default_factory=list)
    problem: Exception | None = None

    def stub(self, name: str, text: str, code: int = 0) -> None:
        (self.folder / f"{name}.txt").write_text(text)
        path = self.folder / name
        path.write_text(
            f'#!/bin/sh\necho "$*" >> {path}.args\ncat {path}.txt\necho noise >&2\nexit {code}\n'
        )
        path.chmod(0o755)

    def run(self, script: str, *, within: float) -> Result:
        self.scripts.append(script)
        if self.problem:
            raise self.problem
        done = subprocess.run(
            ["sh", "-c", script],
            env={"PATH": f"{self.folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        return Result(script, done.returncode, done.stdout, done.stderr, 0.1)

    @property
    def name(self) -> str:
        return self.folder.name

    def drop(self) -> None:
        """It has no connection."""

    def arguments(self, name: str) -> list[str]:
        return (self.folder / f"{name}.args").read_text().splitlines()


class World:
    """A lab of node1 and the guest guest1."""

    def __init__(self, folder: Path, pacemaker: str = "") -> None:
        self.nodes: dict[str, Node] = {}
        for name in ("node1", "guest1"):
            (folder / name).mkdir()
            self.nodes[name] = Node(folder / name)
            self.nodes[name].stub("crm_mon", CRM_MON)
            self.nodes[name].stub("cibadmin", CIB)
            self.nodes[name].stub("journalctl", "")
            self.nodes[name].stub("find", "")
        self.slim: set[str] = set()
        self.scenario = SimpleNamespace(
            guests={"guest1": None},
            cluster_nodes=["node1"],
            is_slim=lambda name: name in self.slim,
        )
        self.platform = platforms.load("debian-12")
        if pacemaker:
            versions = {**self.platform.versions, "pacemaker": pacemaker}
            self.platform = self.platform.model_copy(update={"versions": versions})

    def machine(self, name: str) -> Node:
        return self.nodes[name]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def surveyor(world: World) -> Surveyor:
    return Surveyor(cast(Lab, cast(Any, world)))


def test_one_command_brings_it_all(world: World) -> None:
    node = world.nodes["node1"]
    node.stub("journalctl", entry("sshd", "Accepted publickey") + "\n" + JOURNAL)
    node.stub("find", "/core.1\t10\t1795390480.0\n")
    found = surveyor(world).look(["node1"])["node1"]
    assert (found.problem, len(node.scripts)) == ("", 1)
    assert found.status
    assert found.status.dc == "node2"
    assert found.configuration.version == "0.31.0"
    assert found.crashes == tuple(CRASHES)
    assert found.cores == ("/core.1, 10 bytes, 2026-11-22T23:34:40.000+00:00",)
    assert node.arguments("crm_mon") == [STATUS.removeprefix("crm_mon ")]
    assert node.arguments("cibadmin") == ["--query --local"]


def test_old_pacemaker_has_another_command(tmp_path: Path) -> None:
    world = World(tmp_path, pacemaker="1.1.16")
    surveyor(world).look(["node1"])
    assert world.nodes["node1"].arguments("crm_mon") == [OLD_STATUS.removeprefix("crm_mon ")]


def test_the_node_sends_none_of_the_journal_but_what_may_be_a_crash(world: World) -> None:
    node = world.nodes["node1"]
    node.stub("journalctl", entry("sshd", "Accepted publickey") + "\n" + JOURNAL)
    surveyor(world).look(["node1"])
    printed = node.run(node.scripts[0], within=10).stdout
    assert "Accepted publickey" not in printed
    assert "terminated with signal 11" in printed


def test_the_journal_is_read_on_from_where_the_last_look_ended(world: World) -> None:
    node, looker = world.nodes["node1"], surveyor(world)
    node.stub("journalctl", JOURNAL)
    looker.look(["node1"])
    looker.look(["node1"])
    first, second = node.arguments("journalctl")
    assert re.search(r"--since=-[12]s$", first)
    assert re.search(r"--cursor=s=ff43ad6b3e8d43ad93fa6178d07a36ff;i=993;b=\S+$", second)


def test_a_journal_without_an_entry_leaves_the_place(world: World) -> None:
    node, looker = world.nodes["node1"], surveyor(world)
    node.stub("journalctl", JOURNAL)
    looker.look(["node1"])
    node.stub("journalctl", "")
    looker.look(["node1"])
    looker.look(["node1"])
    assert all("--cursor=" in line for line in node.arguments("journalctl")[1:])


def test_crashes_stay_until_they_are_forgotten(world: World) -> None:
    node, looker = world.nodes["node1"], surveyor(world)
    node.stub("journalctl", JOURNAL)
    assert looker.look(["node1"])["node1"].crashes == tuple(CRASHES)
    node.stub("journalctl", entry("pacemakerd", "a[1] terminated with signal 4", "c9"))
    assert len(looker.look(["node1"])["node1"].crashes) == 4
    node.problem = Unreachable("gone")
    assert len(looker.look(["node1"])["node1"].crashes) == 4
    looker.forget()
    assert looker.look(["node1"])["node1"].crashes == ()


def test_a_journal_that_cannot_be_read_is_a_problem(world: World) -> None:
    world.nodes["node1"].stub("journalctl", "", code=1)
    found = surveyor(world).look(["node1"])["node1"]
    assert "journalctl ended with exit status 1" in found.problem


@pytest.mark.parametrize(
    "problem", [Unreachable("node1 cannot be reached"), CommandTimeout("did not end")]
)
def test_a_machine_that_does_not_answer(world: World, problem: Exception) -> None:
    world.nodes["node1"].problem = problem
    found = surveyor(world).look(["node1"])
    assert found["node1"].problem == str(problem)


def test_guests_that_are_online_are_surveyed_too(world: World) -> None:
    assert list(surveyor(world).look(["node1"])) == ["node1"]
    recovered = (DATA / "crm_mon-2.1.5-recovered.xml").read_text()
    world.nodes["node1"].stub("crm_mon", recovered)
    assert list(surveyor(world).look(["node1"])) == ["node1", "guest1"]
    world.nodes["node1"].stub("crm_mon", (DATA / "crm_mon-2.1.5-guest-lost.xml").read_text())
    assert list(surveyor(world).look(["node1"])) == ["node1"]


def test_a_node_that_runs_no_cluster_is_not_asked_about_it(world: World) -> None:
    """A cluster node has told all that it could say. Its own cores and journal are its own."""
    node = world.nodes["guest1"]
    node.stub("journalctl", JOURNAL)
    node.stub("find", "/core.1\t10\t1795390480.0\n")
    found = surveyor(world).look(["guest1"])["guest1"]
    assert (found.problem, found.status, found.cib) == ("", None, "")
    assert (len(found.cores), found.crashes) == (1, tuple(CRASHES))
    assert not (node.folder / "crm_mon.args").exists()
    assert not (node.folder / "cibadmin.args").exists()


def test_cores_that_are_really_there(tmp_path: Path) -> None:
    """The search itself, in a tree that stands for the node's."""
    for path in (
        "var/lib/pacemaker/cores/hacluster/core",
        "var/lib/systemd/coredump/core.x.zst",
        "var/lib/corosync/core.12",
        "var/lib/corosync/ringid_10.0.0.1",
        "core.99",
        "score",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("core")
    search = re.sub(r" (/\S)", rf" {tmp_path}\1", survey._CORES.split("2>")[0])
    done = subprocess.run(["sh", "-c", search], capture_output=True, text=True, check=False)
    found = sorted(line.split("\t")[0].removeprefix(str(tmp_path)) for line in done.stdout.split())
    assert [path for path in found if path.startswith("/")] == [
        "/core.99",
        "/var/lib/corosync/core.12",
        "/var/lib/pacemaker/cores/hacluster/core",
        "/var/lib/systemd/coredump/core.x.zst",
    ]


def test_no_machine_no_survey(world: World) -> None:
    assert surveyor(world).look([]) == {}


# -- slim machines --------------------------------------------------------------------------

LOGGED = """\
Nov 23 03:00:00.000 remote1 pacemaker-remoted   [2] (main) \tnotice: Starting
Nov 23 03:00:01.000 remote1 pacemaker-remoted   [2] (x) \terror: x: Triggered fatal assert at x.c
Nov 23 03:00:02.000 remote1 Dummy(FAKE)[9]: INFO: an assertion of an agent failed, dumped nothing
"""


@pytest.fixture
def slim(world: World) -> Node:
    """node1 as a slim machine with that log."""
    world.slim.add("node1")
    node = world.nodes["node1"]
    node.stub("stat", f"{len(LOGGED)}\n")
    node.stub("head", LOGGED)
    return node


def test_a_slim_machine_has_a_log_for_a_journal(world: World, slim: Node) -> None:
    slim.stub("find", "/core.1\t10\t1795390480.0\n")
    found = surveyor(world).look(["node1"])["node1"]
    assert (found.problem, len(found.cores), len(found.crashes)) == ("", 1, 1)
    assert "Triggered fatal assert" in found.crashes[0]
    assert not (slim.folder / "crm_mon.args").exists()
    assert not (slim.folder / "journalctl.args").exists()


def test_its_log_is_read_on_from_where_the_last_look_ended(world: World, slim: Node) -> None:
    one = surveyor(world)
    assert len(one.look(["node1"])["node1"].crashes) == 1
    one.forget()
    assert one.look(["node1"])["node1"].crashes == ()
    new = "Nov 23 03:00:03.000 remote1 pacemaker-remoted   [2] (main) \tcrit: it dumped core\n"
    slim.stub("stat", f"{len(LOGGED + new)}\n")
    slim.stub("head", LOGGED + new)
    assert one.look(["node1"])["node1"].crashes == (new.strip(),)


def test_a_slim_machine_without_its_log_is_a_problem(world: World, slim: Node) -> None:
    slim.stub("stat", "", 1)
    assert surveyor(world).look(["node1"])["node1"].problem == "its log could not be read"
    slim.problem = Unreachable("gone")
    assert surveyor(world).look(["node1"])["node1"].problem == "gone"
