"""A libvirtd of a lab's own: where it is, which labs have one, and which processes are its."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab import paths
from lab.providers import libvirtd, network


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    return tmp_path


def test_inside_is_in_the_labs_network_and_in_a_mount_namespace(state: Path) -> None:
    argv = libvirtd.inside("nemo", ["vagrant", "up"])
    assert argv[:3] == ["nsenter", f"--net={network.namespace('nemo')}", "--"]
    assert argv[3:7] == ["unshare", "--mount", "--propagation", "private"]
    assert argv[-2:] == ["vagrant", "up"]


def fake_mount(state: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program `mount` that is this script, first in PATH."""
    program = state / "bin" / "mount"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def test_inside_the_labs_folders_are_in_the_place_of_the_usual_ones(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows `unshare` is run, with a `mount` that only says what it was told."""
    fake_mount(state, monkeypatch, 'echo "mount $*"')
    argv = libvirtd.inside("nemo", ["printf", "%s|", "a b", "$HOME", "c"])[7:]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    top, run = libvirtd.folder("nemo"), libvirtd.runtime("nemo")
    assert said == [
        "mount -t sysfs sysfs /sys",
        f"mount --bind {top}/etc /etc/libvirt",
        f"mount --bind {top}/lib /var/lib/libvirt",
        f"mount --bind {top}/log /var/log/libvirt",
        f"mount --bind {top}/ssh /etc/ssh",
        f"mount --bind {paths.cache()}/libvirt /var/cache/libvirt",  # every lab's
        f"mount --bind {run} /run",  # last: the lab's own folder may be below it
        "a b|$HOME|c|",
    ]


def test_nothing_is_run_where_a_folder_could_not_be_mounted(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine's own folders it would do harm."""
    fake_mount(state, monkeypatch, '[ "$4" != /etc/ssh ] && [ "$3" != /etc/ssh ]')
    argv = libvirtd.inside("nemo", ["echo", "run"])[7:]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


def test_its_socket_has_a_short_path() -> None:
    longest = "x" * 42
    assert len(str(libvirtd.runtime(longest) / "libvirt/libvirt-sock")) <= 107


def test_which_labs_have_one(state: Path) -> None:
    assert libvirtd.labs() == set()
    libvirtd.runtime("running").mkdir(parents=True)
    libvirtd.folder("stopped").mkdir(parents=True)
    (paths.labs() / "of-containers").mkdir()
    assert libvirtd.labs() == {"running", "stopped"}
    libvirtd.remove("running")
    libvirtd.remove("stopped")
    assert libvirtd.labs() == set()
    assert not (paths.RUN / "vms").exists()


def test_processes_are_those_in_the_labs_network(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = state / "namespace"
    monkeypatch.setattr(network, "namespace", lambda _lab: place)
    assert libvirtd.processes("nemo") == []  # its file is gone
    place.touch()
    assert libvirtd.processes("nemo") == []  # a file, but no namespace
    place.unlink()
    place.symlink_to("/proc/self/ns/net")
    with subprocess.Popen(["sleep", "60"]) as other:
        found = libvirtd.processes("nemo")
        other.kill()
    assert other.pid in found
    assert os.getpid() not in found  # `lab down`, typed in the lab's network, is no part of it


def test_processes_are_known_by_their_mounts_too(
    state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When the network's file is gone: by the lab's very name, not by one that begins like it."""
    monkeypatch.setattr(network, "namespace", lambda _lab: state / "gone")
    proc = tmp_path / "proc"
    for pid, lab in enumerate(("nemo", "nemo-2", "xnemo"), start=4_000_000):
        (proc / str(pid)).mkdir(parents=True)
        line = f"1 2 0:1 /state/labs/{lab}/vms/etc /etc/libvirt rw - ext4 /dev/vda rw\n"
        (proc / str(pid) / "mountinfo").write_text(line)
    (proc / "version").touch()
    monkeypatch.setattr(libvirtd, "PROC", proc)
    assert libvirtd.processes("nemo") == [4_000_000]
