"""The plain way: what somebody without a harness writes, one shell script over ssh.

It is made from the same plan: each command by `ssh NODE COMMAND` over a kept connection, and
loops on crm_mon, virsh and ssh for what a section waits for. It judges exit statuses and
waits, and nothing else: no files, packages or ports are looked at.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from lab import guests, kvm, vms
from lab.lab import Lab
from lab.plan import PlannedCommand, PlannedPart, PlannedStep, Use
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
mon() { remote -n "$first" crm_mon --output-as=xml; }
dc() { mon | grep -Eq "<current_dc present=\\"true\\".* name=\\"$1\\""; }
node_is() { mon | grep -Eq "<node name=\\"$1\\".* online=\\"$2\\""; }
configured() {
    local xml; xml=$(mon)
    grep -q "<nodes_configured number=\\"$1\\"" <<< "$xml" &&
        grep -q "<resources_configured number=\\"$2\\"" <<< "$xml"
}
failed() { mon | grep -q "<failure .*op_key=\\"$1_$2_"; }
none_failed() { local xml; xml=$(mon) && ! grep -q '<failure ' <<< "$xml"; }
place() {  # the nodes of a resource that is started; reads XML
    grep -A1 -E "<resource id=\\"$1\\".* role=\\"Started\\".* failed=\\"false\\"" |
        sed -n 's/.*<node name="\\([^"]*\\)".*/\\1/p'
}
started() { [ "$(mon | place "$1")" = "$2" ]; }
stopped() { mon | grep -Eq "<resource id=\\"$1\\".* role=\\"Stopped\\""; }
spread() {  # "RESOURCES" "NODES"
    local xml found=" " one; xml=$(mon)
    for one in $1; do
        local at; at=$(place "$one" <<< "$xml"); [ -n "$at" ] || return 1
        found+="$at "
    done
    for one in $2; do [[ $found == *" $one "* ]] || return 1; done
}
domain() { [ "$(remote -n "$1" virsh domstate "$2")" = "$3" ]; }
boot_of() { remote -n -o ControlPath=none "$1" cat /proc/sys/kernel/random/boot_id; }
booted() { local now; now=$(boot_of "$1") && [ "$now" != "$2" ]; }
up() { [[ $(remote -n "$1" systemctl is-system-running) =~ ^(running|degraded)$ ]]; }
login() { remote -n "$1" true; }
hang_up() { remote -O exit "$1" > /dev/null; true; }
mark() { echo "## $EPOCHREALTIME $1"; }
"""


