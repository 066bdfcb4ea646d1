"""boxes/redhat/prepare, on a file system of its own with programs that do nothing."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from lab import paths, platforms, scenario
from lab.plan import plan
from lab.providers.choice import only_containers

PREPARE = paths.BOXES / "redhat" / "prepare"


def test_it_is_a_program_that_a_posix_shell_can_read() -> None:
    assert os.access(PREPARE, os.X_OK)
    assert PREPARE.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", str(PREPARE)], check=True)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({}, "no packages: set BASE to the list in platform.yaml"),
        ({"BASE": "x"}, "no repository: set REPOSITORY to the groups in platform.yaml"),
    ],
)
def test_without_packages_it_does_nothing(env: dict[str, str], says: str) -> None:
    done = subprocess.run(["sh", str(PREPARE)], capture_output=True, text=True, env=env)
    assert done.returncode
    assert says in done.stderr


@pytest.mark.parametrize("name", ["centos-7", "almalinux-9", "centos-stream-9", "centos-stream-10"])
def test_what_probes_and_logins_need_is_installed(name: str) -> None:
    base = platforms.load(name).base
    assert {"python3", "firewalld", "openssh-server", "openssh-clients", "tar"} <= set(base)
    stack = {"pacemaker", "pacemaker-remote", "corosync", "pcs", "resource-agents", "libvirt"}
    assert not stack & set(base), "sections install these, and show that they were not there"


PROGRAMS = {
    # Brings what it is asked for, but says nothing of what it does not know.
    "yum": """
