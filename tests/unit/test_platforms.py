"""Platforms: files that are read, and what is wrong with one that cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import paths, platforms, scenario
from lab.errors import BadInput
from lab.plan import plan

FILE = """\
name: made-up
title: Made up
family: debian
suite: none
versions: {pcs: "0.11"}
packages: {pcs: pcs}
"""

BOX = "box: {name: some/box, version: '1'}"


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "BOXES", tmp_path)
    (tmp_path / "made-up").mkdir()
    (tmp_path / "debian").mkdir()
    (tmp_path / "made-up" / "platform.yaml").write_text(FILE)
    return tmp_path


def refused(name: str) -> str:
    with pytest.raises(BadInput) as caught:
        platforms.load(name)
    assert caught.value.exit_code == 2
    return caught.value.message


def test_every_platform_that_comes_with_lab_can_be_read() -> None:
    assert platforms.DEFAULT in platforms.names()
    for name in platforms.names():
        found = platforms.load(name)
        assert found.name == name
        assert {"pacemaker", "pcs", "corosync", "libvirt", "qemu"} <= found.versions.keys()
        assert platforms.recipe(found)


def test_what_is_built_here_is_what_has_a_suite(boxes: Path) -> None:
    for name, start in (("boxed", BOX), ("imaged", "box: {image: a.qcow2, version: '1'}")):
        (boxes / name).mkdir()
        text = FILE.replace("name: made-up", f"name: {name}").replace("suite: none", start)
        (boxes / name / "platform.yaml").write_text(text)
    assert platforms.names() == ["boxed", "imaged", "made-up"]
    assert platforms.built_here() == ["made-up"]
    texts = [platforms.load(name).box for name in platforms.names()]
    assert [box.text for box in texts if box] == ["box some/box 1", "image a.qcow2"]


def test_those_that_come_with_lab() -> None:
    """What is asked for by name alone: the matrix, the README and the doctor leave it out."""
    assert platforms.built_here() == ["debian-12", "debian-13"]
    others = [
        platforms.load(name) for name in platforms.names() if name not in ("debian-12", "debian-13")
    ]
    assert [one.name for one in others] == [
        "almalinux-9",
        "centos-7",
        "centos-stream-10",
        "centos-stream-9",
    ]
    assert {one.family for one in others} == {"redhat"}


def test_no_host_of_a_mirror_is_in_a_recipe() -> None:
    """Where packages come from is a setting."""
    for platform in map(platforms.load, platforms.names()):
        for path in platforms.recipe(platform):
            found = re.findall(r"https?://[\w.-]+", path.read_text(errors="replace"))
            assert not found, f"{path}: {found}"


def test_names_are_the_folders_with_a_platform_file(boxes: Path) -> None:
    assert platforms.names() == ["made-up"]
    (boxes / "another").mkdir()
    (boxes / "another" / "platform.yaml").touch()
    assert platforms.names() == ["another", "made-up"]


def test_load(boxes: Path) -> None:
    assert boxes.is_dir()
    found = platforms.load("made-up")
    assert (found.family, found.suite, found.versions) == ("debian", "none", {"pcs": "0.11"})


@pytest.mark.parametrize("name", ["debian", "mad-up", "", "../boxes/made-up"])
def test_unknown_platform_lists_the_known(boxes: Path, name: str) -> None:
    (boxes / "other").mkdir()
    (boxes / "other" / "platform.yaml").touch()
    assert refused(name) == f"there is no platform {name!r}; choose one of: made-up, other"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: made-up", "name: other", "boxes/made-up/platform.yaml: name: is 'other', not "),
        ("suite: none", "siute: none", ":4: siute: unknown key; did you mean 'suite'? valid: "),
        ("family: debian", "family: suse", ":3: family: should be one of: debian, redhat"),
        ('"0.11"', "new", ":5: versions, pcs: 'new' is not a version"),
        ('"0.11"', "11", ":5: versions, pcs: should be text (a number: in quotes)"),
        ("{pcs: pcs}", "{pcsd: pcs}", "packages: pcsd has no entry in versions"),
        ("suite: none\n", "", "give exactly one of: suite (built of packages), box"),
        (
            "suite: none",
            f"suite: none\n{BOX}",
            "give exactly one of: suite (built of packages), box",
        ),
        ("suite: none", "box: {version: '1'}", ":4: box: give exactly one of: name (of a Vagrant"),
        ("suite: none", f"{BOX[:-1]}, image: a.qcow2}}", ":4: box: give exactly one of: name"),
        (
            "suite: none",
            f"{BOX[:-1]}, checksum: abc}}",
            ":4: box, checksum: 'abc' is not a SHA-256",
        ),
        (
            "suite: none",
            "box: {image: /a.qcow2, version: '1'}",
            ":4: box, image: '/a.qcow2' is not a file's name",
        ),
    ],
)
def test_bad_platform_file(boxes: Path, old: str, new: str, says: str) -> None:
    path = boxes / "made-up" / "platform.yaml"
    assert FILE.count(old) == 1
    path.write_text(FILE.replace(old, new))
    message = refused("made-up")
    assert says in message
    assert "made-up/platform.yaml" in message


def test_recipe_is_every_file_of_the_platform_and_of_its_family(boxes: Path) -> None:
    for name in ("debian/build", "debian/etc/deep/file", "redhat/build", "made-up/more"):
        path = boxes / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = platforms.recipe(platforms.load("made-up"))
    assert [str(path.relative_to(boxes)) for path in found] == [
        "debian/build",
        "debian/etc/deep/file",
        "made-up/more",
        "made-up/platform.yaml",
    ]


def test_every_agent_that_a_scenario_installs_is_known_of_every_platform() -> None:
    wanted = {
        use.arguments["agent"]
        for name in platforms.names()
        for path in paths.SCENARIOS.glob("*.yaml")
        for step in plan(scenario.load(path), platforms.load(name))
        for part in step.parts
        for use in part.acts
        if use.word.name == "install_agent"
    }
    assert wanted == {"fence_ipmilan", "fence_virsh"}
    for name in platforms.names():
        assert wanted <= platforms.load(name).agents.keys(), name
