"""The plain way: what somebody without a harness writes, one shell script over ssh.

It is made from the same plan as lab's run: the same commands, each by `ssh NODE COMMAND` over a
kept connection, the same actions, and the same waits (see bench.waits). It judges exit statuses
and waits, and nothing else: no files, packages or ports are looked at. A plan with something in
it that the script cannot do is an error, and not a shorter script.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.waits import SHELL, Waits, by_name
from lab import guests, kvm, vms
from lab.errors import LabError
from lab.lab import Lab
from lab.plan import PlannedCommand, PlannedPart, PlannedStep
from lab.providers import cgroups

MARK = "##"  # begins a line of the script's output: time, and the section that begins

_HEAD = """\
#!/bin/bash
set -u
remote() { ssh -F "$config" "$@" 2>> "$log"; }
fail() { echo "$*"; exit 1; }
# try SECONDS CONDITION...: look again and again until it is true
try() {
    local end=$((SECONDS + $1)); shift
    until "$@" > /dev/null; do
        [ $SECONDS -lt $end ] || fail "not in time: $*"
        sleep 0.1
    done
}
# typed STATUSES NODE COMMAND [FILE]: run a command, its input a file
typed() {
    remote "$2" "$3" < "${4:-/dev/null}" >> "$log"
    local status=$?
    [[ " $1 " == *" $status "* ]] || fail "on $2, exit status $status: $3"
}
login() { remote -n "$1" true; }
hang_up() { remote -O exit "$1" > /dev/null; true; }
mark() { echo "## $EPOCHREALTIME $1"; }
"""


class Plain:
    """Shell scripts for one lab, in a folder of their own."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self._waits = Waits(lab)
        self._acts = _Acts(lab, folder)
        config = folder / "ssh_config"
        kept = f"ControlMaster auto\nControlPath {folder}/%C\nControlPersist 300\n"
        config.write_text(kept + lab.access.ssh_config.read_text())
        first = next(iter(lab.scenario.nodes))
        self._head = (
            f"{_HEAD}{SHELL}config={config} log={folder}/log first={first}\n"
            f"trap 'hang_up {first}' EXIT\nlogin {first} || fail 'no login'\n"
        )

    def write(self, name: str, lines: list[str]) -> list[str]:
        """A script of these lines; the command line that runs it."""
        script = self.folder / name
        script.write_text(self._head + "\n".join(lines) + "\n")
        return ["bash", str(script)]

    def sections(self, steps: list[PlannedStep]) -> list[str]:
        """The lines for a plan's sections, each begun by a mark, and a mark at the end.

        LabError where the plan has something that the script cannot do.
        """
        lines = []
        for step in steps:
            lines.append(f"mark {step.section}")
            for part in step.parts:
                lines += self._part(part)
        return [*lines, "mark end"]

    def _part(self, part: PlannedPart) -> Iterator[str]:
        if part.faults or part.healed:
            raise LabError("the plain script cannot inject faults")
        for use in part.before:
            yield from self._await(self._waits.until(use), part.within)
        for use in part.expect:
            yield from self._waits.remember(use)
        for command in part.commands:
            if not command.omitted:
                yield self._typed(command)
        for use in part.acts:
            yield from by_name(self._acts, use)
        for use in part.expect:
            yield from self._await(self._waits.until(use), part.within)
            if use.word.name == "guest_online":  # it may be another boot of the guest
                yield f"hang_up {use.arguments['guest']}"

    def _await(self, condition: str, within: float) -> Iterator[str]:
        if condition:
            yield f"try {within:.0f} {condition}"

    def _typed(self, command: PlannedCommand) -> str:
        if len(command.nodes) != 1:
            raise LabError(f"the plain script cannot type on several nodes: {command.text}")
        words = ["typed", " ".join(map(str, command.exit)), command.nodes[0], command.text]
        if command.secret:
            file = self.folder / command.secret
            file.touch(mode=0o600)
            file.write_text(self.lab.access.secret(command.secret) + "\n")
            words.append(str(file))
        return shlex.join(words)


class _Acts:
    """Each method has the name and the arguments of an action, and yields the script's lines."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._folder = folder

    def reboot(self, node: str) -> Iterator[str]:
        podman = shlex.join([*cgroups.prefix(), "podman"])
        name = f"lab-{self._lab.name}-{node}"
        yield f"remote -n {node} systemctl reboot --no-block; hang_up {node}"
        yield f"{podman} wait {name} > /dev/null; {podman} start {name} > /dev/null"
        yield f"try 120 login {node}"

    def create_guest(self, guest: str) -> Iterator[str]:
        given = self._lab.scenario.guests[guest]
        seed, xml = self._folder / f"{guest}.seed", self._folder / f"{guest}.xml"
        seed.write_bytes(self._lab.access.seed(self._lab.scenario, guest))
        xml.write_text(vms.domain_xml(guest, given, vms.Place(), emulated=bool(kvm.missing())))
        disk, base = f"{vms.Place.disks}/{guest}", f"{guests.IMAGES}/guest.ext4"
        make = f"qemu-img create -q -f qcow2 -F raw -b {base} {disk}.qcow2"
        yield f"typed 0 {given.host} 'cat > {disk}.seed' {seed}"
        yield f"typed 0 {given.host} '{make}'"
        yield f"typed 0 {given.host} 'virsh define /dev/stdin' {xml}"
        yield f"typed 0 {given.host} 'virsh start {guest}'"

    def await_login(self, node: str, within: int = 480) -> Iterator[str]:
        yield f"try {within} login {node}"

    def shut_down_guest(self, guest: str, within: int = 120) -> Iterator[str]:
        host = self._lab.scenario.guests[guest].host
        yield f"hang_up {guest}; typed 0 {host} 'virsh shutdown {guest}'"
        yield f"try {within} domain {host} {guest} 'shut off'"

    def run(
        self, node: str, command: str, exits: Sequence[int] = (0,), within: int = 120
    ) -> Iterator[str]:
        del within  # for who waits for ever
        yield shlex.join(["typed", " ".join(map(str, exits)), node, command])
