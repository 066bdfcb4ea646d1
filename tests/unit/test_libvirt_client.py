"""Connections to a libvirtd that answers, that is not there, and that hangs."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from lab import command, labs, libvirt_client, lifecycle, paths, providers
from lab.errors import CommandTimeout
from lab.lifecycle import Lifecycle
from lab.providers import libvirtd, network, vagrant
from lab.vms import VirtualMachines


@pytest.fixture
def hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The lab's libvirtd, which takes connections and says nothing: as one that is stopped."""
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(libvirtd, "ANSWER", 0.3)
    monkeypatch.setattr(lifecycle, "ANSWER", 0.3)
    folder = libvirtd.runtime("a") / "libvirt"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(folder)  # a socket's path is short
        listening.bind("libvirt-sock")
        listening.listen()
        monkeypatch.setattr(libvirtd, "uri", lambda _lab: "qemu+unix:///system?socket=libvirt-sock")
        yield "a"


def test_one_that_answers() -> None:
    opened = libvirt_client.connect("test:///default", 5)
    assert opened.getVersion()
    opened.close()


def test_the_loop_outlives_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not keep a processor busy where that stays."""
    real, mine = libvirt.virEventRunDefaultImpl, threading.current_thread()
    rounds: list[float] = []

    class End(Exception):
        pass

    def run() -> None:
        if threading.current_thread() is not mine:
            real()
            return
        rounds.append(time.monotonic())
        if len(rounds) == 4:
            raise End
        if len(rounds) != 3:
            raise libvirt.libvirtError("a socket is gone")

    monkeypatch.setattr(libvirt, "virEventRunDefaultImpl", run)
    monkeypatch.setattr(libvirt_client, "_AGAIN", 0.1)
    with pytest.raises(End):
        libvirt_client._run()
    assert rounds[2] - rounds[0] >= 0.2


def test_one_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(libvirt.libvirtError):
        libvirt_client.connect(f"qemu+unix:///system?socket={tmp_path}/none", 60)
    assert time.monotonic() - began < 10


def test_one_that_hangs_is_an_error_in_time(hung: str) -> None:
    began = time.monotonic()
    with (
        pytest.raises(
            CommandTimeout, match=r"libvirtd of lab a hangs: no answer within 0\.3 s"
        ) as caught,
        libvirtd.connection(hung),
    ):
        pass
    assert time.monotonic() - began < 10
    assert f"kill -9 $(cat {libvirtd.runtime(hung)}/libvirtd.pid)" in caught.value.hint
    assert "lab down a" in caught.value.hint


def test_no_second_one_is_started_beside_it(hung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run", None)
    for use in (libvirtd.start, libvirtd.revive, vagrant.Vagrant().running):
        with pytest.raises(CommandTimeout, match="libvirtd of lab a hangs"):
            use(hung)


def test_one_that_hangs_is_not_heard(hung: str) -> None:
    said = Lifecycle(libvirtd.uri(hung)).listen()
    assert said.endswith("is not heard from libvirtd: no answer within 0.3 s")


def test_that_of_a_host(hung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.guests.ANSWER", 0.3)

    class Host:
        name = "example-host"

    guests = VirtualMachines(Host(), Path("ssh"))  # type: ignore[arg-type]
    guests._uri = libvirtd.uri(hung)
    with pytest.raises(CommandTimeout, match=r"libvirtd on example-host: no answer within 0\.3 s"):
        guests.state("guest1")


def test_lab_down_asks_no_libvirtd(hung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends what there is by its process."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it asked")

    killed: list[tuple[int, int]] = []
    left = [77]
    monkeypatch.setattr(libvirt_client, "connect", refuse)
    monkeypatch.setattr(libvirt, "open", refuse)
    monkeypatch.setattr(libvirtd, "processes", lambda _lab: left[:])

    def kill(pid: int, number: int) -> None:
        killed.append((pid, number))
        left.clear()

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(network, "found", lambda _lab: [])
    monkeypatch.setattr(providers, "every", lambda: [vagrant.Vagrant()])
    assert labs.down(hung)
    assert killed == [(77, signal.SIGKILL)]
    assert labs.everything() == []


def test_ctrl_c_ends_the_waiting(hung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirtd, "ANSWER", 60.0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), libvirtd.connection(hung):
        pass
    timer.join()
    assert time.monotonic() - began < 10
