"""What the real tests take for this machine's own, and for a change of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from this_machine import Look, _beside, changes, groups, look, settings, steady, uncounted

FORWARD = "/proc/sys/net/ipv4/ip_forward"
BRIDGE = "/proc/sys/net/bridge/bridge-nf-call-iptables"
TRACKED = "/proc/sys/net/netfilter/nf_conntrack_max"


@pytest.mark.filterwarnings("ignore:neither nft")
def test_nothing_changes_by_itself() -> None:
    before = look()
    assert FORWARD in before.found
    assert changes(before) == []


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({FORWARD: "0\n"}, []),
        ({FORWARD: "1\n"}, [f"{FORWARD}: '0\\n' → '1\\n'"]),
        ({}, [f"{FORWARD}: '0\\n' → absent"]),
        ({FORWARD: "0\n", "cgroup /x": ""}, ["cgroup /x: absent → there"]),
        ({FORWARD: "0\n", BRIDGE: "1\n"}, [f"{BRIDGE}: absent → '1\\n'"]),
    ],
)
def test_a_change_is_told(now: dict[str, str], told: list[str]) -> None:
    assert changes(Look({FORWARD: "0\n"}), Look(now)) == told


@pytest.mark.parametrize(
    ("module", "setting", "brings"),
    [
        ("bridge", BRIDGE, True),
        ("br_netfilter", BRIDGE, True),
        ("nf_conntrack", TRACKED, True),
        ("nf_conntrack", BRIDGE, False),
        ("bridge", "cgroup /sys/fs/cgroup/bridge", False),
        ("dummy", "link dummy", False),
    ],
)
def test_a_module_brings_its_own_settings(module: str, setting: str, brings: bool) -> None:
    before, loaded = frozenset({"veth"}), frozenset({"veth", module})
    after = {setting: "1\n"}
    assert (changes(Look({}, before), Look(after, loaded)) == []) == brings
    # One that was there before brings nothing more.
    assert changes(Look({}, loaded), Look(after, loaded)) != []


def test_a_module_changes_no_setting() -> None:
    loaded = Look({TRACKED: "2\n"}, frozenset({"nf_conntrack"}))
    assert changes(Look({TRACKED: "1\n"}), loaded) == [f"{TRACKED}: '1\\n' → '2\\n'"]


def test_settings_are_all_but_counts(tmp_path: Path) -> None:
    there = ("net/ipv4/ip_forward", "kernel/random/uuid", "fs/inode-nr", "kernel/pty/nr", "fs/nr")
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    (tmp_path / "net" / "gone").symlink_to("nowhere")  # as one that cannot be read
    found = {str(Path(name).relative_to(tmp_path)) for name in settings(tmp_path)}
    assert found == {"net/ipv4/ip_forward", "fs/nr"}


def test_cgroups(tmp_path: Path) -> None:
    """Those of labs and of podman, of systemd, and beside our own are not looked at."""
    for name in (
        "machine/qemu",
        "lab.mine.node1/machine",
        "libpod_parent/libpod-1/x",
        "other/lab.mine.node1",
        "other/libpod_parent",
        "system.slice/some.service",
        "jobs/1/x",
        "jobs/2",
    ):
        (tmp_path / name).mkdir(parents=True)
    found = {str(group.relative_to(tmp_path)) for group in groups(tmp_path, {"jobs"})}
    elsewhere = {"other", "other/lab.mine.node1", "other/libpod_parent"}
    assert found == {"machine", "machine/qemu", "jobs", *elsewhere}


@pytest.mark.parametrize(
    ("text", "beside"),
    [
        ("9:name=systemd:/\n4:memory:/jobs/1\n0::/\n", {"jobs"}),
        ("0::/user.slice/session-1.scope\n", {"user.slice"}),
        ("0::/alone\n", set()),  # its neighbours are everybody's
    ],
)
def test_groups_beside_ours(text: str, beside: set[str]) -> None:
    assert _beside(text) == beside


def test_time_and_counters_are_no_changes() -> None:
    def address(seconds: int, prefix: int = 24) -> str:
        return steady([{"local": "10.0.0.1", "prefixlen": prefix, "valid_life_time": seconds}])

    assert address(60) == address(59)
    assert address(60) != address(60, 25)
    saved = "# Generated on {}\n*filter\n:INPUT {} [{}:7]\nCOMMIT\n"
    before = uncounted(saved.format("Mon", "ACCEPT", 1))
    assert uncounted(saved.format("Tue", "ACCEPT", 2)) == before
    assert uncounted(saved.format("Mon", "DROP", 1)) != before
