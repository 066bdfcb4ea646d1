"""What the doctor says of machines that lack something, and what it installs there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lab import (
    cli,
    command,
    doctor,
    doctor_vagrant,
    images,
    kvm,
    memory,
    paths,
    platforms,
    vagrant_cli,
)
from lab.errors import CannotRun, CommandFailed
from lab.finding import Finding
from lab.providers import cgroups, choice

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


def by_name(name: str) -> Finding:
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
    def unknown(_: object) -> list[str]:
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


# The provider vagrant


@pytest.fixture
def vagrant(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What its `vagrant` says: as one that is supported, with the plugin."""
    says = {"--version": "Vagrant 2.3.4", "plugin list": "vagrant-libvirt (0.11.2, system)"}

    def ask(*arguments: str) -> str:
        if "vagrant" in machine.lacking:
            raise AssertionError("vagrant was run")
        return says[" ".join(arguments)] + "\n"

    monkeypatch.setattr(vagrant_cli, "ask", ask)
    monkeypatch.setattr(images, "sources", lambda _: ["deb somewhere bookworm main"])
    return says


@pytest.mark.usefixtures("vagrant")
def test_a_machine_with_vagrant(machine: Machine) -> None:
    doctor.require("vagrant")
    assert doctor_vagrant.without() == ""
    found = {f.name: f for f in doctor.examine("vagrant") if f.provider}
    assert set(found) >= {"vagrant", "libvirtd", "dnsmasq", "supported Vagrant"}
    assert all(finding.ok and finding.needed for finding in found.values())
    assert found["supported Vagrant"].seen == "Vagrant 2.3.4"
    assert found["plugin vagrant-libvirt"].seen == "0.11.2"


@pytest.mark.usefixtures("vagrant")
@pytest.mark.parametrize("program", doctor_vagrant.PROGRAMS)
def test_each_program_of_vagrant(machine: Machine, program: str) -> None:
    machine.lacking = {program}
    package, why = doctor_vagrant.PROGRAMS[program]
    error = refusal(lambda: doctor.require("vagrant"))
    assert f"\n  {program}: {why}" in error.message
    assert error.hint.startswith("run: lab doctor --fix --provider vagrant (or install: ")
    assert package in error.hint
    assert program in doctor_vagrant.without()
    # Who does without that provider does without it.
    doctor.require("podman")
    doctor.require("auto")
    assert [f.needed for f in doctor.examine() if f.name == program] == [False]
    assert [f for f in doctor.examine("podman") if f.name == program] == []


@pytest.mark.usefixtures("vagrant")
def test_without_vagrant_all_is_in_the_one_message(machine: Machine) -> None:
    machine.lacking = {"vagrant", "libvirtd", "socat"}
    error = refusal(lambda: doctor.require("vagrant"))
    assert [line.partition(":")[0].strip() for line in error.message.splitlines()[1:]] == [
        "socat",
        "vagrant",
        "libvirtd",
        "plugin vagrant-libvirt",
    ]
    assert error.hint.endswith("install: libvirt-daemon-system socat vagrant vagrant-libvirt)")


@pytest.mark.parametrize("said", ["Vagrant 2.2.15", "Vagrant 2.5.0", "Vagrant 3.0.0", ""])
def test_a_vagrant_that_is_not_supported(
    machine: Machine, vagrant: dict[str, str], said: str
) -> None:
    vagrant["--version"] = said
    error = refusal(lambda: doctor.require("vagrant"))
    assert f"{said or 'this vagrant'} is not supported; lab works with 2.2.16 to" in error.message
    assert "--provider podman" in error.hint
    assert doctor_vagrant.without() == "the provider vagrant lacks supported Vagrant"
    said_lines: list[str] = []
    doctor.fix(said_lines.append, "vagrant")
    assert (said_lines, machine.ran) == (["no package is missing"], [])


def test_fix_does_not_ask_apt_get_for_another_vagrant(
    machine: Machine, vagrant: dict[str, str]
) -> None:
    vagrant["--version"] = "Vagrant 2.6.0"
    machine.lacking = {"dnsmasq"}
    doctor.fix(lambda _: None, "vagrant")
    assert machine.ran[-1][4:] == ["dnsmasq-base"]


