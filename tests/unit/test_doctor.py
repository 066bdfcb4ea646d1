"""What the doctor says of machines that lack something, and what it installs there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lab import command, doctor, images, paths
from lab.errors import CannotRun, CommandFailed
from lab.providers import cgroups

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """A machine that has every program but the `lacking`; installing may bring them."""

    def __init__(self) -> None:
        self.lacking: set[str] = set()
        self.user = 0
        self.ran: list[list[str]] = []
        self.installing_works = True

    def which(self, name: str) -> str | None:
        return None if name in self.lacking else f"/usr/bin/{name}"

    def run(self, argv: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.ran.append(list(argv))
        if not self.installing_works:
            raise CommandFailed("apt-get ended with exit status 100: E: no route")
        if argv[:2] == ["apt-get", "install"]:
            self.lacking.clear()
        return subprocess.CompletedProcess(argv, 0, "", "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr("shutil.which", made.which)
    monkeypatch.setattr("os.geteuid", lambda: made.user)
    monkeypatch.setattr(command, "run", made.run)
    return made


def refusal(call: Callable[[], object]) -> CannotRun:
    with pytest.raises(CannotRun) as caught:
        call()
    assert caught.value.exit_code == 3
    return caught.value


def by_name(name: str) -> doctor.Finding:
    return next(finding for finding in doctor.examine() if finding.name == name)


def test_a_complete_machine_may_go_on(machine: Machine) -> None:
    doctor.require()
    assert doctor.missing() == []
    assert machine.ran == []  # quick: no program is started


def test_root_is_asked_for_before_anything_else(machine: Machine) -> None:
    machine.user = 1000
    machine.lacking = {"podman"}
    error = refusal(doctor.require)
    assert error.message == "lab needs root: it makes namespaces and containers"
    assert error.hint == "run it as root, or with sudo"


def test_another_kernel_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert refusal(doctor.require).message.startswith("lab needs Linux: ")
    # Nothing that asks the Linux kernel was tried.
    assert {finding.name for finding in doctor.examine()} >= {"Linux", "root", "podman"}
    assert machine.ran == []


def test_every_missing_program_is_in_the_one_message(machine: Machine) -> None:
    machine.lacking = {"socat", "apt-ftparchive"}
    error = refusal(doctor.require)
    assert error.message.splitlines() == [
        "this machine lacks programs that lab needs:",
        "  apt-ftparchive: it indexes the packages that nodes install",
        "  socat: ssh reaches a container's socket through it",
    ]
    assert error.hint == "run: lab doctor --fix (or install: apt-utils socat)"


def test_fix_installs_exactly_the_missing_packages(machine: Machine) -> None:
    machine.lacking = {"ssh", "ssh-keygen", "mke2fs"}  # the first two are in one package
    said: list[str] = []
    doctor.fix(said.append)
    assert machine.ran == [
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", "e2fsprogs", "openssh-client"],
    ]
    assert said == ["installing e2fsprogs openssh-client"]


def test_fix_leaves_a_complete_machine_alone(machine: Machine) -> None:
    said: list[str] = []
    doctor.fix(said.append)
    assert machine.ran == []
    assert said == ["no package is missing"]


def test_fix_without_apt_get_names_the_packages(machine: Machine) -> None:
    machine.lacking = {"apt-get", "crun", "ip"}
    assert refusal(lambda: doctor.fix(print)).hint.endswith(": crun iproute2")
    assert machine.ran == []


def test_fix_needs_root(machine: Machine) -> None:
    machine.lacking = {"crun"}
    machine.user = 1000
    assert refusal(lambda: doctor.fix(print)).message == "installing packages needs root: crun"
    assert machine.ran == []


def test_fix_says_what_apt_get_said(machine: Machine) -> None:
    machine.lacking = {"crun"}
    machine.installing_works = False
    assert "E: no route" in refusal(lambda: doctor.fix(print)).message
    assert machine.ran == [["apt-get", "update"]]


def test_fix_does_not_believe_apt_get(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.lacking = {"mke2fs"}
    monkeypatch.setattr(command, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 0))
    error = refusal(lambda: doctor.fix(print))
    assert error.message == "installed, but still not found: mke2fs"


def test_a_kernel_that_refuses_is_found_by_trying(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(argv: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        machine.ran.append(list(argv))
        return subprocess.CompletedProcess(argv, 1, "", "unshare failed: not permitted\nmore\n")

    monkeypatch.setattr(command, "run", refuse)
    monkeypatch.setattr(images, "sources", lambda _: ["deb somewhere bookworm main"])
    monkeypatch.setattr(cgroups, "mixed", lambda: True)
    for name in ("lab network", "overlay file system", "cgroups"):
        finding = by_name(name)
        assert finding.needed
        assert not finding.ok
        assert finding.seen == "unshare failed: not permitted"
    assert any("--net" in argv for argv in machine.ran)


def test_pure_cgroups_need_no_trial(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "sources", lambda _: ["deb somewhere bookworm main"])
    monkeypatch.setattr(cgroups, "mixed", lambda: False)
    assert by_name("cgroups").seen == "v2: podman runs as it is"
    assert not any("cgroup2" in " ".join(argv) for argv in machine.ran)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("built", [True, False])
def test_a_mirror_is_needed_only_to_build(monkeypatch: pytest.MonkeyPatch, built: bool) -> None:
    def unknown(_: str) -> list[str]:
        raise CannotRun("no Debian mirror is known here", hint="set LAB_MIRROR")

    ready = images.Images("debian-12", "key", paths.BOXES)
    monkeypatch.setattr(images, "built", lambda _: ready if built else None)
    monkeypatch.setattr(images, "sources", unknown)
    mirror = by_name("package mirror for debian-12")
    assert not mirror.ok
    assert mirror.needed is not built
    assert mirror.seen == "no Debian mirror is known here"
    assert by_name("disk space").needed is not built
    assert by_name("images of debian-12").ok is built
    assert not by_name("images of debian-12").needed


@pytest.mark.usefixtures("machine")
def test_no_kvm_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "sources", lambda _: ["deb somewhere bookworm main"])
    monkeypatch.setattr("lab.kvm.missing", lambda: "the processor offers no vmx or svm")
    finding = by_name("KVM")
    assert not finding.ok
    assert not finding.needed
    assert "TCG" in finding.seen
    assert "the processor offers no vmx or svm" in finding.seen


def test_setup_installs_every_package_that_the_doctor_asks_for() -> None:
    words = set((ROOT / "setup.sh").read_text().replace('"', " ").split())
    assert {package for package, _ in doctor.PROGRAMS.values()} <= words
