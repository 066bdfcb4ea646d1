"""cgroup v1 groups of a machine's own, on folders that stand for the hierarchies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.providers import controllers

HYBRID = """\
22 1 0:20 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
23 22 0:21 / {top}/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
24 22 0:22 / {top}/cpu rw - cgroup cgroup rw,cpu,cpuacct
25 22 0:23 / {top}/cpuset rw - cgroup cgroup rw,cpuset,clone_children
26 22 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
27 22 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
28 1 8:1 / / rw - ext4 /dev/vda rw
"""
PURE = "22 1 0:20 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n28 1 8:1 / / rw - ext4 /dev/vda rw\n"


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with three hierarchies of cgroup v1."""
    for name in ("memory", "cpu", "cpuset"):
        (tmp_path / name).mkdir()
    (tmp_path / "mountinfo").write_text(HYBRID.format(top=tmp_path))
    monkeypatch.setattr(controllers, "MOUNTS", tmp_path / "mountinfo")
    return tmp_path


def test_hierarchies_by_what_their_controllers_are_mounted_with(top: Path) -> None:
    assert controllers.hierarchies() == {
        "memory": top / "memory",
        "cpu,cpuacct": top / "cpu",
        "cpuset": top / "cpuset",
    }


def test_where_there_is_only_v2_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(PURE)
    monkeypatch.setattr(controllers, "MOUNTS", tmp_path / "mountinfo")
    assert controllers.hierarchies() == {}
    assert controllers.create("lab.a.n") == []
    assert controllers.within([]) == []
    assert controllers.found("*") == []
    controllers.remove([])


def test_a_group_in_each_hierarchy_and_a_command_in_them(top: Path) -> None:
    group = top / "cpuset" / "lab.a.n"
    group.mkdir()
    (group / "cpuset.cpus").write_text("")  # the kernel makes it with the group
    (top / "cpuset" / "cpuset.cpus").write_text("0-3\n")
    groups = controllers.create("lab.a.n")
    assert groups == [top / name / "lab.a.n" for name in ("memory", "cpu", "cpuset")]
    assert (group / "cpuset.cpus").read_text() == "0-3\n"
    line = [*controllers.within(groups), "sh", "-c", 'echo "$$ $1"', "sh", "a b"]
    pid, said = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split(
        " ", 1
    )
    assert said == "a b\n"
    assert [(one / "cgroup.procs").read_text() for one in groups] == [f"{pid}\n"] * 3


def test_a_command_does_not_run_where_it_cannot_join(top: Path) -> None:
    line = [*controllers.within([top / "memory" / "not-there"]), "echo", "ran"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode != 0, done.stdout) == (True, "")


def test_groups_are_found_by_lab_and_go_with_all_in_them(top: Path) -> None:
    mine, others = controllers.create("lab.a.n"), controllers.create("lab.a-n.m")
    (mine[0] / "machine.slice" / "deep").mkdir(parents=True)
    assert controllers.found("lab.a.*") == mine
    controllers.remove(controllers.found("lab.a.*"))
    assert controllers.found("lab.a.*") == []
    assert controllers.found("lab.*") == others
    assert top.exists()


def test_a_group_that_does_not_go_is_told(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controllers, "LAST", 0.1)
    (group,) = controllers.create("lab.a.n")[:1]
    (group / "busy").write_text("")  # a folder that cannot be removed, as one with a process
    with pytest.raises(LabError, match=f"alive: {group}$"):
        controllers.remove(controllers.found("lab.a.*"))
    assert controllers.found("lab.a.*") == [top / "memory" / "lab.a.n"]