def test_a_vagrant_without_the_plugin(machine: Machine, vagrant: dict[str, str]) -> None:
    vagrant["plugin list"] = "vagrant-libvirtual (1.0, system)\nNo plugins installed."
    error = refusal(lambda: doctor.require("vagrant"))
    assert "plugin vagrant-libvirt: Vagrant knows of libvirt by it" in error.message
    assert error.hint.endswith("(or install: vagrant-libvirt)")


def test_a_vagrant_that_does_not_answer(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, vagrant: dict[str, str]
) -> None:
    def hangs(*_: str) -> str:
        raise CommandFailed("vagrant did not end within 120 s")

    monkeypatch.setattr(vagrant_cli, "ask", hangs)
    assert doctor_vagrant.without().count("lacks") == 1
    assert "did not end" in refusal(lambda: doctor.require("vagrant")).message


@pytest.mark.usefixtures("vagrant")
def test_fix_installs_what_vagrant_lacks_only_where_it_is_named(machine: Machine) -> None:
    machine.lacking = {"vagrant", "dnsmasq", "crun"}
    doctor.fix(lambda _: None)
    assert machine.ran[-1][4:] == ["crun"]
    machine.lacking = {"vagrant", "dnsmasq", "crun"}
    doctor.fix(lambda _: None, "vagrant")
    assert machine.ran[-1][4:] == ["crun", "dnsmasq-base", "vagrant", "vagrant-libvirt"]


@pytest.mark.usefixtures("vagrant")
@pytest.mark.parametrize(
    ("outside", "nested", "seen"),
    [
        ("no vmx here", "Y", "no vmx here"),
        ("", "N", "kvm_amd was loaded without nested=1"),
        ("", "0", "kvm_amd was loaded without nested=1"),
        ("", None, "neither kvm_intel nor kvm_amd"),
        ("", "1", ""),
        ("", "Y", ""),
    ],
)
def test_nested_virtualisation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outside: str, nested: str | None, seen: str
) -> None:
    monkeypatch.setattr(kvm, "missing", lambda: outside)
    monkeypatch.setattr(kvm, "MODULES", tmp_path)
    if nested:
        folder = tmp_path / "kvm_amd" / "parameters"
        folder.mkdir(parents=True)
        (folder / "nested").write_text(f"{nested}\n")
    finding = by_name("nested virtualisation")
    assert not finding.needed
    assert finding.ok is not bool(seen)
    assert seen in finding.seen


@pytest.mark.usefixtures("vagrant")
@pytest.mark.parametrize(
    ("free", "ok", "room"), [(3599, False, 2), (3600, True, 3), (64, False, 0)]
)
def test_memory(monkeypatch: pytest.MonkeyPatch, free: int, ok: bool, room: int) -> None:
    monkeypatch.setattr(memory, "available", lambda: free)
    monkeypatch.setattr(memory, "virtual", lambda own, **_: own + 176)
    finding = by_name("memory")
    assert (finding.ok, finding.needed) == (ok, False)
    assert f"{free} MiB are free: room for {room} virtual machines" in finding.seen


@pytest.mark.usefixtures("vagrant")
def test_a_box_that_is_not_made_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "boxless", lambda one: "not yet" * (one.name == "debian-12"))
    missing, made = by_name("box of debian-12"), by_name("box of debian-13")
    assert (missing.ok, missing.needed, missing.seen) == (False, False, "not yet")
    assert missing.fix == "lab images build debian-12 --box"
    assert made.ok


@pytest.mark.usefixtures("vagrant")
def test_what_the_command_says_of_the_provider(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cgroups, "mixed", lambda: False)

    def said(*options: str) -> tuple[int, list[str]]:
        status = cli.main(["doctor", *options])
        return status, capsys.readouterr().out.splitlines()[-2:]

    good = "this machine can run labs"
    assert said() == (0, ["provider vagrant: works", good])
    machine.lacking = {"libvirtd", "dnsmasq"}
    lacks = "provider vagrant: lacks libvirtd, dnsmasq"
    assert said() == (0, [lacks, good])
    assert said("--provider", "vagrant") == (
        3,
        [lacks, "2 missing: libvirtd, dnsmasq; try lab doctor --fix --provider vagrant"],
    )
    status, lines = said("--provider", "podman")
    assert (status, lines[-1]) == (0, good)
    assert not lines[0].startswith("provider")
    assert cli.main(["doctor", "--provider", "cloud"]) == 2
    assert "choose one of: auto, podman, vagrant" in capsys.readouterr().err


