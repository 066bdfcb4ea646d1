"""Containers of libvirt's LXC driver: what they are made from, their XML, their power button."""

from __future__ import annotations

import subprocess
import tarfile
import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import lxc
from lab.errors import CommandFailed
from lab.lxc import Containers
from lab.machine import Machine
from lab.model import Guest

GUEST = Guest(host="host", address="192.168.122.10", kind="container", memory=256, cpus=1)


def tar(**files: str) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(text)
            made.addfile(entry, BytesIO(text.encode()))
    return buffer.getvalue()


class Host:
    """A host whose commands run right here; only systemctl is said to have run."""

    name = "host"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/systemctl.log\n')
        program.chmod(0o755)

    def put(self, data: bytes, path: str, *, mode: int = 0o644) -> None:
        Path(path).write_bytes(data)
        Path(path).chmod(mode)

    def run(self, command: str, *, within: float = 30, check: bool = False) -> Any:
        done = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
            env={"PATH": f"{self.folder}:/usr/bin:/bin"},
        )
        if check and done.returncode:
            raise CommandFailed(done.stderr)
        return SimpleNamespace(exit=done.returncode, stdout=done.stdout)


@pytest.fixture
def containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Containers:
    images = tmp_path / "images"
    images.mkdir()
    root = tar(etc__hostname="image", etc__os="debian", sbin__init="")
    (images / "rootfs.tar").write_bytes(root)
    monkeypatch.setattr(lxc, "IMAGES", str(images))
    monkeypatch.setattr(lxc, "ROOTS", str(tmp_path / "roots"))
    return Containers(cast(Machine, Host(tmp_path)), tmp_path / "ssh")


def test_a_root_of_its_own_from_the_platforms_and_the_seed(
    containers: Containers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defined = []
    monkeypatch.setattr(containers, "_start", lambda name, xml: defined.append((name, xml)))
    old = tmp_path / "roots" / "guest1" / "etc" / "left-over"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier one")
    containers.create("guest1", GUEST, tar(etc__hostname="guest1"))
    root = tmp_path / "roots" / "guest1"
    assert (root / "etc" / "hostname").read_text() == "guest1"
    assert (root / "etc" / "os").read_text() == "debian"
    assert (root / "etc" / "lab-seeded").exists()
    assert not old.exists()
    assert not (tmp_path / "roots" / "guest1.seed").exists()  # it has private keys
    said = (tmp_path / "systemctl.log").read_text()
    assert said == f"--root={root} enable systemd-networkd.service\n"
    assert defined == [("guest1", lxc.domain_xml("guest1", GUEST))]


def test_without_the_platforms_root_nothing_is_started(
    containers: Containers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images" / "rootfs.tar").unlink()
    monkeypatch.setattr(containers, "_start", lambda name, xml: pytest.fail("started"))
    with pytest.raises(CommandFailed, match=r"rootfs\.tar"):
        containers.create("guest1", GUEST, tar(etc__hostname="guest1"))


def test_xml() -> None:
    root = ET.fromstring(lxc.domain_xml("guest1", GUEST))
    assert (root.get("type"), root.findtext("name")) == ("lxc", "guest1")
    assert (root.findtext("memory"), root.findtext("vcpu")) == ("256", "1")
    assert root.findtext("os/init") == "/sbin/init"
    mounts = {
        mount.find("target").get("dir"): (  # type: ignore[union-attr]
            mount.find("source").get("dir"),  # type: ignore[union-attr]
            mount.find("readonly") is not None,
        )
        for mount in root.iter("filesystem")
    }
    assert mounts == {
        "/": (f"{lxc.ROOTS}/guest1", False),
        "/srv/packages": ("/srv/packages", True),
    }
    assert [e.get("bridge") for e in root.iterfind("devices/interface/source")] == ["br0"]
    assert [e.get("dev") for e in root.iterfind("devices/interface/guest")] == ["eth0"]


def test_it_is_reached_at_its_own_driver(containers: Containers) -> None:
    assert containers._uri.startswith("lxc+ssh://host/?command=")
