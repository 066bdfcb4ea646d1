"""What is kept of every machine and BMC when a section failed: enough to find out why."""

from __future__ import annotations

from pathlib import Path

from lab import bmc, pacemaker
from lab.errors import CommandFailed, LabError, Unreachable
from lab.lab import Lab
from lab.machine import Machine
from lab.survey import patience
from lab.together import on_each

_EACH = 20.0  # seconds for each command; on a guest more
# file name -> command; what a machine does not have fails and leaves its message in the file
_COMMANDS = {
    "journal.txt": "journalctl --no-pager -o short-precise -n 5000",
    "crm_mon.txt": "crm_mon -1rfA",
    "cib.xml": "cibadmin --query",
    "corosync.conf": "cat /etc/corosync/corosync.conf",
    "corosync.log": "cat /var/log/corosync/corosync.log /var/log/cluster/corosync.log 2>/dev/null",
    "pacemaker.log": "tail -n 5000 /var/log/pacemaker/pacemaker.log /var/log/pacemaker.log",
    "libvirt.txt": "virsh list --all; virsh -c lxc:/// list --all; "
    "tail -n 500 /var/log/libvirt/qemu/*.log /var/log/libvirt/lxc/*.log",
    "containers.txt": "podman images; podman ps --all; "
    "for one in $(podman ps --all --quiet); do podman inspect $one; done",
    "bundles.txt": "tail -n 1000 /var/log/pacemaker/bundles/*/*.log",
    "sockets.txt": "ss -tulpn",
    "firewall.txt": "firewall-cmd --list-all-zones",
    "processes.txt": "ps axfo pid,ppid,lstart,stat,args",
    "units.txt": "systemctl --no-pager --failed; systemctl --no-pager list-units",
}


def collect(lab: Lab, folder: str, section: str) -> Path:
    """Write what can be had from every node into `folder`/evidence-SECTION/NODE; that folder."""
    top = Path(folder) / f"evidence-{section}"
    top.mkdir(parents=True, exist_ok=True)
    on_each(lab, lab.scenario.names, lambda machine: _node(lab, machine, top / machine.name))
    if (lab.folder / bmc.LOG).exists():
        _write(lab, top / bmc.LOG, (lab.folder / bmc.LOG).read_text())
    return top


def _write(lab: Lab, file: Path, text: str) -> None:
    """Secrets are kept out: an agent may have one on its command line just when ps looks."""
    file.write_text(lab.access.without_secrets(text))


def _node(lab: Lab, machine: Machine, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    node = machine.name
    commands = {"crm_mon.xml": pacemaker.status_command(lab.platform), **_COMMANDS}
    within = _EACH * patience(lab, node)
    for name, line in commands.items():
        try:
            _write(lab, folder / name, machine.run(line, within=within).output)
        except Unreachable as error:
            _write(lab, folder / "unreachable.txt", error.message + "\n")
            break
        except CommandFailed as error:  # one that hangs says something too, and ends nothing
            _write(lab, folder / name, f"{error.output}\n{error.message}\n")
    if said := node in lab.scenario.nodes and lab.provider.console(lab.name, node):
        _write(lab, folder / "console.txt", said)
    if node in lab.scenario.guests:
        try:
            _write(lab, folder / "console.txt", lab.guests_of(node).console(node))
        except (LabError, OSError) as error:
            (folder / "console.txt").write_text(f"no console log: {error}\n")
