"""A libvirtd of a lab's own, in the lab's network: it and the machine's own know nothing of each
other, and two labs' machines may have the same names and addresses.

Its folders are mounted over the usual ones, in a mount namespace that each program gets for
itself, so that Vagrant and virsh find what they look for where they look for it. Whatever it
starts is in the lab's network namespace: that is how it is found and ended.

    <state>/labs/LAB/vms/
        etc/ lib/ log/          /etc/libvirt, /var/lib/libvirt, /var/log/libvirt
        ssh/                    /etc/ssh: Vagrant looks there for the keys of hosts
        pool/                   the machines' disks, under this very path
    /run/lab/vms/LAB/           /run: the daemon's socket is libvirt/libvirt-sock
    <cache>/libvirt/            /var/cache/libvirt, of all labs: what each QEMU can do. Asking takes
                                8 s; libvirt sees whether it was this QEMU, on this kernel
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import libvirt

from lab import command, libvirt_client, lock, paths
from lab.deadline import Deadline, wait_for
from lab.errors import CannotRun, CommandFailed, CommandTimeout, LabError
from lab.providers import network

PROC = Path("/proc")
START = 30.0  # seconds until it answers
ANSWER = 30.0  # … to one who connects, when it runs
END = 30.0  # seconds until what was killed is gone
_MOUNTS = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "ssh": "/etc/ssh",
}
# /sys anew: it shows the network devices of the namespace that it was mounted in.
_ENTER = "\n".join(
    [
        "set -e",
        "top=$0 run=$1 cache=$2",
        "shift 2",
        "mount -t sysfs sysfs /sys",
        *(f'mount --bind "$top/{ours}" {usual}' for ours, usual in _MOUNTS.items()),
        'mount --bind "$cache" /var/cache/libvirt',
        'mount --bind "$run" /run',
        'exec "$@"',
    ]
)
_QEMU = """\
# No cgroups, no security labels and no namespaces: the machine's own are none of ours to change.
user = "root"
group = "root"
cgroup_controllers = []
security_driver = "none"
namespaces = []
dynamic_ownership = 0
remember_owner = 0
stdio_handler = "file"
"""
_DAEMON = """\
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""


def folder(lab: str) -> Path:
    """Where all of it is."""
    return paths.labs() / lab / "vms"


def _cache() -> Path:
    return paths.cache() / "libvirt"


def runtime(lab: str) -> Path:
    """Its sockets, in a short path: that of a socket has at most 107 characters."""
    return paths.RUN / "vms" / lab


def inside(lab: str, argv: Sequence[str]) -> list[str]:
    """A command line that runs `argv` where the lab's libvirtd is."""
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER]
    folders = [str(folder(lab)), str(runtime(lab)), str(_cache())]
    return network.inside(network.namespace(lab), [*enter, *folders, *argv])


def start(lab: str) -> None:
    """See to it that it runs and answers. Raises CannotRun, with what it wrote, if it does not."""
    if _answers(lab):
        return
    top = folder(lab)
    top.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in (*_MOUNTS, "pool", "log/qemu"):  # open: dnsmasq, for one, is not root's
        (top / name).mkdir(exist_ok=True)
    (runtime(lab) / "libvirt").mkdir(parents=True, exist_ok=True)
    _cache().mkdir(parents=True, exist_ok=True)
    (top / "etc/qemu.conf").write_text(_QEMU)
    (top / "etc/libvirtd.conf").write_text(_DAEMON)
    daemon = inside(lab, ["libvirtd", "--daemon"])
    log = top / "log/libvirtd.log"
    try:
        command.run(daemon, within=START)
        if not wait_for(lambda: _answers(lab), bool, Deadline(START)):
            raise CannotRun(f"it did not answer within {START:.0f} s")
    except LabError as error:
        said = log.read_text().splitlines()[-3:] if log.exists() else []
        raise CannotRun("\n  ".join([f"no libvirtd for lab {lab}: {error}", *said])) from error


def uri(lab: str) -> str:
    """libvirt's address of it, from outside of its namespaces."""
    return f"qemu+unix:///system?socket={runtime(lab) / 'libvirt/libvirt-sock'}"


def revive(lab: str) -> bool:
    """Whether the lab has one, started again if it died: machines outlive it."""
    if _answers(lab):
        return True
    if not ((folder(lab) / "pool").exists() and network.alive(network.namespace(lab))):
        return False  # none was made, or this machine was rebooted since
    with lock.hold(runtime(lab) / "revived", f"libvirtd of lab {lab}", within=START):
        start(lab)
    return True


@contextmanager
def connection(lab: str) -> Iterator[libvirt.virConnect]:
    """A connection to it. What libvirt complains of, also in the block, is a CommandFailed; where
    one is taken and not answered it is a CommandTimeout.
    """
    try:
        opened = _open(lab)
        try:
            yield opened
        finally:
            with suppress(libvirt.libvirtError):
                opened.close()
    except libvirt.libvirtError as error:
        raise CommandFailed(f"libvirtd of lab {lab}: {error}") from error


def _open(lab: str) -> libvirt.virConnect:
    try:
        return libvirt_client.connect(uri(lab), within=ANSWER)
    except CommandTimeout as error:
        raise CommandTimeout(
            f"libvirtd of lab {lab} hangs: {error}",
            hint=f"kill -9 $(cat {runtime(lab) / 'libvirtd.pid'}): the next command starts another "
            f"one, and machines outlive it; lab down {lab} needs none",
        ) from error


def stop(lab: str) -> None:
    """End it and everything that it started, at once: machines too."""

    def kill() -> list[int]:
        found = processes(lab)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return found

    if left := wait_for(kill, lambda found: not found, Deadline(END)):
        raise LabError(f"of lab {lab} these processes could not be ended: {left}")


def processes(lab: str) -> list[int]:
    """Every process in the lab's network, where no machine of a lab of containers is; and every
    one that has the lab's folders mounted, which tells also when the network is gone.
    """
    try:
        ours = network.namespace(lab).stat()
    except FileNotFoundError:
        ours = None
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):  # it ended just now
                there = ours and os.path.samestat((entry / "ns/net").stat(), ours)
                mounts = "" if there else (entry / "mountinfo").read_text()
                if there or re.search(rf"/labs/{re.escape(lab)}/vms/etc\b", mounts):
                    found.append(int(entry.name))
    return found


def remove(lab: str) -> None:
    """Remove its folders."""
    shutil.rmtree(folder(lab), ignore_errors=True)
    shutil.rmtree(runtime(lab), ignore_errors=True)
    with suppress(OSError):  # another lab has something there
        runtime(lab).parent.rmdir()


def labs() -> set[str]:
    """Every lab that has one, or had one that was not removed."""
    found = {path.name for path in runtime("any").parent.glob("*")}
    return found | {path.parent.name for path in paths.labs().glob("*/vms")}


def _answers(lab: str) -> bool:
    """Whether it does. Where one hangs, another cannot be started in its place: CommandTimeout."""
    try:
        with connection(lab) as opened:
            return bool(opened.getVersion())
    except CommandTimeout:
        raise
    except CommandFailed:
        return False
