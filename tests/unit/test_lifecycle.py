"""What a libvirtd tells of its machines' power, with libvirt's own driver for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import libvirt
import pytest

from lab import libvirt_client, lifecycle, paths, providers, up
from lab.lab import Lab
from lab.lifecycle import Change, Lifecycle
from lab.providers.choice import Choice
from lab.status import ClusterStatus

URI = "test:///default"
XML = (
    "<domain type='test'><name>node1</name><memory>1024</memory><os><type>hvm</type></os></domain>"
)


@pytest.fixture
def ear() -> Iterator[Lifecycle]:
    made = Lifecycle(URI)
    assert made.listen() == ""
    yield made
    made.close()


@pytest.fixture
def domain(ear: Lifecycle) -> Iterator[libvirt.virDomain]:
    """A machine without power, on the same hypervisor: the driver has one for each process."""
    opened = libvirt_client.connect(URI, 5)
    made = opened.defineXML(XML)
    yield made
    if made.isActive():
        made.destroy()
    made.undefine()
    opened.close()


def heard(ear: Lifecycle, number: int) -> list[tuple[str, str, str]]:
    """So many changes, once they are heard; and no more."""
    found: list[Change] = []
    end = time.monotonic() + 5
    while len(found) < number:
        assert time.monotonic() < end, found
        found += ear.heard()
        time.sleep(0.005)
    assert all(abs(one.at - time.time()) < 5 for one in found)
    return [(one.machine, one.state, one.reason) for one in found]


def test_power_is_heard_with_its_reason(ear: Lifecycle, domain: libvirt.virDomain) -> None:
    domain.create()
    domain.suspend()
    domain.resume()
    domain.destroy()
    domain.create()
    domain.shutdown()
    assert heard(ear, 6) == [
        ("node1", "on", "booted"),
        ("node1", "paused", "paused"),
        ("node1", "resumed", "unpaused"),
        ("node1", "off", "destroyed"),
        ("node1", "on", "booted"),
        ("node1", "off", "shutdown"),
    ]
    assert ear.heard() == []


def test_what_is_heard_twice_is_told_once(ear: Lifecycle, domain: libvirt.virDomain) -> None:
    assert ear.listen() == ""
    domain.create()
    assert heard(ear, 1) == [("node1", "on", "booted")]
    assert ear.heard() == []


def test_a_lost_connection_is_said_and_made_anew(
    ear: Lifecycle, domain: libvirt.virDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ear._connection
    monkeypatch.setattr(ear, "_connection", SimpleNamespace(isAlive=lambda: 0, close=lambda: None))
    with monkeypatch.context() as patched:

        def refuse(_uri: str, within: float) -> None:
            raise libvirt.libvirtError("no socket")

        patched.setattr(libvirt_client, "connect", refuse)
        for _ in range(2):
            assert ear.listen() == "what happens to machines is not heard from libvirtd: no socket"
    assert ear.heard() == []
    assert ear.listen() == ""
    domain.create()
    assert ("node1", "on", "booted") in heard(ear, 1)


@pytest.mark.parametrize(
    ("event", "detail", "words"),
    [
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED, "off failed"),
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, "off crashed"),
        (
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR,
            "paused ioerror",
        ),
        (
            libvirt.VIR_DOMAIN_EVENT_STARTED,
            libvirt.VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT,
            "on from snapshot",
        ),
        (
            libvirt.VIR_DOMAIN_EVENT_CRASHED,
            libvirt.VIR_DOMAIN_EVENT_CRASHED_PANICKED,
            "crashed panicked",
        ),
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, 77, "off reason 77"),  # of a later libvirt
        (libvirt.VIR_DOMAIN_EVENT_DEFINED, 0, ""),
        (77, 0, ""),
    ],
)
def test_words(event: int, detail: int, words: str) -> None:
    ear = Lifecycle(URI)
    ear._hear(None, cast(Any, SimpleNamespace(name=lambda: "n")), event, detail, None)
    assert [f"{one.state} {one.reason}" for one in ear.heard()] == ([words] if words else [])


def test_containers_have_nobody_who_listens() -> None:
    def of(provider: str) -> Lifecycle | None:
        lab = SimpleNamespace(name="a", provider=SimpleNamespace(name=provider))
        return lifecycle.of(cast(Any, lab))

    assert of("podman") is None
    assert of("vagrant") is not None


def test_a_run_of_virtual_machines_listens_until_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(up, "choice", lambda *_: Choice("vagrant"))
    monkeypatch.setattr(providers, "every", list)
    monkeypatch.setattr(up, "Auditor", lambda _lab: None)
    monkeypatch.setattr(Lab, "up", lambda *_: None)
    monkeypatch.setattr(Lab, "status", lambda *_: ClusterStatus())
    calls: list[str] = []
    ear = SimpleNamespace(close=lambda: calls.append("closed"))

    def of(lab: Lab) -> Any:
        calls.append(lab.name)
        return ear

    monkeypatch.setattr(lifecycle, "of", of)
    with up.opened(up.Wish("guest-walkthrough", name="a"), lambda _event: None) as run:
        assert run.runner.observer.lifecycle is cast(Any, ear)
        assert calls == ["a"]
    assert calls == ["a", "closed"]


def test_one_loop_for_all_connections(ear: Lifecycle) -> None:
    both: list[Callable[[], Any]] = [
        lambda: libvirt_client.connect(URI, 5).close(),
        lambda: Lifecycle(URI).listen(),
    ]
    for each in both:
        each()
    assert [one.name for one in threading.enumerate()].count("libvirt") == 1
