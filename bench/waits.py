"""What the walk-through waits for, as a shell script does it: functions of bash, and their use.

A wait is for what comes about by itself: by the cluster, a guest, a daemon that starts. It is for
the same fact as lab's check of that name, by crm_mon's XML, virsh, ssh and what else one has at
hand. What the commands have done by the time they end is no wait; see LOOKS.
"""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from typing import Any

from lab import pacemaker, vms
from lab.errors import LabError
from lab.lab import Lab
from lab.plan import Use

# Checks of what is there as soon as the commands have ended, and of lab's own record. The script
# leaves them out: to look at all that, too, is what lab takes longer for.
LOOKS = frozenset(
    (
        *("answers", "printed", "not_printed"),
        *("corosync_conf", "file", "file_lacks", "no_file", "same_file"),
        *("package_absent", "package_installed", "software_version"),
        *("ports_closed", "ports_open"),
        *("crm_mon_on", "dummies_real", "property_is", "recovery", "service"),
    )
)

# `remote` is plain ssh to a node, $first the cluster node that is asked, $was what was before.
SHELL = f"""\
declare -A was
mon() {{  # the cluster's status as XML; false where there is none
    local xml; xml=$(remote -n "$first" crm_mon --output-as=xml)
    [[ $xml == *"<summary>"* ]] && echo "$xml"
}}
# These read that XML.
dc_of() {{ sed -n 's/.*<current_dc present="true".* name="\\([^"]*\\)".*/\\1/p'; }}
node() {{ grep -E "<node name=\\"$1\\" .*online=\\"true\\""; }}
well() {{ node "$1" | grep -Evq '(unclean|standby|maintenance|pending)="true"'; }}
place() {{  # NAME [PATTERN]: the nodes of a resource that is started, and of which more is true
    sed -n "\\#<resource id=\\"$1\\" .* role=\\"Started\\".*${{2:-}}#,\\#</resource>#p" |
        sed -n 's/.*<node name="\\([^"]*\\)".*/\\1/p'
}}
at() {{ [ "$(place "$1" 'failed="false"')" = "$2" ]; }}
# And these look, once.
dc() {{
    local xml; xml=$(mon) && [ "$(dc_of <<< "$xml")" = "$1" ] && node "$1" <<< "$xml"
}}
no_dc() {{ local xml; xml=$(mon) && [ -z "$(dc_of <<< "$xml")" ]; }}
online() {{
    local xml one; xml=$(mon) || return 1
    for one; do well "$one" <<< "$xml" || return 1; done
}}
lost() {{ local xml; xml=$(mon) && ! node "$1" <<< "$xml"; }}
guest() {{  # GUEST HOST: it is online, and so are its machine and its connection there
    local xml machine; xml=$(mon) && well "$1" <<< "$xml" &&
        machine=$(node "$1" <<< "$xml" | sed -n 's/.* id_as_resource="\\([^"]*\\)".*/\\1/p') &&
        [ -n "$machine" ] && [ "$(place "$machine" <<< "$xml")" = "$2" ] &&
        [ "$(place "$1" <<< "$xml")" = "$2" ]
}}
configured() {{
    local xml; xml=$(mon) && grep -q "<nodes_configured number=\\"$1\\"" <<< "$xml" &&
        grep -q "<resources_configured number=\\"$2\\"" <<< "$xml"
}}
failed() {{ mon | grep -Eq "<failure op_key=\\"$1_$2_[0-9]+\\""; }}
none_failed() {{ local xml; xml=$(mon) && ! grep -q '<failure ' <<< "$xml"; }}
none_failed_of() {{
    local xml; xml=$(mon) && grep -q "<resource id=\\"$1\\" " <<< "$xml" &&
        ! grep -Eq "<failure op_key=\\"$1_[a-z-]+_[0-9]+\\"" <<< "$xml"
}}
started() {{ local xml; xml=$(mon) && at "$1" "$2" <<< "$xml"; }}
stopped() {{ mon | grep -Eq "<resource id=\\"$1\\" .* role=\\"Stopped\\""; }}
spread() {{  # "RESOURCES" "NODES": each is started on one of the nodes, each node has some
    local xml one node used=" "; xml=$(mon) || return 1
    for one in $1; do
        for node in $2; do at "$one" "$node" <<< "$xml" && used+="$node " && continue 2; done
        return 1
    done
    for node in $2; do [[ $used == *" $node "* ]] || return 1; done
}}
settled() {{
    local xml dc; xml=$(mon) && dc=$(dc_of <<< "$xml") && [ -n "$dc" ] &&
        ! grep -Eq '<resource .* role="[A-Za-z]*ing"' <<< "$xml" &&
        [[ $(remote -n "$first" "crmadmin --status=$dc") == *S_IDLE* ]] &&
        remote -n "$first" crm_resource --wait --timeout=3
}}
cluster_stopped() {{
    local one
    for one; do
        remote -n "$one" "pgrep -x '{pacemaker.PROCESSES}'"; [ $? = 1 ] || return 1
    done
}}
domain() {{ [ "$(remote -n "$1" virsh domstate "$2")" = "$3" ]; }}
process() {{  # HOST GUEST: that of its QEMU
    local file={vms.Place.sockets}/$2.pid
    remote -n "$1" "pid=\\$(cat $file) && cut -d' ' -f1,22 /proc/\\$pid/stat"
}}
boot() {{ remote -n "${{@:2}}" "$1" {vms.VirtualMachines.boot_is}; }}
init() {{ remote -n "$1" "cut -d' ' -f22 /proc/1/stat"; }}
restarted() {{
    local now; now=$(process "$1" "$2") && [ "$now" != "${{was[process $2]}}" ] &&
        now=$(boot "$2" -o ControlPath=none) && [ "$now" != "${{was[boot $2]}}" ]
}}
rebooted() {{
    local now; now=$(init "$1") && [ "$now" != "${{was[init $1]}}" ] &&
        [[ $(remote -n "$1" systemctl is-system-running) =~ ^(running|degraded)$ ]]
}}
libvirt() {{ remote -n "$1" virsh version; }}
listens() {{ [ -n "$(remote -n "$1" "ss -Hltn 'sport = :$2'")" ]; }}
pings() {{ remote -n "$1" ping -n -c 1 -W 2 "$2"; }}
ssh_works() {{
    [ "$(remote -n "$1" ssh -o BatchMode=yes -o ConnectTimeout=5 "$2" hostname)" = "$3" ]
}}
connects() {{  # NODE ADDRESS PORT OUTCOME
    local said; said=$(remote -n "$1" "LC_ALL=C timeout 2 bash -c ': <> /dev/tcp/$2/$3' 2>&1") &&
        said=accepted
    [[ $said == *"$4"* ]]
}}
"""