class Plain:
    """Shell scripts for one lab, in a folder of their own."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        config = folder / "ssh_config"
        kept = f"ControlMaster auto\nControlPath {folder}/%C\nControlPersist 300\n"
        config.write_text(kept + lab.access.ssh_config.read_text())
        first = next(iter(lab.scenario.nodes))
        self._head = (
            _HEAD + f"config={config} log={folder}/log first={first}\n"
            f"trap 'hang_up {first}' EXIT\nlogin {first} || fail 'no login'\n"
        )

    def write(self, name: str, lines: list[str]) -> list[str]:
        """A script of these lines; the command line that runs it."""
        script = self.folder / name
        script.write_text(self._head + "\n".join(lines) + "\n")
        return ["bash", str(script)]

    def sections(self, steps: list[PlannedStep]) -> list[str]:
        """The lines for a plan's sections, each begun by a mark, and a mark at the end."""
        lines = []
        for step in steps:
            lines.append(f"mark {step.section}")
            for part in step.parts:
                lines += self._part(part)
        return [*lines, "mark end"]

    def _part(self, part: PlannedPart) -> Iterator[str]:
        for use in part.expect:
            if use.word.name == "guest_restarted":
                guest = use.arguments["guest"]
                yield f"{_variable(guest)}=$(boot_of {guest})"
        for command in part.commands:
            if not command.omitted:
                yield self._typed(command)
        for use in part.acts:
            yield from self._act(use)
        for use in part.expect:
            if condition := self._condition(use):
                yield f"try {part.within:.0f} {condition}"
            if use.word.name == "guest_online":  # it may be another boot of the guest
                yield f"hang_up {use.arguments['guest']}"

    def _typed(self, command: PlannedCommand) -> str:
        words = ["typed", " ".join(map(str, command.exit)), command.nodes[0], command.text]
        if command.secret:
            file = self.folder / command.secret
            file.touch(mode=0o600)
            file.write_text(self.lab.access.secret(command.secret) + "\n")
            words.append(str(file))
        return shlex.join(words)

    def _act(self, use: Use) -> Iterator[str]:
        given = use.arguments
        match use.word.name:
            case "reboot":
                node = given["node"]
                podman = shlex.join([*cgroups.prefix(), "podman"])
                name = f"lab-{self.lab.name}-{node}"
                yield f"remote -n {node} systemctl reboot --no-block; hang_up {node}"
                yield f"{podman} wait {name} > /dev/null; {podman} start {name} > /dev/null"
                yield f"try 120 login {node}"
            case "create_guest":
                yield from self._create(given["guest"])
            case "await_login":
                yield f"try {given.get('within', 240)} login {given['node']}"
            case "shut_down_guest":
                guest = given["guest"]
                host = self.lab.scenario.guests[guest].host
                yield f"hang_up {guest}; typed 0 {host} 'virsh shutdown {guest}'"
                yield f"try {given.get('within', 120)} domain {host} {guest} 'shut off'"
            case "run":
                yield shlex.join(["typed", "0", given["node"], given["command"]])
            case other:
                raise NotImplementedError(f"the plain script does not know the action {other}")

    def _create(self, name: str) -> Iterator[str]:
        guest = self.lab.scenario.guests[name]
        seed, xml = self.folder / f"{name}.seed", self.folder / f"{name}.xml"
        seed.write_bytes(self.lab.access.seed(self.lab.scenario, name))
        xml.write_text(vms.domain_xml(name, guest, vms.Place(), emulated=bool(kvm.missing())))
        disk, base = f"{vms.Place.disks}/{name}", f"{guests.IMAGES}/guest.ext4"
        make = f"qemu-img create -q -f qcow2 -F raw -b {base} {disk}.qcow2"
        yield f"typed 0 {guest.host} 'cat > {disk}.seed' {seed}"
        yield f"typed 0 {guest.host} '{make}'"
        yield f"typed 0 {guest.host} 'virsh define /dev/stdin' {xml}"
        yield f"typed 0 {guest.host} 'virsh start {name}'"

    def _condition(self, use: Use) -> str:
        """The wait for an expectation; '' for what already holds when the command has ended."""
        given = use.arguments
        match use.word.name:
            case "dc":
                return f"dc {given['node']}"
            case "nodes_online":
                return f"node_is {given['nodes'][0]} true"
            case "guest_online":
                return f"node_is {given['guest']} true"
            case "node_lost":
                return f"node_is {given['node']} false"
            case "configured":
                return f"configured {given['nodes']} {given['resources']}"
            case "failed_action":
                return f"failed {given['resource']} {given['operation']}"
            case "no_failed_actions":
                return "none_failed"
            case "resource_started":
                return f"started {given['resource']} {given['node']}"
            case "resource_role" if given["role"] == "Stopped":
                return f"stopped {given['resource']}"
            case "resources_spread":
                names = [" ".join(given[key]) for key in ("resources", "nodes")]
                return shlex.join(["spread", *names])
            case "domain_state":
                host = self.lab.scenario.guests[given["guest"]].host
                return f"domain {host} {given['guest']} '{given['state']}'"
            case "guest_restarted":
                return f'booted {given["guest"]} "${_variable(given["guest"])}"'
            case "rebooted":
                return f"up {given['node']}"
            case "libvirt_answers":
                return f"remote -n {given['host']} virsh version"
            case "pings":
                address = self.lab.address(given["to"])
                return f"remote -n {given['source']} ping -n -c 1 -W 2 {address}"
            case "ssh_works":
                address = self.lab.address(given["to"])
                return f"remote -n {given['source']} ssh -o BatchMode=yes {address} hostname"
            case "connection" if given["outcome"] == "accepted":
                address = self.lab.address(given["to"])
                return f"remote -n {given['source']} nc -z -w 1 {address} {given['port']}"
            case _:
                return ""


def _variable(guest: str) -> str:
    """The shell's variable for a guest's boot."""
    return "boot_" + guest.replace("-", "_")
