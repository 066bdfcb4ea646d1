"""Faults of a machine: its power, its key, its disk."""

from __future__ import annotations

import shlex

from lab import hypervisor
from lab.context import Context
from lab.errors import BadInput
from lab.faults import fault
from lab.vocabulary import Node

COPY = 120.0  # seconds for the content of a folder
KEY = "/etc/pacemaker/authkey"


def machines_only(context: Context, *nodes: str) -> None:
    """Raise BadInput for a guest: this fault is one of a machine's power supply or cable."""
    machines = context.lab.scenario.nodes
    for node in nodes:
        if node not in machines:
            raise BadInput(f"{node} is a guest; this fault is for machines: {', '.join(machines)}")


def own_guest(context: Context, node: str) -> bool:
    """Whether it is a guest that is a node of its own. BadInput for a guest that the cluster runs:
    its power and cable are the cluster's.
    """
    if node in hypervisor.own(context.lab):
        return True
    machines_only(context, node)
    return False


def _power_on(context: Context, node: str) -> str:
    context.lab.power_on(node)
    return ""


@fault("{node} has no power", heal=_power_on)
def power_off(context: Context, node: Node) -> None:
    """The machine dies at once and without notice, as if the plug were pulled."""
    if own_guest(context, node):
        hypervisor.power_off(context.lab, node)
    else:
        context.lab.provider.power_off(context.lab.name, node)


def _resume(context: Context, node: str) -> str:
    hypervisor.resume(context.lab, node)
    context.lab.power_on(node)
    return ""


@fault("virtual machine {node} stands still", heal=_resume)
def suspend(context: Context, node: Node) -> None:
    """All its processors stop where they are, as by a host that gives it no time; nothing of it
    answers. Healing lets it go on, if nobody has restarted it meanwhile.
    """
    if not own_guest(context, node):
        raise BadInput(f"{node} is a machine; this fault is for virtual ones on a hypervisor")
    hypervisor.suspend(context.lab, node)


def _right_authkey(context: Context, node: str) -> str:
    context.lab.power_on(node)
    machine = context.machine(node)
    machine.run(
        f"[ ! -e {KEY}.right ] || {{ mv {KEY}.right {KEY} && "
        "systemctl try-restart pacemaker_remote; }",
        check=True,
        within=60,
    )
    left = machine.run(f"ls {KEY}.right").exit == 0
    return f"the right key is still {KEY}.right" if left else ""


@fault("{node} has a wrong authkey", heal=_right_authkey)
def wrong_authkey(context: Context, node: Node) -> None:
    """The node's /etc/pacemaker/authkey is another one; pacemaker_remote, if it runs there, is
    restarted, since it reads the key when it starts. The file keeps its mode and owner.
    """
    context.machine(node).run(
        f"[ -e {KEY}.right ] || cp -p {KEY} {KEY}.right && "
        f"head -c 4096 /dev/urandom > {KEY} && systemctl try-restart pacemaker_remote",
        check=True,
        within=60,
    )


_FILLER = ".lab-fault-full"

_FILL = """set -e
folder={folder}; ls -d "$folder/" > /dev/null; size=$(du -sk "$folder" | cut -f1); new=$(mktemp -d)
trap 'umount "$new" || true; rmdir "$new" || true' EXIT
mount -t tmpfs -o size=$((size + 256))k lab-full "$new"
cp -a "$folder/." "$new/"
chown --reference="$folder" "$new"; chmod --reference="$folder" "$new"
mount --bind "$new" "$folder"
dd if=/dev/zero of="$folder/{filler}" bs=1k 2>/dev/null || true
"""

# In two steps, either of which can be done again: out of the full file system into a place of
# its own, and from there to where it belongs. Nothing is deleted there: daemons have files open.
_EMPTY = """set -e
folder={folder}; kept={kept}
if findmnt -n -o SOURCE -- "$folder" | grep -q '^lab-full'; then
    rm -f "$folder/{filler}"; mkdir -p "$kept"; cp -a "$folder/." "$kept/"
    umount --lazy "$folder"
fi
[ -d "$kept" ] || exit 0
cp -au "$kept/." "$folder/"
rm -r "$kept"
"""


def _has_room(context: Context, node: str, folder: str) -> str:
    context.lab.power_on(node)
    machine = context.machine(node)
    quoted = shlex.quote(folder)
    kept = shlex.quote(f"/var/tmp/lab-fault{folder.replace('/', '-')}")
    script = _EMPTY.format(folder=quoted, kept=kept, filler=_FILLER)
    machine.run(script, within=COPY, check=True)
    left = machine.run(f"findmnt -n -o SOURCE -- {quoted}").stdout.startswith("lab-full")
    return f"{folder} is still the full file system" if left else ""


@fault("the disk of {node} is full at {folder}", heal=_has_room)
def fill_disk(context: Context, node: Node, folder: str) -> None:
    """The folder, with what is in it, is on a small file system of its own with no room left.

    The disk itself is spared: a container's is the disk of the machine that it runs on.
    Files that are open already go on where they are.
    """
    script = _FILL.format(folder=shlex.quote(folder), filler=_FILLER)
    context.machine(node).run(script, within=COPY, check=True)