class Waits:
    """For one lab. Each method has the name and the arguments of a check."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def remember(self, use: Use) -> list[str]:
        """The lines that note, before a part's commands, what a wait compares with."""
        match use.word.name, use.arguments:
            case "guest_restarted", {"guest": guest}:
                process = _note(f"process {guest}", f"process {self._host(guest)} {guest}")
                # A kept connection is not begun where its output is read: it would be waited for.
                return [process, f"login {guest}", _note(f"boot {guest}", f"boot {guest}")]
            case "rebooted", {"node": node}:
                return [_note(f"init {node}", f"init {node}")]
        return []

    def until(self, use: Use) -> str:
        """The command that says whether an expectation is true; '' for one of LOOKS."""
        if use.word.name in LOOKS:
            return ""
        return shlex.join(by_name(self, use))

    def dc(self, node: str) -> list[str]:
        return ["dc", node]

    def no_dc(self) -> list[str]:
        return ["no_dc"]

    def nodes_online(self, nodes: list[str]) -> list[str]:
        return ["online", *nodes]

    def node_lost(self, node: str) -> list[str]:
        return ["lost", node]

    def guest_online(self, guest: str, host: str) -> list[str]:
        return ["guest", guest, host]

    def configured(self, nodes: int, resources: int) -> list[str]:
        return ["configured", str(nodes), str(resources)]

    def failed_action(self, resource: str, operation: str) -> list[str]:
        return ["failed", resource, operation]

    def no_failed_actions(self) -> list[str]:
        return ["none_failed"]

    def no_failed_action_of(self, resource: str) -> list[str]:
        return ["none_failed_of", resource]

    def resource_started(self, resource: str, node: str) -> list[str]:
        return ["started", resource, node]

    def resources_spread(self, resources: list[str], nodes: list[str]) -> list[str]:
        return ["spread", " ".join(resources), " ".join(nodes)]

    def cluster_settled(self) -> list[str]:
        return ["settled"]

    def cluster_stopped(self, nodes: list[str]) -> list[str]:
        return ["cluster_stopped", *nodes]

    def domain_state(self, guest: str, state: str) -> list[str]:
        return ["domain", self._host(guest), guest, state]

    def guest_restarted(self, guest: str) -> list[str]:
        return ["restarted", self._host(guest), guest]

    def rebooted(self, node: str) -> list[str]:
        return ["rebooted", node]

    def libvirt_answers(self, host: str) -> list[str]:
        return ["libvirt", host]

    def listening(self, node: str, socket: str) -> list[str]:
        return ["listens", node, socket.removeprefix("tcp://")]

    def pings(self, source: str, to: str) -> list[str]:
        return ["pings", source, self._lab.address(to)]

    def ssh_works(self, source: str, to: str) -> list[str]:
        return ["ssh_works", source, self._lab.address(to), to]

    def connection(self, source: str, to: str, port: int, outcome: str) -> list[str]:
        said = {"refused": "Connection refused", "rejected": "No route to host"}
        return ["connects", source, self._lab.address(to), str(port), said.get(outcome, outcome)]

    def _host(self, guest: str) -> str:
        return self._lab.scenario.guests[guest].host


def by_name(owner: object, use: Use) -> Any:
    """What the owner's method of that name returns, given the arguments of a scenario's word.

    LabError where there is none, or it does not take them: nothing is left out in silence.
    """
    method: Callable[..., Any] | None = getattr(owner, use.word.name, None)
    try:
        if method is None:
            raise TypeError("there is no such word")
        call = inspect.signature(method).bind(**use.arguments)
    except TypeError as error:
        raise LabError(f"the plain script cannot do `{use.text}`: {error}") from error
    return method(*call.args, **call.kwargs)


def _note(what: str, command: str) -> str:
    return f"was[{what}]=$({command}) || fail {shlex.quote(f'cannot tell: {what}')}"
