"""What a virtual machine takes of this machine's memory."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import Mock

import pytest

from lab import memory, platforms
from lab.lab import Lab
from lab.model import Guest
from lab.vms import Place, domain_xml


@pytest.fixture
def total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with so many MiB, half of them free."""
    kib = request.param * 1024
    file = tmp_path / "meminfo"
    file.write_text(f"MemTotal:  {kib} kB\nMemFree:  5 kB\nMemAvailable:  {kib // 2} kB\n")
    monkeypatch.setattr(memory, "MEMINFO", file)


@pytest.mark.usefixtures("total")
@pytest.mark.parametrize(
    ("total", "code"), [(4096, 512), (8192, 1024), (65536, 1024)], indirect=["total"]
)
def test_translated_code_counts_where_there_is_any(code: int) -> None:
    """QEMU's default: an eighth of the machine's memory, at most 1 GiB."""
    with_kvm = memory.virtual(512, emulated=False)
    assert with_kvm == 512 + memory.QEMU
    assert memory.virtual(512, emulated=True) == with_kvm + code
    assert memory.virtual(512, emulated=True, limited=True) == with_kvm + memory.CODE


@pytest.mark.usefixtures("total")
@pytest.mark.parametrize("total", [4096], indirect=True)
def test_what_is_free() -> None:
    assert memory.available() == 2048


def test_a_guest_is_told_the_limit_that_is_counted() -> None:
    guest = Guest(host="host", address="192.168.122.10")
    found = re.search(r'tb-cache unit="MiB">(\d+)<', domain_xml("a", guest, Place(), emulated=True))
    assert found
    assert int(found[1]) == memory.CODE
    assert "tb-cache" not in domain_xml("a", guest, Place(), emulated=False)


@pytest.mark.parametrize(
    ("platform", "own", "gets"),
    [("debian-12", 512, 512), ("centos-stream-9", 512, 1024), ("centos-stream-9", 1536, 1536)],
)
def test_guests_of_red_hats_family_have_room_to_boot(platform: str, own: int, gets: int) -> None:
    guest = Guest(host="example-host", address="192.168.122.10", memory=own)
    made: list[Guest] = []
    lab = Mock()
    lab.scenario.guests = {"guest1": guest}
    lab.platform = platforms.load(platform)
    lab.guests_of().create.side_effect = lambda _name, guest, _seed: made.append(guest)
    Lab.create_guest(lab, "guest1")
    assert [one.memory for one in made] == [gets]
    assert guest.memory == own
