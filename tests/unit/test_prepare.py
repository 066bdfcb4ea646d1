"""boxes/redhat/prepare: what it says before it touches anything. (It runs in a box alone.)"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab import paths, platforms

PREPARE = paths.BOXES / "redhat" / "prepare"


def test_it_is_a_program_that_a_posix_shell_can_read() -> None:
    assert os.access(PREPARE, os.X_OK)
    assert PREPARE.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", str(PREPARE)], check=True)


def test_without_packages_it_does_nothing() -> None:
    done = subprocess.run(["sh", str(PREPARE)], capture_output=True, text=True, env={})
    assert done.returncode
    assert "no packages: set BASE to the list in platform.yaml" in done.stderr


@pytest.mark.parametrize("name", ["centos-7", "almalinux-9", "centos-stream-9", "centos-stream-10"])
def test_what_probes_and_logins_need_is_installed(name: str) -> None:
    base = platforms.load(name).base
    assert {"python3", "firewalld", "openssh-server", "openssh-clients"} <= set(base)
    stack = {"pacemaker", "pacemaker-remote", "corosync", "pcs", "resource-agents", "libvirt"}
    assert not stack & set(base), "sections install these, and show that they were not there"


def repositories(folder: Path, os_release: str, mirror: str, centos_release: str = "") -> str:
    """Run the part about repositories on a file system of its own; lab.repo, or what was said."""
    script = PREPARE.read_text()
    part = script[: script.index("# shellcheck disable=SC2086  # a list\n")]
    assert "yum install" not in part.replace("dnf install", "")
    for path in ("/etc/os-release", "/etc/centos-release", "/etc/yum.repos.d", "/etc/lab.env",
                 "/etc/pki/rpm-gpg"):  # fmt: skip
        part = part.replace(path, f"{folder}{path}")
    (folder / "etc/yum.repos.d").mkdir(parents=True)
    (folder / "etc/pki/rpm-gpg").mkdir(parents=True)
    (folder / "etc/pki/rpm-gpg/RPM-GPG-KEY-one").touch()
    (folder / "etc/yum.repos.d/own.repo").touch()
    (folder / "etc/os-release").write_text(os_release)
    (folder / "etc/centos-release").write_text(centos_release)
    programs = folder / "bin"
    programs.mkdir()
    (programs / "dnf").write_text(f'#!/bin/sh\necho "dnf $*" >> {folder}/dnf\n')
    (programs / "dnf").chmod(0o755)
    environment = {"BASE": "x", "LAB_MIRROR": mirror, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", part], capture_output=True, text=True, env=environment)
    made = folder / "etc/yum.repos.d/lab.repo"
    asked = folder / "dnf"
    return (
        done.stderr
        + (made.read_text() if made.exists() else "")
        + (asked.read_text() if asked.exists() else "")
    )


CENTOS_7 = 'ID="centos"\nVERSION_ID="7"\n'
RELEASE = "CentOS Linux release 7.4.1708 (Core)\n"


def test_centos_7_is_installed_from_the_vault(tmp_path: Path) -> None:
    text = repositories(tmp_path, CENTOS_7, "http://mirror.test/vault/", RELEASE)
    assert "baseurl=http://mirror.test/vault/7.4.1708/os/x86_64/\n" in text
    assert "baseurl=http://mirror.test/vault/7.4.1708/updates/x86_64/\n" in text
    python = text.split("[lab-python3]")[1]
    assert "7.9.2009" in python
    assert "includepkgs=python3 python3-*" in python
    assert "includepkgs" not in text.split("[lab-python3]")[0]
    assert text.count("gpgcheck=1\ngpgkey=file://") == 3
    assert (tmp_path / "etc/yum.repos.d/aside/own.repo").exists()


@pytest.mark.parametrize(
    ("mirror", "release", "says"),
    [
        ("", RELEASE, "set LAB_MIRROR to its vault"),
        ("http://mirror.test", "CentOS Linux release 7.9.2009 (Core)\n", "this is no CentOS 7.4"),
    ],
)
def test_centos_7_that_cannot_be_the_books(
    tmp_path: Path, mirror: str, release: str, says: str
) -> None:
    assert says in repositories(tmp_path, CENTOS_7, mirror, release)
    assert (tmp_path / "etc/yum.repos.d/own.repo").exists()


@pytest.mark.parametrize(
    ("os_release", "folder"),
    [
        ('ID="almalinux"\nVERSION_ID="9.6"\n', "9.6"),
        ('ID="centos"\nVERSION_ID="9"\n', "9-stream"),
        ('ID="centos"\nVERSION_ID="10"\n', "10-stream"),
    ],
)
def test_later_releases(tmp_path: Path, os_release: str, folder: str) -> None:
    text = repositories(tmp_path / "mirror", os_release, "http://mirror.test")
    for part in ("BaseOS", "AppStream", "HighAvailability"):
        assert f"baseurl=http://mirror.test/{folder}/{part}/x86_64/os/\n" in text
    text = repositories(tmp_path / "own", os_release, "")
    assert text.splitlines() == [
        "dnf install -y dnf-plugins-core",
        "dnf config-manager --set-enabled highavailability",
    ]
    assert (tmp_path / "own/etc/yum.repos.d/own.repo").exists()


def test_another_distribution_is_refused(tmp_path: Path) -> None:
    assert "no recipe for beos 5" in repositories(tmp_path, "ID=beos\nVERSION_ID=5\n", "")
