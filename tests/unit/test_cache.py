"""The cache of images: who uses what of it, what goes and what stays; and `lab images`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typed import typed

from lab import boxes, cache, command, images, paths, platforms, providers
from lab import doctor as doctors
from lab.errors import Busy
from lab.images import Images
from lab.lab import Lab
from lab.providers.podman_images import Copy, copies, original, orphans, remove

CURRENT, OLD, OLDER = "c" * 12, "0" * 12, "1" * 12
SCENARIO = paths.SCENARIOS / "guest-walkthrough.yaml"


class Podman:
    """Containers of labs, and copies of images."""

    def __init__(self) -> None:
        self.of_containers: dict[str, set[str]] = {}
        self.copies = {"debian-12": [OLD, CURRENT]}
        self.stuck: set[str] = set()

    def users(self) -> dict[str, set[str]]:
        return {name: set(labs) for name, labs in self.of_containers.items()}

    def prune(
        self, kept: Callable[[], set[str]], *, dry_run: bool
    ) -> tuple[list[Copy], list[Copy]]:
        there = kept()
        doomed = [
            Copy(f"localhost/lab/{platform}:{key}", 1000)
            for platform, keys in self.copies.items()
            for key in keys
            if f"{platform}-{key}" not in there
        ]
        return doomed, [copy for copy in doomed if copy.name in self.stuck and not dry_run]


class VirtualLabs:
    """The provider vagrant, of which only the labs are asked for."""

    there: ClassVar[set[str]] = set()

    def guests(self) -> str:
        return "inside"

    def labs(self) -> set[str]:
        return self.there


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Podman:
    """A cache with three sets, of which the last is of the current recipe, and no lab."""
    made = Podman()
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(cache, "Podman", lambda: made)
    monkeypatch.setattr(VirtualLabs, "there", set())
    monkeypatch.setattr(providers, "load", lambda _name: VirtualLabs())
    monkeypatch.setattr(images, "key", lambda _platform: CURRENT)
    monkeypatch.setattr(doctors, "require", lambda *_: None)
    monkeypatch.setattr(doctors, "require_box", lambda: None)
    for key in (OLD, OLDER, CURRENT):
        fill(key)
    return made


def fill(key: str, platform: str = "debian-12") -> Path:
    """A set of images, as a build leaves it."""
    folder = paths.cache() / f"{platform}-{key}"
    folder.mkdir(parents=True)
    for name, content in (("vmlinuz", b"k" * 5000), ("initrd", b"i" * 5000), ("versions", b"v")):
        (folder / name).write_bytes(content)
    (folder / "guest.ext4").touch()
    os.truncate(folder / "guest.ext4", 1 << 30)  # nothing but a hole
    (folder / "manifest.json").write_text("{}")
    return folder


def make_lab(name: str, key: str, provider: str = "podman") -> Lab:
    lab = Lab.create(name, SCENARIO, "debian-12", provider)
    lab.record.images = key
    lab.save()
    return lab


def names() -> list[str]:
    return sorted(path.name for path in paths.cache().iterdir() if path.is_dir())


def files() -> set[Path]:
    return {path for path in paths.cache().rglob("*") if path.suffix != ".lock"}


def set_names(*keys: str) -> list[str]:
    return sorted(f"debian-12-{key}" for key in keys)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return typed(capsys, "images", *arguments)


@contextmanager
def held(file: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """As another process holds it."""
    with file.open("w") as opened:
        fcntl.flock(opened, kind)
        yield


# What there is


def test_what_there_is(podman: Podman) -> None:
    boxes.folder(Images("debian-12", OLD, paths.cache() / f"debian-12-{OLD}")).mkdir(parents=True)
    make_lab("nemo", OLDER)
    (paths.cache() / "debian-12.lock").touch()
    (paths.cache() / "of-somebody-else").mkdir()
    (paths.cache() / f".debian-12.gone-{OLD}").mkdir()
    found = {one.key: one for one in cache.stored()}
    assert list(found) == [OLD, OLDER, CURRENT]
    assert [one.current for one in found.values()] == [False, False, True]
    assert [one.box for one in found.values()] == [True, False, False]
    assert [one.labs for one in found.values()] == [(), ("nemo",), ()]
    assert {one.platform for one in found.values()} == {"debian-12"}
    assert found[OLD].name == f"debian-12-{OLD}"


def test_a_platform_that_there_is_no_longer_is_not_current(podman: Podman) -> None:
    fill(CURRENT, "beos-5")
    assert {one.platform: one.current for one in cache.stored() if one.key == CURRENT} == {
        "beos-5": False,
        "debian-12": True,
    }


def test_holes_and_links_take_no_room(podman: Podman, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    (folder / "box").mkdir(parents=True)
    (folder / "kernel").write_bytes(b"k" * 100_000)
    one = cache.size(folder)
    assert 100_000 <= one < 200_000
    os.link(folder / "kernel", folder / "box" / "kernel")
    (folder / "disk").touch()
    os.truncate(folder / "disk", 1 << 30)
    assert cache.size(folder) < one + 50_000
    (folder / "box" / "more").write_bytes(b"m" * 100_000)
    assert one + 100_000 <= cache.size(folder) < one + 200_000


def test_an_empty_cache(podman: Podman, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(paths.cache())
    assert cache.stored() == []
    assert run(capsys, "list")[1].startswith("no images; lab images build")
    assert run(capsys, "list", "--json")[:2] == (0, "[]\n")
    podman.copies.clear()
    assert cache.prune() == []


# Who uses it


def test_a_container_says_what_it_is_made_of_also_without_a_record(podman: Podman) -> None:
    podman.of_containers = {f"debian-12-{OLD}": {"dory", "nemo"}}
    make_lab("nemo", "")
    (old, *others) = cache.stored()
    assert old.labs == ("dory", "nemo")
    assert not any(one.labs or one.perhaps for one in others)


def test_a_virtual_lab_without_a_record_may_use_any(podman: Podman) -> None:
    VirtualLabs.there.update(("dory", "nemo"))
    make_lab("dory", "", "vagrant")  # of before there were records
    make_lab("nemo", OLD, "vagrant")
    assert {one.perhaps for one in cache.stored()} == {("dory",)}
    fates = cache.prune(everything=True)
    assert [fate.kept for fate in fates[:3]] == [
        "lab nemo uses it",
        *["lab dory may use it: what that uses is not on record"] * 2,
    ]
    assert names() == set_names(OLD, OLDER, CURRENT)


def test_a_damaged_record_of_a_virtual_lab_is_none(podman: Podman) -> None:
    VirtualLabs.there.add("nemo")
    lab = make_lab("nemo", OLD, "vagrant")
    (lab.folder / "lab.json").write_text("{")
    cache.prune(everything=True)
    assert names() == set_names(OLD, OLDER, CURRENT)


def test_a_lab_that_has_no_machines_yet_uses_nothing(podman: Podman) -> None:
    make_lab("nemo", "")
    cache.prune()
    assert names() == set_names(CURRENT)


def test_labs_of_before_have_no_images_on_record(podman: Podman) -> None:
    file = make_lab("nemo", OLD).folder / "lab.json"
    old = json.loads(file.read_text())
    assert old.pop("images") == OLD
    file.write_text(json.dumps(old))
    assert Lab.open("nemo").record.images == ""


def test_a_lab_says_what_it_uses_before_it_looks_for_it(
    podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab("nemo", "")
    on_record: list[str] = []

    def ensure(*_: Any) -> Images:
        on_record.append(Lab.open("nemo").record.images)
        return Images("debian-12", OLD, paths.cache() / f"debian-12-{OLD}")

    monkeypatch.setattr(images, "ensure", ensure)
    assert lab._images(lambda _: None).key == OLD
    assert on_record == [CURRENT]
    assert Lab.open("nemo").record.images == OLD  # the recipe was changed meanwhile


# What goes


def test_sets_of_other_recipes_go(podman: Podman) -> None:
    make_lab("nemo", OLDER)
    sizes = {one.name: one.size for one in cache.stored()}
    fates = cache.prune()
    assert [(fate.what[-12:], fate.kept) for fate in fates] == [
        (OLD, ""),
        (OLDER, "lab nemo uses it"),
        (CURRENT, "the recipe is current"),
        (OLD, ""),
    ]
    assert fates[-1].what == f"podman image localhost/lab/debian-12:{OLD}"
    assert [fate.size for fate in fates] == [*sizes.values(), 1000]
    assert names() == set_names(OLDER, CURRENT)
    assert cache.prune()[:2] == fates[1:3]


def test_all_of_them_go_but_those_in_use(podman: Podman) -> None:
    podman.of_containers = {f"debian-12-{OLD}": {"nemo"}}
    cache.prune(everything=True)
    assert names() == set_names(OLD)


def test_a_dry_run_says_the_same_and_removes_nothing(
    podman: Podman, capsys: pytest.CaptureFixture[str]
) -> None:
    make_lab("nemo", OLDER)
    fill(CURRENT, "beos-5")
    (paths.cache() / ".debian-12.build-x").mkdir()
    before = files()
    status, dry, _ = run(capsys, "prune", "--dry-run")
    assert (status, files()) == (0, before)
    _, real, _ = run(capsys, "prune")
    assert real == dry.replace("would go", "removed").replace("would be freed", "freed")
    assert names() == set_names(OLDER, CURRENT)


def test_what_prune_says(podman: Podman, capsys: pytest.CaptureFixture[str]) -> None:
    make_lab("nemo", OLDER)
    podman.stuck = {f"localhost/lab/debian-12:{OLD}"}
    size = cache.stored()[0].size
    assert run(capsys, "prune")[1].splitlines() == [
        f"removed: debian-12-{OLD} (0 MiB)",
        f"kept, lab nemo uses it: debian-12-{OLDER} (0 MiB)",
        f"kept, the recipe is current: debian-12-{CURRENT} (0 MiB)",
        f"kept, podman uses it: podman image localhost/lab/debian-12:{OLD} (0 MiB)",
        f"{size} bytes freed (0 MiB)",
    ]


def test_an_interrupted_removal_leaves_no_half_of_a_set(
    podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.rmtree

    def interrupted(folder: Path) -> None:
        (folder / "vmlinuz").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.prune(everything=True)
    assert [one.name for one in cache.stored()] == []
    monkeypatch.setattr(shutil, "rmtree", real)
    assert cache.prune()[0].what == f".debian-12.gone-{OLD}, half removed"
    assert names() == []


def test_a_set_that_is_there_again_after_an_interrupted_removal(podman: Podman) -> None:
    (paths.cache() / f".debian-12.gone-{OLD}" / "packages").mkdir(parents=True)
    cache.prune()
    assert names() == set_names(CURRENT)


def test_leftovers_of_builds_go_when_nobody_builds(podman: Podman) -> None:
    left = paths.cache() / ".debian-12.build-abc"
    left.mkdir()
    (left / "rootfs.tar").write_bytes(b"r" * 5000)
    half = paths.cache() / f"debian-12-{CURRENT}" / "box.new"
    half.mkdir()
    disk = half.with_name("images.new")
    disk.mkdir()
    with held(paths.cache() / "debian-12.lock"):
        fates = [fate for fate in cache.prune() if "interrupted build" in fate.what]
        assert len(fates) == 3
        assert all("is in use by" in fate.kept for fate in fates)
    assert left.exists()
    assert half.exists()
    assert disk.exists()
    fates = [fate for fate in cache.prune() if "interrupted build" in fate.what]
    assert [fate.kept for fate in fates] == ["", "", ""]
    assert fates[0].size >= 5000
    assert not left.exists()
    assert not half.exists()
    assert not disk.exists()
    assert names() == set_names(CURRENT)


def test_who_is_about_to_use_images_is_waited_for(
    podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "WAIT", 0.0)
    paths.cache().mkdir(exist_ok=True)
    with held(paths.cache() / "use.lock", fcntl.LOCK_SH):
        with images.in_use():  # another user is welcome
            pass
        with pytest.raises(Busy, match="the cache of images is in use"):
            cache.prune()
    assert names() == set_names(OLD, OLDER, CURRENT)
    with held(paths.cache() / "use.lock"), pytest.raises(Busy):
        Lab._images(make_lab("nemo", ""), lambda _: None)


# Podman's copies


LISTING = [
    {"Id": "a", "Size": 200, "ParentId": "", "Names": [f"localhost/lab/debian-12:{OLD}"]},
    {"Id": "b", "Size": 260, "ParentId": "a", "Names": [f"localhost/lab/debian-12-slim:{OLD}"]},
    {"Id": "c", "Size": 210, "ParentId": "", "Names": [f"localhost/lab/debian-12:{CURRENT}"]},
    {"Id": "d", "Size": 900, "ParentId": "", "Names": ["docker.io/library/debian:12"]},
    {"Id": "e", "Size": 900, "ParentId": "", "Names": None},
]


def listing(*arguments: Any, **_: Any) -> str:
    assert arguments[0][0] == "images"
    return json.dumps(LISTING)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        (f"localhost/lab/debian-12:{OLD}", f"debian-12-{OLD}"),
        (f"localhost/lab/debian-12-slim:{OLD}", f"debian-12-{OLD}"),
        (f"localhost/other/debian-12:{OLD}", ""),
        ("localhost/lab/debian-12:latest", ""),
        ("4cb13e49d3cd", ""),
    ],
)
def test_whose_copy_it_is(name: str, of: str) -> None:
    assert original(name) == of


def test_copies_are_counted_without_what_they_are_made_of() -> None:
    assert copies(listing) == [
        Copy(f"localhost/lab/debian-12-slim:{OLD}", 60),
        Copy(f"localhost/lab/debian-12:{OLD}", 200),
        Copy(f"localhost/lab/debian-12:{CURRENT}", 210),
    ]
    assert copies(lambda *_: "") == []


def test_orphans() -> None:
    assert orphans(listing, {f"debian-12-{OLD}"}) == [
        Copy(f"localhost/lab/debian-12:{CURRENT}", 210)
    ]
    assert orphans(listing, set()) == copies(listing)
    assert orphans(listing, {f"debian-12-{OLD}", f"debian-12-{CURRENT}"}) == []


def test_a_copy_that_podman_does_not_part_with() -> None:
    asked: list[list[str]] = []

    def image_rm(arguments: list[str], **options: Any) -> str:
        asked.append(arguments)
        assert options["check"] is False
        return "" if "slim" in arguments[-1] else "Untagged: …"

    slim, plain = Copy("x-slim:1", 1), Copy("x:1", 2)
    assert remove(image_rm, [slim, plain]) == [slim]
    assert asked == [["image", "rm", "x-slim:1"], ["image", "rm", "x:1"]]


# The commands


def test_list(podman: Podman, capsys: pytest.CaptureFixture[str]) -> None:
    make_lab("nemo", OLDER)
    VirtualLabs.there.add("dory")
    status, out, _ = run(capsys, "list", "--json")
    assert status == 0
    found = json.loads(out)
    assert [one["key"] for one in found] == [OLD, OLDER, CURRENT]
    assert set(found[1]) == {
        *("platform", "key", "folder", "size", "built", "current", "box", "labs", "perhaps")
    }
    assert (found[1]["labs"], found[1]["perhaps"]) == (["nemo"], ["dory"])
    assert found[1]["built"].endswith("+00:00")
    out = run(capsys, "list")[1]
    assert out.split()[:7] == ["platform", "key", "size", "built", "recipe", "box", "used"]
    assert [line.split()[0] for line in out.splitlines() if line.startswith("deb")] == [
        "debian-12"
    ] * 3


def test_build(
    podman: Podman, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(platform: Any, say: Callable[[str], None]) -> images.Images:
        say(f"building {platform.name}")
        fill(CURRENT, platform.name)
        ready = images.built(platform)
        assert ready
        return ready

    monkeypatch.setattr(images, "_build", build)
    monkeypatch.setattr(boxes, "_make", lambda _images, box: box.mkdir())
    there = paths.cache() / f"debian-12-{CURRENT}"
    assert run(capsys, "build", "debian-12") == (0, f"debian-12: there already, {there}\n", "")
    out = run(capsys, "build")[1]
    for name in platforms.built_here():
        assert (f"building {name}" in out) is (name != "debian-12")
        assert f"{name}: {'there already' if name == 'debian-12' else 'built in'}" in out
    assert "box" not in out
    for word in ("made", "there already"):
        out = run(capsys, "build", "debian-12", "--box")[1].splitlines()[-1]
        box = boxes.folder(Images("debian-12", CURRENT, there))
        assert out == f"box lab/debian-12: {word}, {box}"
    status, out, err = run(capsys, "build", "debian-13", "beos-5")
    assert (status, out) == (2, "")
    assert "there is no platform 'beos-5'; choose one of: almalinux-9, " in err


def test_what_is_built_by_default_is_what_can_be() -> None:
    assert platforms.built_here()
    assert all(platforms.load(name).is_built for name in platforms.built_here())


def convert(argv: list[str], **_: Any) -> None:
    assert argv[:2] == ["qemu-img", "convert"]
    Path(argv[-1]).write_bytes(b"disk")


def test_export(
    podman: Podman,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(command, "run", convert)
    file = tmp_path / "out" / "mine.box"
    file.parent.mkdir()
    status, out, _ = run(capsys, "export", "debian-12", str(file))
    assert status == 0
    assert out.splitlines() == [
        f"sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}  {file}",
        f"vagrant box add --name lab/debian-12 {file}",
    ]
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["Vagrantfile", "box.img", "initrd", "metadata.json", "vmlinuz"]


@pytest.mark.parametrize(("file", "says"), [("", "it is a folder"), ("no/mine.box", "no folder")])
def test_export_to_where_no_file_can_be(
    podman: Podman, capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str, says: str
) -> None:
    status, out, err = run(capsys, "export", "debian-12", str(tmp_path / file))
    assert (status, out) == (2, "")
    assert says in err
    assert run(capsys, "export", "beos-5", str(tmp_path / "a.box"))[0] == 2


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (OSError(28, "No space left on device"), 3, "mine.box could not be written: No space"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_export_that_is_cut_short_leaves_nothing(
    podman: Podman,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: BaseException,
    status: int,
    says: str,
) -> None:
    monkeypatch.setattr(command, "run", convert)
    written: list[str] = []

    def add(_tar: object, _path: Path, name: str) -> None:
        written.append(name)
        if len(written) == 2:
            raise error

    monkeypatch.setattr(tarfile.TarFile, "add", add)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.box").write_text("an earlier one")
    ended, _, err = run(capsys, "export", "debian-12", str(out / "mine.box"))
    assert (ended, len(written)) == (status, 2)
    assert says in err
    assert [path.name for path in out.iterdir()] == ["mine.box"]
    assert (out / "mine.box").read_text() == "an earlier one"


def test_without_qemu_img_nothing_is_built(
    podman: Podman, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        "shutil.which", lambda name: None if name == "qemu-img" else f"/usr/bin/{name}"
    )
    monkeypatch.setattr(images, "ensure", lambda *_: pytest.fail("built"))
    doctors.require()
    for arguments in (["build", "--box"], ["export", "debian-12", "/tmp/mine.box"]):
        status, _, err = run(capsys, *arguments)
        assert status == 3
        assert "qemu-img: it makes boxes" in err
        assert "lab doctor --fix --provider vagrant (or install: qemu-utils)" in err


def test_boxes_that_were_downloaded(podman: Podman, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that nothing is made of go with the sets of older recipes."""
    name = "fetched/centos-7.0123456789ab.download"
    file = paths.cache() / name
    file.parent.mkdir()
    file.write_bytes(b"b" * 1000)
    assert f"would go: {name}" in run(capsys, "prune", "--dry-run")[1]
    assert file.exists()
    with held(paths.cache() / "centos-7.lock"):
        assert "the build of centos-7 is in use by" in run(capsys, "prune")[1]
    assert file.exists()
    assert f"removed: {name}" in run(capsys, "prune")[1]
    assert not file.exists()