@pytest.mark.usefixtures("vagrant")
def test_fetched_boxes(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is there, what is lacking, what gets it; nobody needs it, and --fix leaves it out."""
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    machine.lacking = {"virt-customize"}
    found = {f.name: f for f in doctor.examine("vagrant")}
    tool = found["virt-customize"]
    assert (tool.ok, tool.needed, tool.fix) == (False, False, "install guestfs-tools")
    assert found["virt-cat"].ok
    boxes = {name: found[f"box of {name}"] for name in platforms.names()}
    assert not any(box.ok or box.needed for box in boxes.values())
    assert boxes["almalinux-9"].seen == "not fetched, or not of today's recipe"
    assert boxes["almalinux-9"].fix == "lab images build almalinux-9"
    assert "LAB_MIRROR" in boxes["centos-7"].fix
    assert "--from FILE_OR_ADDRESS" in boxes["centos-stream-9"].fix
    doctor.require("vagrant")
    doctor.fix(lambda _: None, "vagrant")
    assert not any("apt-get" in argv for argv in machine.ran)
    for name in ("centos-7", "centos-stream-9"):
        folder = tmp_path / f"{name}-{images.key(platforms.load(name))}"
        folder.mkdir()
        (folder / "versions").touch()
    found = {f.name: f for f in doctor.examine("vagrant")}
    assert found["box of centos-7"].ok
    assert found["box of centos-stream-9"].seen == "made a node of"
    assert not found["box of almalinux-9"].ok


# Folders, mirrors, and who is not root


@pytest.mark.parametrize("setting", ["LAB_STATE", "LAB_CACHE"])
def test_a_folder_that_is_a_file(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str
) -> None:
    assert machine.user == 0
    monkeypatch.setattr(images, "sources", lambda _: ["deb somewhere bookworm main"])
    (tmp_path / "file").touch()
    for name in ("LAB_STATE", "LAB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "new"))
    assert by_name(setting).ok
    monkeypatch.setenv(setting, str(tmp_path / "file" / "below"))
    finding = by_name(setting)
    assert (finding.ok, finding.needed) == (False, True)
    assert finding.seen == f"{tmp_path / 'file'} is no folder"
    assert finding.fix == f"set {setting} to a folder that can be written"


def test_a_folder_that_is_read_only(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert machine.user == 0
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr("os.access", lambda path, _mode: path != tmp_path)
    finding = by_name("LAB_CACHE")
    assert (finding.ok, finding.seen) == (False, f"{tmp_path} is not writable")


def test_no_folder_at_all(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise CannotRun("LAB_CACHE has no default here")

    assert machine.user == 0
    monkeypatch.setattr(paths, "cache", homeless)
    assert by_name("LAB_CACHE").seen == "LAB_CACHE has no default here"


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("setting", ["LAB_MIRROR", "LAB_MIRROR_DEBIAN_12"])
@pytest.mark.parametrize("said", ["nonsense", "ftp://x", "http://", "http:x", "http://a b", "/x"])
def test_a_mirror_that_is_none(monkeypatch: pytest.MonkeyPatch, setting: str, said: str) -> None:
    monkeypatch.setenv(setting, said)
    finding = by_name("package mirror for debian-12")
    assert not finding.ok
    assert finding.seen.startswith(f"{setting}={said} is no address of a mirror: ")
    monkeypatch.setenv(setting, "http://mirror.test/debian")
    assert by_name("package mirror for debian-12").ok


def test_who_is_not_root_lacks_root_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.user = 1000
    monkeypatch.setattr(images, "sources", lambda _: ["deb somewhere bookworm main"])
    monkeypatch.setattr(doctor, "_folder", lambda name, _: doctor._finding(name, True, ""))
    monkeypatch.setattr(doctor, "_room", lambda **_: doctor._finding("disk space", True, ""))
    assert cli.main(["doctor", "--fix", "--provider", "podman"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("MISS")] == ["MISS  root: user id 1000"]
    assert lines[0] == "no package is missing"
    assert lines[-1] == "1 missing: root"
    for name in ("/run", "cgroups", "lab network", "overlay file system", "netem"):
        at = lines.index(f"note  {name}: not tried: only root can")
        assert lines[at + 2] == "      how to get it:  run lab doctor as root: it tells"
    assert machine.ran == []
