"""Boxes that have a name: what is asked of Vagrant, and what its server's page says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Web, serving

from lab import catalogue
from lab.catalogue import Entry
from lab.errors import CannotRun
from lab.platform import Box

BOX = Box(name="centos/7", version="1708.01")
SUM = "a" * 64


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with serving() as found:
        monkeypatch.setattr(catalogue, "server", lambda: found.address)
        yield found


def page(*providers: dict[str, str], version: str = "1708.01") -> bytes:
    return json.dumps({"versions": [{"version": version, "providers": providers}]}).encode()


def refused() -> str:
    with pytest.raises(CannotRun) as caught:
        catalogue.look_up(BOX)
    return caught.value.message


LISTED = {"name": "libvirt", "url": "http://files.test/a", "checksum_type": "sha256"}


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (LISTED | {"checksum": SUM.upper()}, Entry("http://files.test/a", SUM)),
        (LISTED | {"checksum": ""}, Entry("http://files.test/a", "")),
        (LISTED | {"checksum_type": "md5", "checksum": "b" * 32}, Entry("http://files.test/a", "")),
        ({"name": "libvirt", "url": "http://files.test/a"}, Entry("http://files.test/a", "")),
        (LISTED | {"architecture": "amd64"}, Entry("http://files.test/a", "")),
    ],
)
def test_an_entry(web: Web, provider: dict[str, str], expected: Entry) -> None:
    other = {"name": "virtualbox", "url": "http://files.test/other"}
    web.files["/centos/7"] = page(other, provider)
    assert catalogue.look_up(BOX) == expected


def test_an_address_may_be_one_on_the_same_server(web: Web) -> None:
    web.files["/centos/7"] = page({"name": "libvirt", "url": "/files/a"})
    assert catalogue.look_up(BOX).address == f"{web.address}/files/a"


def test_of_several_architectures_ours(web: Web) -> None:
    arm = {"name": "libvirt", "url": "http://files.test/arm", "architecture": "arm64"}
    web.files["/centos/7"] = page(arm)
    assert "has the box 1708.01, but not for libvirt on x86_64" in refused()
    web.files["/centos/7"] = page(arm, LISTED | {"architecture": "amd64"})
    assert catalogue.look_up(BOX).address == "http://files.test/a"


def test_what_a_page_has_not(web: Web) -> None:
    web.files["/centos/7"] = page(LISTED, version="2004.01")
    assert refused() == (
        f"{web.address}/centos/7 has no version 1708.01 of the box; those it has: 2004.01"
    )
    web.files["/centos/7"] = page({"name": "virtualbox", "url": "http://files.test/a"})
    assert "not for libvirt" in refused()
    web.files.clear()
    assert refused() == f"{web.address}/centos/7 cannot be fetched: 404 Not Found"


@pytest.mark.parametrize(
    "content",
    [
        b"<html>moved</html>",
        b"[]",
        b'{"versions": 1}',
        b'{"versions": [{"version": "1"}]}',
        b'{"versions": [{"version": "1", "providers": [{"name": "libvirt"}]}]}',
        b'{"versions": [{"version": "1", "providers": [1]}]}',
        b"\xff",
    ],
)
def test_what_is_no_page_of_a_box(web: Web, content: bytes) -> None:
    web.files["/centos/7"] = content
    assert refused() == f"{web.address}/centos/7 is no page of Vagrant's about a box"


# Its server


def vagrant(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "vagrant"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_vagrant_is_asked_where_nothing_of_the_users_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAGRANT_LOG", "debug")
    monkeypatch.setenv("VAGRANT_VAGRANTFILE", "mine")
    script = f"""
        env > {tmp_path}/env; cp "$VAGRANT_CWD/Vagrantfile" {tmp_path}; echo "$*" > {tmp_path}/args
        echo 'server http://boxes.test/api/'; echo 'Vagrantfile validated successfully.'
    """
    vagrant(tmp_path, script, monkeypatch)
    assert catalogue.server() == "http://boxes.test/api"
    env: dict[str, Any] = dict(
        line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines()
    )
    assert env["VAGRANT_HOME"] == env["VAGRANT_CWD"]
    assert not Path(env["VAGRANT_HOME"]).exists()
    assert not {"VAGRANT_LOG", "VAGRANT_VAGRANTFILE"} & env.keys()
    assert (tmp_path / "args").read_text() == "validate\n"
    assert "Vagrant.server_url" in (tmp_path / "Vagrantfile").read_text()


@pytest.mark.parametrize("script", ["echo 'Vagrant is old'; exit 1", "echo validated"])
def test_a_vagrant_that_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    vagrant(tmp_path, script, monkeypatch)
    with pytest.raises(CannotRun, match="Vagrant does not say where its boxes are"):
        catalogue.server()
