"""Where podman can run: here, or in a private mount namespace with pure cgroup v2.

crun refuses a machine that mounts cgroup v1 and v2 side by side. There, one lasting mount
namespace that has nothing but cgroup v2 below /sys/fs/cgroup does, and the machine's own
/sys/fs/cgroup stays as it is. It must be a single one for all labs and calls: podman keeps
mounts in it.
"""

from __future__ import annotations

from pathlib import Path

from lab import command
from lab.paths import RUN
from lab.providers import network

FOLDER = RUN / "mount"
NAMESPACE = FOLDER / "namespace"


def mixed() -> bool:
    """Whether this machine has cgroup v1 mounted, alone or beside v2."""
    return not Path("/sys/fs/cgroup/cgroup.controllers").exists()


def prefix() -> list[str]:
    """What to put before a podman command line: nothing, or the way into the namespace."""
    return ["nsenter", f"--mount={NAMESPACE}", "--"] if mixed() else []


def entered() -> bool:
    """Whether podman can be called: the namespace is there, or this machine needs none."""
    return not mixed() or network.is_mount(NAMESPACE)


def enter() -> None:
    """Make the namespace, if this machine needs it and it is not there."""
    if entered():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not network.is_mount(FOLDER):
        # The kernel keeps a mount namespace's file only on a mount that does not propagate.
        command.run(["mount", "--bind", str(FOLDER), str(FOLDER)], within=10)
        command.run(["mount", "--make-private", str(FOLDER)], within=10)
    network.share_folder()  # before it: the new namespace sees what is shared by then
    NAMESPACE.touch()
    pure = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"
    unshare = ["unshare", f"--mount={NAMESPACE}", "--propagation", "slave"]
    try:
        command.run([*unshare, "sh", "-c", pure], within=10)
    except BaseException:  # half of it must not be taken for the whole later
        leave()
        raise


def leave() -> None:
    """Remove the namespace, and the empty cgroups that podman made in it.

    Only once nothing runs in it any more.
    """
    if mixed() and network.is_mount(NAMESPACE):
        groups = ["/sys/fs/cgroup/libpod_parent/conmon", "/sys/fs/cgroup/libpod_parent"]
        command.run([*prefix(), "rmdir", *groups], within=10, check=False)
    for path in (NAMESPACE, FOLDER):
        if network.is_mount(path):
            command.run(["umount", str(path)], within=10)
    NAMESPACE.unlink(missing_ok=True)
    if FOLDER.exists():
        FOLDER.rmdir()
