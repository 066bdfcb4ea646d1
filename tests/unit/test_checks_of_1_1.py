"""Checks on CentOS 7.4: what they ask its Pacemaker, and how they read what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from test_checks import (
    GUEST,
    HOST,
    Case,
    World,
    failure,
    history_of,
    look,
    runs,
    sockets,
)

from lab import platforms
from lab.checks import Seen
from lab.pacemaker import PROCESSES

SENTENCES = (Path(__file__).parent / "data" / "stonith_admin-1.1.16-history.txt").read_text()


def old(world: World) -> World:
    world.platform = platforms.load("centos-7")
    return world


def failed_to_fence(before: str, now: str, times: int) -> Seen:
    # A World answers no other command than this one.
    command = r"stonith_admin --history '\*' --verbose"
    arguments: dict[str, Any] = {"node": "remote1", "times": times}
    case = Case("fencing_failed", arguments, old(runs(HOST, command, now)), [])
    return case.look(case.true, old(runs(HOST, command, before)))


@pytest.mark.parametrize(("times", "ok"), [(1, True), (2, True), (3, False)])
def test_failed_fencings_are_counted_in_sentences(times: int, ok: bool) -> None:
    seen = failed_to_fence("", SENTENCES, times)
    assert (seen.ok, seen.text) == (ok, "2 more")
    assert failed_to_fence(SENTENCES, SENTENCES, 1) == Seen(False, "0 more")


def test_the_connection_is_that_of_crmd() -> None:
    there = {"source": HOST, "address": "192.168.122.10", "port": 3121}
    assert look("connected", old(sockets(("192.168.122.10:3121", "crmd"))), **there).ok
    assert not look("connected", sockets(("192.168.122.10:3121", "crmd")), **there).ok
    later = old(sockets(("192.168.122.10:3121", "pacemaker-contr")))
    assert not look("connected", later, **there).ok


def test_a_start_that_was_given_up_is_known_without_its_operations_name() -> None:
    asked = {"resource": GUEST, "at_least": 15, "at_most": 20}
    named = history_of(failure("start", 1000), last=("start_0", 1015))
    assert look("gave_up", named, **asked).ok
    assert look("gave_up", old(named), **asked).text == "not known yet"
    text = named.machines[HOST].runs["cibadmin --query"]
    assert isinstance(text, str)
    plain = text.replace(f"last-failure-{GUEST}#start_0", f"last-failure-{GUEST}")
    assert plain != text
    assert look("gave_up", old(runs(HOST, "cibadmin --query", plain)), **asked).ok


@pytest.mark.parametrize("process", ["crmd", "stonithd", "pacemakerd", "pacemaker-based"])
def test_a_daemon_of_any_generation_is_looked_for(process: str) -> None:
    assert re.fullmatch(PROCESSES, process[:15])  # as pgrep -x takes it
    world = old(runs(HOST, r"pgrep -l -x .*", f"4711 {process}\n"))
    assert not look("cluster_stopped", world, nodes=[HOST]).ok


def test_pacemaker_remote_is_no_daemon_of_a_cluster_node() -> None:
    assert not re.fullmatch(PROCESSES, "pacemaker_remoted"[:15])
    assert not re.fullmatch(PROCESSES, "pacemaker-remoted"[:15])
