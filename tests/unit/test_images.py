"""Images: built once for a recipe, whole or not at all, and of the versions that were promised.

The build script is a small one that needs no root and no network.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import command, images, paths, platforms
from lab.deadline import Deadline, wait_for
from lab.errors import CannotRun
from lab.images import Images
from lab.platform import Platform

PLATFORM = """\
name: made-up
title: Made up
family: {family}
suite: none
versions: {{pcs: "{pcs}"}}
packages: {{pcs: pcs}}
base: [systemd, dbus]
repository:
  groups: [[pcs, corosync], [apache2]]
"""
# What the real one does, too: takes a folder and a suite, leaves `versions` there.
BUILD = """\
#!/bin/sh -e
cd "$1"
echo built >> "$LAB_CACHE/count"
echo "### unpacking $2"
echo "quiet detail"
echo "$BASE" > base
cp "$GROUPS_FILE" groups-seen
echo "pcs 1:0.11.5-1+deb" > versions
"""


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "boxes"
    for name in ("debian/rootfs", "made-up"):
        (folder / name).mkdir(parents=True)
    (folder / "debian" / "build").write_text(BUILD)
    (folder / "debian" / "build").chmod(0o755)
    (folder / "debian" / "rootfs" / "file").write_text("content\n")
    (folder / "made-up" / "platform.yaml").write_text(
        PLATFORM.format(family="debian", pcs="0.11.5")
    )
    monkeypatch.setattr(paths, "BOXES", folder)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("LAB_CACHE", str(folder))
    monkeypatch.setattr("lab.builds._CONFINED", ())
    monkeypatch.setattr(images, "_apt_options", lambda: "")
    monkeypatch.setattr(images, "sources", lambda suite: [f"deb mirror {suite} main"])
    monkeypatch.setattr(images, "ROOM", 0)
    return folder


@pytest.fixture
def platform(boxes: Path, cache: Path) -> Platform:
    assert boxes.exists()
    assert cache.exists()
    return platforms.load("made-up")


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def builds(cache: Path) -> int:
    path = cache / "count"
    return len(path.read_text().split()) if path.exists() else 0


# The key


def test_key_stays_while_nothing_changes(platform: Platform) -> None:
    assert images.key(platform) == images.key(platforms.load("made-up"))
    assert len(images.key(platform)) == 12


CHANGES: dict[str, Callable[[Path], object]] = {
    "platform file": lambda b: (b / "made-up/platform.yaml").open("a").write("# more\n"),
    "build script": lambda b: (b / "debian/build").open("a").write("# more\n"),
    "file of the family": lambda b: (b / "debian/rootfs/file").write_text("Content\n"),
    "mode of a file": lambda b: (b / "debian/rootfs/file").chmod(0o755),
    "new file": lambda b: (b / "debian/rootfs/new").touch(),
    "new file of the platform": lambda b: (b / "made-up/new").touch(),
    "renamed file": lambda b: (b / "debian/rootfs/file").rename(b / "debian/rootfs/elif"),
    "removed file": lambda b: (b / "debian/rootfs/file").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_key_changes_with_every_part_of_the_recipe(
    platform: Platform, boxes: Path, change: Callable[[Path], object]
) -> None:
    before = images.key(platform)
    change(boxes)
    assert images.key(platform) != before


def test_key_does_not_change_with_another_platform(platform: Platform, boxes: Path) -> None:
    before = images.key(platform)
    (boxes / "other").mkdir()
    (boxes / "other" / "platform.yaml").write_text("anything")
    (boxes / "redhat").mkdir()
    (boxes / "redhat" / "build").write_text("anything")
    assert images.key(platform) == before


# A build


def test_build(platform: Platform, cache: Path) -> None:
    said: list[str] = []
    assert images.built(platform) is None
    made = images.ensure(platform, said.append)
    assert made == images.built(platform) == Images("made-up", images.key(platform), made.folder)
    assert folders(cache) == [f"made-up-{made.key}"]
    assert made.version("pcs") == "1:0.11.5-1+deb"
    assert made.version("corosync") == ""
    assert (made.folder / "base").read_text() == "systemd dbus\n"
    assert (made.folder / "groups-seen").read_text() == "pcs corosync\napache2\n"
    assert "quiet detail" in (made.folder / "log").read_text()
    assert made.folder.stat().st_mode & 0o777 == 0o755
    assert said[0].startswith("building the images of Made up")
    assert said[1:] == ["unpacking none"]


def test_second_time_nothing_is_built(platform: Platform, cache: Path) -> None:
    said: list[str] = []
    first = images.ensure(platform)
    assert images.ensure(platform, said.append) == first
    assert (builds(cache), said) == (1, [])


def test_changed_recipe_is_built_anew(platform: Platform, cache: Path, boxes: Path) -> None:
    first = images.ensure(platform)
    (boxes / "debian" / "rootfs" / "file").write_text("other\n")
    assert images.built(platform) is None
    assert images.ensure(platform).key != first.key
    assert builds(cache) == len(folders(cache)) == 2


def test_folder_without_images_is_not_taken_for_them(platform: Platform, cache: Path) -> None:
    half = cache / f"made-up-{images.key(platform)}"
    half.mkdir()
    (half / "rootfs.tar").touch()
    assert images.built(platform) is None
    assert images.ensure(platform).version("pcs")
    assert not (half / "rootfs.tar").exists()


def test_two_threads_build_once(
    platform: Platform, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def slow(platform: Platform, _say: Callable[[str], None]) -> Images:
        calls.append(platform.name)
        time.sleep(0.3)
        folder = cache / f"made-up-{images.key(platform)}"
        folder.mkdir()
        (folder / "versions").touch()
        return Images(platform.name, images.key(platform), folder)

    monkeypatch.setattr(images, "_build", slow)
    found: list[Images] = []
    threads = [
        threading.Thread(target=lambda: found.append(images.ensure(platform))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["made-up"]
    assert len(found) == 3
    assert len(set(found)) == 1


# A process that builds as the fixtures have it.
BUILDER = """
import sys
from pathlib import Path
from lab import builds, images, paths, platforms
paths.BOXES = Path(sys.argv[1])
builds._CONFINED, images.ROOM = (), 0
images._apt_options, images.sources = (lambda: ""), (lambda suite: [])
print(images.ensure(platforms.load("made-up")).key)
"""


def builder(boxes: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(boxes)], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_build_once(platform: Platform, cache: Path, boxes: Path) -> None:
    script = boxes / "debian" / "build"
    script.write_text(script.read_text() + "sleep 0.3\n")
    both = [builder(boxes), builder(boxes)]
    keys = [process.communicate(timeout=20)[0].strip() for process in both]
    assert keys == [images.key(platform)] * 2
    assert builds(cache) == 1


def test_killed_build_leaves_no_lock_and_the_next_one_removes_its_folder(
    platform: Platform, cache: Path, boxes: Path
) -> None:
    script = boxes / "debian" / "build"
    # It hangs the first time only; then it ends when its parent is gone.
    hang = 'if mkdir "$LAB_CACHE/../first"; then while kill -0 $PPID; do sleep 0.05; done; fi\n'
    script.write_text(script.read_text() + hang)
    with builder(boxes) as process:
        assert wait_for(lambda: (cache.parent / "first").exists(), bool, Deadline(10))
        process.kill()
    (left,) = folders(cache)
    assert left.startswith(".made-up.build-")
    assert images.built(platform) is None
    made = images.ensure(platform)
    assert folders(cache) == [made.folder.name]


# A build that does not come to its end


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_interrupted_build_leaves_nothing(
    platform: Platform, cache: Path, error: type[BaseException]
) -> None:
    def say(line: str) -> None:
        if line.startswith("unpacking"):
            raise error

    with pytest.raises(error):
        images.ensure(platform, say)
    assert builds(cache) == 1  # it had begun
    assert folders(cache) == []
    assert images.built(platform) is None
    images.ensure(platform)  # and holds no lock


def test_failed_build_says_what_it_last_said(platform: Platform, cache: Path, boxes: Path) -> None:
    (boxes / "debian" / "build").write_text("#!/bin/sh\necho one\necho no such package >&2\nexit 3")
    with pytest.raises(CannotRun, match="of made-up failed; it last said:") as caught:
        images.ensure(platform)
    assert caught.value.message.endswith("no such package")
    assert (caught.value.exit_code, bool(caught.value.hint)) == (3, True)
    assert folders(cache) == []


def test_recipe_that_changes_meanwhile_is_not_stored_under_its_new_key(
    platform: Platform, cache: Path, boxes: Path
) -> None:
    def say(line: str) -> None:
        if line.startswith("unpacking"):
            (boxes / "debian" / "rootfs" / "file").write_text("edited\n")

    with pytest.raises(CannotRun, match="changed while the images of made-up were built"):
        images.ensure(platform, say)
    assert folders(cache) == []


def test_full_disk_is_noticed_before(
    platform: Platform, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "ROOM", 1 << 60)
    with pytest.raises(CannotRun, match=r"needs \d+ MiB in .*cache, \d+ MiB are free") as caught:
        images.ensure(platform)
    assert "LAB_CACHE" in caught.value.hint
    assert builds(cache) == 0


# Versions


@pytest.mark.parametrize("said", ["0.11.5", "0.11", "0"])
def test_version_may_be_said_less_exactly(boxes: Path, cache: Path, said: str) -> None:
    assert cache.exists()
    (boxes / "made-up" / "platform.yaml").write_text(PLATFORM.format(family="debian", pcs=said))
    images.ensure(platforms.load("made-up"))


@pytest.mark.parametrize("said", ["0.11.4", "0.1", "0.11.50", "1", "1.0", "0.11.5.1"])
def test_other_version_than_the_platform_says_is_refused(
    boxes: Path, cache: Path, said: str
) -> None:
    (boxes / "made-up" / "platform.yaml").write_text(PLATFORM.format(family="debian", pcs=said))
    with pytest.raises(CannotRun) as caught:
        images.ensure(platforms.load("made-up"))
    assert caught.value.message == (
        f"boxes/made-up/platform.yaml:5 says pcs {said}, but the mirror has pcs 0.11.5-1+deb"
    )
    assert folders(cache) == []


def test_package_that_is_not_there_is_refused(platform: Platform, cache: Path, boxes: Path) -> None:
    (boxes / "debian" / "build").write_text("#!/bin/sh\ntouch $1/versions\n")
    with pytest.raises(CannotRun, match=r"but the mirror has pcs \(none\)"):
        images.ensure(platform)
    assert folders(cache) == []


# Where packages come from


def apt(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert argv[:2] == ["apt-get", "indextargets"]
        return subprocess.CompletedProcess(argv, 0, "\n".join(lines) + "\n", "")

    for setting in ("LAB_MIRROR", "LAB_MIRROR_DEBIAN_12", "LAB_MIRROR_DEBIAN_13"):
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setattr(command, "run", run)


def test_mirrors_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    apt(
        monkeypatch,
        "Packages http://deb.example/debian/ bookworm main Debian",
        "Packages http://deb.example/debian/ bookworm-updates main Debian",
        "Packages http://deb.example/security/ bookworm-security main Debian",
        "Packages http://deb.example/debian/ bookworm contrib Debian",
        "Translations http://deb.example/debian/ bookworm main Debian",
        "Packages http://flat.example/",  # a repository without releases
    )
    assert sorted(images.sources(platforms.load("debian-13"))) == [
        "deb http://deb.example/debian/ trixie main",
        "deb http://deb.example/debian/ trixie-updates main",
        "deb http://deb.example/security/ trixie-security main",
    ]


def test_debians_mirror_goes_before_others(monkeypatch: pytest.MonkeyPatch) -> None:
    apt(
        monkeypatch,
        "Packages http://a.example/ bookworm main Another Company",
        "Packages http://deb.example/debian/ bookworm main Debian",
    )
    assert images.sources(platforms.load("debian-12")) == [
        "deb http://deb.example/debian/ bookworm main"
    ]


def test_no_mirror_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    apt(monkeypatch)
    with pytest.raises(CannotRun, match="no Debian mirror for bookworm") as caught:
        images.sources(platforms.load("debian-12"))
    assert "LAB_MIRROR_DEBIAN_12" in caught.value.hint


def test_a_mirror_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    apt(monkeypatch, "Packages http://deb.example/debian/ bookworm main Debian")
    monkeypatch.setenv("LAB_MIRROR", "http://own.example/debian")
    assert images.sources(platforms.load("debian-12")) == [
        "deb http://own.example/debian bookworm main",
        "deb http://own.example/debian bookworm-updates main",
    ]
    monkeypatch.setenv("LAB_MIRROR_DEBIAN_13", "http://new.example/debian")
    monkeypatch.setenv("LAB_MIRROR_CENTOS_7", "http://vault.example")
    assert "http://new.example/debian" in images.sources(platforms.load("debian-13"))[0]
    assert "http://own.example/debian" in images.sources(platforms.load("debian-12"))[0]
