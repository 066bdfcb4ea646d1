"""Pacemaker by its generations: what is asked of each, and how its answer is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import pacemaker, platforms, status
from lab.pacemaker import Fencing
from lab.platform import Platform

DATA = Path(__file__).parent / "data"
OLD = platforms.load("centos-7")
NEW = platforms.load("debian-12")


def of(version: str) -> Platform:
    return NEW.model_copy(update={"versions": {"pacemaker": version}})


@pytest.mark.parametrize(
    ("version", "crm_mon", "history"),
    [
        ("1.1.16", "crm_mon --as-xml --inactive", "stonith_admin --history '*' --verbose"),
        ("2.0.2", "crm_mon --as-xml --inactive", "stonith_admin --history '*' --verbose"),
        (
            "2.0.3",
            "crm_mon --output-as=xml",
            "stonith_admin --history '*' --verbose --output-as=xml",
        ),
        (
            "3.0.0",
            "crm_mon --output-as=xml",
            "stonith_admin --history '*' --verbose --output-as=xml",
        ),
    ],
)
def test_tools_are_asked_in_the_words_that_they_know(
    version: str, crm_mon: str, history: str
) -> None:
    assert pacemaker.status_command(of(version)) == crm_mon
    assert pacemaker.fencing_command(of(version)) == history


@pytest.mark.parametrize(
    ("version", "daemon", "attribute"),
    [
        ("1.1.16", "crmd", "last-failure-guest1"),
        ("1.1.17", "crmd", "last-failure-guest1#start_0"),
        ("2.0.0", "pacemaker-contr", "last-failure-guest1#start_0"),
        ("3.0.1", "pacemaker-contr", "last-failure-guest1#start_0"),
    ],
)
def test_names(version: str, daemon: str, attribute: str) -> None:
    assert pacemaker.controller(of(version)) == daemon
    assert len(daemon) < 16
    assert pacemaker.failure_attribute(of(version), "guest1", "start") == attribute


def test_history_in_sentences() -> None:
    text = (DATA / "stonith_admin-1.1.16-history.txt").read_text()
    assert pacemaker.fencings(text, OLD) == [
        Fencing("remote1", "success", "node1"),
        Fencing("remote1", "failed", "node2"),
        Fencing("remote1", "failed"),
        Fencing("remote1", "success"),
        Fencing("node2", "success", "node1"),
        Fencing("remote1", "pending"),
    ]


def test_history_of_failures_alone_has_no_line_too_many() -> None:
    line = (
        "We failed to reboot node node1 on behalf of crmd.1 from node2 at Fri Dec  1 15:45:32 2017"
    )
    assert pacemaker.fencings(f"{line}\n\n", OLD) == [Fencing("node1", "failed")]


def test_history_as_xml() -> None:
    text = (
        '<pacemaker-result><fence_history status="0">'
        '<fence_event action="reboot" target="remote1" status="success" delegate="node2"/>'
        '<fence_event action="reboot" target="remote1" status="failed"/>'
        "</fence_history></pacemaker-result>"
    )
    expected = [Fencing("remote1", "success", "node2"), Fencing("remote1", "failed")]
    assert pacemaker.fencings(text, NEW) == expected


@pytest.mark.parametrize("platform", [OLD, NEW])
def test_what_is_no_history_is_not_an_empty_one(platform: Platform) -> None:
    said = "Command failed: Transport endpoint is not connected"
    with pytest.raises(pacemaker.NoHistory, match="not connected"):
        pacemaker.fencings(said, platform)


def test_no_fencing_yet() -> None:
    assert pacemaker.fencings("\n", OLD) == []


def test_a_recording_of_the_old_generation() -> None:
    """It was made on CentOS 7.3: tests/unit/data/README.md."""
    found = status.parse((DATA / "crm_mon-1.1.15-promotable.xml").read_text())
    assert (found.dc, found.quorum, found.fencing) == ("centos-pg-3", True, False)
    assert (found.nodes_configured, found.resources_configured) == (3, 4)
    assert [(n.name, n.kind, n.text, n.running) for n in found.nodes.values()] == [
        ("centos-pg-1", "member", "online", 2),
        ("centos-pg-2", "member", "online", 1),
        ("centos-pg-3", "member", "online", 1),
    ]
    address = found.resources["pgsql-master-ip"]
    assert (address.agent, address.role, address.nodes) == (
        "ocf:heartbeat:IPaddr2",
        "Started",
        ("centos-pg-1",),
    )
    assert found.resources["pgsqld"].nodes == ("centos-pg-2", "centos-pg-1", "centos-pg-3")
    assert found.failed == ()