cd "${0%/*}/.."
[ -e asked ] || cat etc/yum.repos.d/*.repo > asked
case $* in *--downloadonly*) ;; *) exit 0 ;; esac
for word; do
    case $word in
        --downloaddir=*) there=${word#*=} ;;
        -* | install | unknown) ;;
        *) touch "$there/$word-1.0.rpm" ;;
    esac
done
""",
    "rpm": """
case $* in
    *--all*) echo "bash 4.2" ;;
    *--package*) for file; do case $file in *.rpm) basename "$file" -1.0.rpm; esac; done |
        sed 's/$/ 1.0/' ;;
esac
""",
    "setfiles": """
cd "${0%/*}/.."
[ $# -gt 1 ] || { [ ! -e old ] || echo "setfiles: invalid option -- 'm'" >&2; exit 255; }
[ -e etc/lab.env ] || touch labelled
""",
    "python3": """
cd "${0%/*}/.."
[ -e labelled ]
""",
    **dict.fromkeys(
        ("dnf", "systemctl", "usermod", "id", "chkconfig", "grubby", "createrepo", "createrepo_c"),
        "",
    ),
}


def run(
    folder: Path,
    os_release: str,
    mirror: str,
    centos_release: str = "",
    groups: str = "pacemaker pcs\nhttpd",
    *,
    labels: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run it on a file system of its own, with programs that only say in `ran` what they were."""
    script = re.sub(r"(?<![\w/.])/(?=(etc|srv|home|root|boot|usr/local)/|\.auto)", f"{folder}/",
                    PREPARE.read_text())  # fmt: skip
    for path in ("yum.repos.d", "pki/rpm-gpg", "ssh", "NetworkManager/conf.d", "systemd/system",
                 "NetworkManager/system-connections", "sysconfig/network-scripts", "sudoers.d",
                 "rc.d/init.d", "selinux"):  # fmt: skip
        (folder / "etc" / path).mkdir(parents=True)
    for path in ("usr/local/sbin", "home/vagrant/.ssh", "root/.ssh", "boot/grub2", "bin"):
        (folder / path).mkdir(parents=True)
    for path in ("etc/pki/rpm-gpg/RPM-GPG-KEY-one",
                 "home/vagrant/.ssh/authorized_keys", "root/.ssh/authorized_keys",
                 "etc/sudoers.d/vagrant", "etc/ssh/ssh_host_rsa_key", "etc/rc.d/init.d/network",
                 "etc/sysconfig/network-scripts/ifcfg-eth0"):  # fmt: skip
        (folder / path).touch()
    (folder / "etc/yum.repos.d/own.repo").write_text("[own]\n")
    (folder / "etc/ssh/sshd_config").write_text("HostKey /etc/ssh/ssh_host_rsa_key\nUsePAM yes\n")
    (folder / "etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    (folder / ".autorelabel").touch()
    (folder / "etc/os-release").write_text(os_release)
    (folder / "etc/centos-release").write_text(centos_release)
    env = {"BASE": "firewalld python3", "REPOSITORY": groups, "LAB_MIRROR": mirror}
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in env.items())
    (folder / "etc/lab.env").write_text(lines)
    programs = PROGRAMS if labels else PROGRAMS | {"setfiles": ""}
    for name, code in programs.items():
        text = f'#!/bin/sh\necho "{name} $*" >> {folder}/ran\n{code}'
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={"PATH": path})


def repositories(folder: Path, os_release: str, mirror: str, centos_release: str = "") -> str:
    """What was said, the repositories that packages were installed from, what dnf did."""
    done = run(folder, os_release, mirror, centos_release)
    first = folder / "asked"
    ran = (folder / "ran").read_text() if (folder / "ran").exists() else ""
    asked = [line for line in ran.splitlines(keepends=True) if line.startswith("dnf ")]
    return done.stderr + (first.read_text() if first.exists() else "") + "".join(asked)


CENTOS_7 = 'ID="centos"\nVERSION_ID="7"\n'
RELEASE = "CentOS Linux release 7.4.1708 (Core)\n"


def test_centos_7_is_installed_from_the_vault(tmp_path: Path) -> None:
    text = repositories(tmp_path, CENTOS_7, "http://mirror.test/vault/", RELEASE)
    assert "[own]" not in text
    assert "baseurl=http://mirror.test/vault/7.4.1708/os/x86_64/\n" in text
    assert "baseurl=http://mirror.test/vault/7.4.1708/updates/x86_64/\n" in text
    python = text.split("[lab-python3]")[1]
    assert "7.9.2009" in python
    assert "includepkgs=python3 python3-*" in python
    assert "includepkgs" not in text.split("[lab-python3]")[0]
    assert text.count("gpgcheck=1\ngpgkey=file://") == 3


@pytest.mark.parametrize(
    ("mirror", "release", "says"),
    [
        ("", RELEASE, "set LAB_MIRROR_CENTOS_7 to its vault"),
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
        "[own]",
        "dnf install -y dnf-plugins-core",
        "dnf config-manager --set-enabled highavailability",
    ]


def test_another_distribution_is_refused(tmp_path: Path) -> None:
    assert "no recipe for beos 5" in repositories(tmp_path, "ID=beos\nVERSION_ID=5\n", "")


# The node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    done = run(folder, CENTOS_7, "http://mirror.test", RELEASE)
    assert done.returncode == 0, done.stderr
    return folder


def ran(folder: Path, program: str) -> list[str]:
    lines = (folder / "ran").read_text().splitlines()
    return [line for line in lines if line.startswith(f"{program} ")]


def test_each_group_is_asked_for_as_a_section_will(node: Path) -> None:
    get = f"yum install -y --downloadonly --downloaddir={node}/srv/packages"
    first, *rest, last = ran(node, "yum")
    assert first == "yum install -y firewalld python3 createrepo"
    assert rest == [f"{get} pacemaker pcs", f"{get} httpd"]
    assert last == "yum clean all"
    assert ran(node, "createrepo") == [f"createrepo -q {node}/srv/packages"]


def test_later_releases_have_another_indexer(tmp_path: Path) -> None:
    assert run(tmp_path, 'ID="centos"\nVERSION_ID="9"\n', "http://mirror.test").returncode == 0
    assert ran(tmp_path, "createrepo_c") == [f"createrepo_c -q {tmp_path}/srv/packages"]
    assert ran(tmp_path, "createrepo") == []


def test_versions_are_those_of_the_repository_and_of_the_node(node: Path) -> None:
    lines = (node / "srv/versions").read_text().splitlines()
    assert sorted(lines[:-1]) == ["httpd 1.0", "pacemaker 1.0", "pcs 1.0"]
    assert lines[-1] == "bash 4.2"


def test_a_package_that_the_mirror_has_not(tmp_path: Path) -> None:
    done = run(tmp_path, CENTOS_7, "http://mirror.test", RELEASE, "pcs\nunknown httpd")
    assert done.returncode
    assert "prepare: the mirror has no unknown" in done.stderr


def test_nothing_but_its_own_repository_is_asked_afterwards(node: Path) -> None:
    folder = node / "etc/yum.repos.d"
    assert [path.name for path in folder.glob("*.repo")] == ["lab.repo"]
    text = (folder / "lab.repo").read_text()
    assert re.findall(r"^(?:\[.*|baseurl=.*|gpgcheck=.*)", text, re.MULTILINE) == [
        "[lab-packages]",
        "baseurl=file:///srv/packages",
        "gpgcheck=1",
    ]
    assert [path.name for path in folder.iterdir()] == ["lab.repo"]  # no mirror's, with a password


@pytest.mark.parametrize("old", [False, True])
def test_files_have_their_labels_before_the_first_boot(tmp_path: Path, old: bool) -> None:
    """Else each machine relabels all of them, and boots once more."""
    if old:
        (tmp_path / "old").touch()
    assert run(tmp_path, CENTOS_7, "http://mirror.test", RELEASE).returncode == 0
    assert not (tmp_path / ".autorelabel").exists()
    programs = re.findall(r"^(\S+) ", (tmp_path / "ran").read_text(), re.MULTILINE)
    assert programs[-3:] == ["setfiles", "setfiles", "python3"]  # nothing is written afterwards
    words = ran(tmp_path, "setfiles")[-1].split()
    options = ["-F"] if old else ["-F", "-m"]
    policy = f"{tmp_path}/etc/selinux/targeted/contexts/files/file_contexts"
    assert words[1 : len(options) + 2] == [*options, policy]
    labelled = set(words[len(options) + 2 :])
    assert {"/etc", "/usr", "/var", "/root"} <= labelled
    assert not {"/", "/dev", "/proc", "/sys"} & labelled


def test_files_that_got_no_label(tmp_path: Path) -> None:
    done = run(tmp_path, CENTOS_7, "http://mirror.test", RELEASE, labels=False)
    assert done.returncode
    assert "prepare: setfiles left files without a label" in done.stderr


def test_nobody_is_let_in_who_was(node: Path) -> None:
    """Vagrant's key and passwords are known to everybody."""
    assert not (node / "root/.ssh").exists()
    assert not (node / "home/vagrant/.ssh").exists()
    assert not (node / "etc/sudoers.d/vagrant").exists()
    assert ran(node, "usermod") == ["usermod --password * root", "usermod --password * vagrant"]
    assert not list((node / "etc/ssh").glob("ssh_host_*"))
    assert not (node / "etc/lab.env").exists()
    assert (node / "etc/machine-id").read_text() == ""


def test_sshd_takes_the_labs_key_alone(node: Path) -> None:
    lines = (node / "etc/ssh/sshd_config").read_text().splitlines()
    assert [line for line in lines if line.startswith("HostKey")] == [
        f"HostKey {node}/etc/ssh/ssh_host_ed25519_key"
    ]
    assert lines.index("PermitRootLogin without-password") < lines.index("UsePAM yes")
    assert "PasswordAuthentication no" in lines
    assert "StreamLocalBindUnlink yes" in lines


def test_the_network_is_networkmanagers(node: Path) -> None:
    text = (node / "etc/NetworkManager/conf.d/lab.conf").read_text()
    assert {"plugins=keyfile", "ignore-carrier=*", "no-auto-default=*"} <= set(text.splitlines())
    assert not list((node / "etc/sysconfig/network-scripts").iterdir())
    assert ran(node, "chkconfig") == ["chkconfig network off"]
    assert any("NetworkManager.service" in line for line in ran(node, "systemctl"))
    assert ran(node, "grubby") == ["grubby --update-kernel=ALL --args=net.ifnames=0 biosdevname=0"]


def test_a_box_whose_cards_are_called_so_already(tmp_path: Path) -> None:
    (tmp_path / "boot/loader/entries").mkdir(parents=True)
    (tmp_path / "boot/loader/entries/a.conf").write_text("options ro net.ifnames=0\n")
    run(tmp_path, CENTOS_7, "http://mirror.test", RELEASE)
    assert ran(tmp_path, "grubby") == []


@pytest.mark.parametrize("name", ["lab-seed", "lab-boot"])
def test_its_services_run_programs_that_are_there(node: Path, name: str) -> None:
    program = node / "usr/local/sbin" / name
    assert os.access(program, os.X_OK)
    subprocess.run(["sh", "-n", str(program)], check=True)
    unit = (node / f"etc/systemd/system/{name}.service").read_text()
    assert f"ExecStart={program}\n" in unit
    assert f"systemctl enable {name}.service" in ran(node, "systemctl")


def test_the_line_that_a_boot_is_known_by(node: Path, tmp_path: Path) -> None:
    """At the start of a line, whatever else is on the console."""
    console = tmp_path / "console"
    console.write_text("[ 0.1] half a line")
    program = (node / "usr/local/sbin/lab-boot").read_text()
    assert program.count("> /dev/ttyS0") == 1
    program = program.replace("> /dev/ttyS0", f">> {console}")
    subprocess.run(["sh", "-c", program], check=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert re.findall(r"^lab boot (\S+)", console.read_text(), re.MULTILINE) == [boot]


def test_the_seed_is_unpacked_before_anything_asks_for_it(node: Path) -> None:
    unit = (node / "etc/systemd/system/lab-seed.service").read_text()
    before = " ".join(re.findall(r"^Before=(.*)$", unit, re.MULTILINE)).split()
    assert {"sshd.service", "NetworkManager.service", "network-pre.target"} <= set(before)
    assert "/dev/disk/by-id/virtio-lab-seed" in (node / "usr/local/sbin/lab-seed").read_text()


@pytest.mark.parametrize("name", ["centos-7", "almalinux-9", "centos-stream-9", "centos-stream-10"])
def test_all_that_scenarios_install_is_in_the_repository(name: str) -> None:
    """Of those that can run on virtual machines: what a machine cannot fetch it cannot install."""
    platform = platforms.load(name)
    there = {package for group in platform.repository.groups for package in group}
    wanted: set[str] = set()
    for path in paths.SCENARIOS.glob("*.yaml"):
        loaded = scenario.load(path)
        if only_containers(loaded.nodes, loaded.guests):
            continue
        for step in plan(loaded, platform):
            for command in step.commands:
                if found := re.match(r"yum install -y (.*)", command.text):
                    wanted |= set(found[1].split())
            for use in (use for part in step.parts for use in part.acts):
                if use.word.name == "install":
                    wanted |= set(use.arguments["packages"])
                elif use.word.name == "install_agent":
                    wanted |= set(platform.agents[use.arguments["agent"]])
    # CentOS 7's yum leaves out what it does not know; `kvm` is another name of qemu-kvm there.
    unknown = {"kvm", "qemu-system"} if name == "centos-7" else set()
    assert wanted - unknown == there
