"""Guests inside a host that is a virtual machine, also where this machine's cannot nest.

Then both are emulated, the guest in an emulated machine: it is proven that it is made and starts,
its login is not waited for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml
from conftest import eventually, lab
from leftovers import traces

from lab import kvm
from lab.guests import IMAGES
from lab.lab import Lab
from lab.report.console import Console
from lab.up import Wish, up

pytestmark = [pytest.mark.vagrant, pytest.mark.takes(1800)]

CONSOLE = 1800.0  # seconds until a guest that is emulated twice has written its first line
SCENARIO = {
    "title": "A guest inside",
    "chapter": "0",
    "about": "A virtual machine in a virtual machine.",
    "nodes": {"host": {"address": "192.168.122.100", "hypervisor": True, "memory": 2048}},
    "guests": {"guest1": {"host": "host", "address": "192.168.122.10", "memory": 256, "cpus": 1}},
    "steps": [
        {
            "section": "0.1",
            "title": "A hypervisor",
            "where": "host",
            "act": [
                {
                    "run": {
                        "node": "host",
                        "command": "apt-get install -y libvirt-daemon-system libvirt-clients "
                        "qemu-system-x86 qemu-utils && systemctl enable --now libvirtd.service",
                        "within": 900,
                    }
                }
            ],
            "expect": [{"libvirt_answers": "host"}],
            "within": "120s",
        }
    ],
}


def test_a_guest_inside(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "not_nested", lambda: "")
    file = tmp_path / "inside.yaml"
    file.write_text(yaml.safe_dump(SCENARIO, sort_keys=False))
    with Console() as console:
        outcome = up(Wish(str(file), name=name, provider="vagrant"), console)
    assert outcome.verdict == "passed"
    one = Lab.open(name)
    assert one.platform.guests == "inside"
    _images(one)
    _guest(one)
    one.close()
    assert lab("down", name).status == 0
    assert traces(name) == []


def _images(one: Lab) -> None:
    """All that a guest is made from can be read, and not be written."""
    host = one.machine("host")
    found = host.run(f"cd {IMAGES} && sha256sum vmlinuz initrd && ls", within=120, check=True)
    folder = one.folder / "vms/pool/images"
    for part in ("vmlinuz", "initrd"):
        assert hashlib.sha256((folder / part).read_bytes()).hexdigest() in found.stdout
    assert {"guest.ext4", "packages.ext4", "vmlinuz", "initrd"} <= set(found.stdout.split())
    assert host.run(f"head -c 1M {IMAGES}/guest.ext4 | wc -c").stdout.strip() == str(1024**2)
    assert "ro" in host.run(f"findmnt -no OPTIONS {IMAGES}").stdout.strip().split(",")
    assert host.run(f"touch {IMAGES}/new").exit


def _guest(one: Lab) -> None:
    print(one.create_guest("guest1"))
    guests = one.guests("host")
    assert guests.state("guest1") == "running"
    assert one.boot("guest1")  # its process is one of the host's
    eventually(lambda: bool(guests.console("guest1").strip()), CONSOLE, "a line of guest1", every=5)
    assert guests.state("guest1") == "running"
