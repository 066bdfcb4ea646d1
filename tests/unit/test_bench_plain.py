"""The plain script: it has all that the plan has, and its waits are for what lab's checks say."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench import waits
from bench.plain import Plain
from bench.waits import LOOKS, SHELL, Waits
from lab import checks, pacemaker, paths, plan, platforms, status
from lab.actions import action
from lab.context import Context
from lab.errors import LabError
from lab.lab import Lab
from lab.plan import PlannedStep, Use
from lab.scenario import load

DATA = Path(__file__).parent / "data"
HOST, GUEST = "example-host", "guest1"
GUESTS = load(paths.SCENARIOS / "guest-walkthrough.yaml")
CHECKS = checks.load()
WAITS = [name for name in vars(Waits) if not name.startswith("_")]
WAITS = [name for name in WAITS if name not in ("remember", "until")]


def lab(folder: Path) -> Lab:
    """As much of a lab as a script is made from."""
    config = folder / "lab_ssh_config"
    config.write_text("Host example-host\n")
    access = SimpleNamespace(
        ssh_config=config, secret=lambda name: "a password", seed=lambda scenario, node: b"a seed"
    )
    return cast(
        Lab,
        SimpleNamespace(
            name="a-lab", access=access, scenario=GUESTS, address=lambda node: GUESTS.address(node)
        ),
    )


def planned(platform: str = "debian-12") -> list[PlannedStep]:
    return plan.plan(GUESTS, platforms.load(platform))


def script(folder: Path, steps: list[PlannedStep]) -> list[str]:
    folder.mkdir(exist_ok=True)
    return Plain(lab(folder), folder).sections(steps)


def use(check: str, **arguments: Any) -> Use:
    return Use(*CHECKS.use({check: arguments}, [HOST, GUEST], [GUEST]))


# -- all of the plan ------------------------------------------------------------------------


@pytest.mark.parametrize("platform", platforms.names())
def test_all_that_the_walk_through_has_is_in_the_script(tmp_path: Path, platform: str) -> None:
    """Fails as soon as the scenario has a wait, an action or an argument that is new to it."""
    steps = planned(platform)
    lines = script(tmp_path, steps)
    marks = [line for line in lines if line.startswith("mark ")]
    assert marks == [f"mark {step.section}" for step in steps] + ["mark end"]
    parts = [part for step in steps for part in step.parts]
    uses = [one for part in parts for one in (*part.before, *part.expect)]
    awaited = [one for one in uses if one.word.name not in LOOKS]
    of_acts = sum(
        act.word.name in ("reboot", "await_login", "shut_down_guest")
        for part in parts
        for act in part.acts
    )
    assert sum(line.startswith("try ") for line in lines) == len(awaited) + of_acts
    typed = [command for part in parts for command in part.commands if not command.omitted]
    for command in typed:
        assert any(shlex.quote(command.text) in line for line in lines)
    file = Plain(lab(tmp_path), tmp_path).write("script", lines)[1]
    subprocess.run(["bash", "-n", file], check=True)


def test_a_part_is_in_labs_own_order(tmp_path: Path) -> None:
    """What must hold before, what is compared with, the commands, the actions, the waits."""
    online = use("guest_online", guest=GUEST, host=HOST)
    steps = changed(
        before=(use("configured", nodes=1, resources=0), use("no_file", node=HOST, path="/x")),
        commands=planned()[0].parts[0].commands[:1],
        acts=(Use(*action.use({"run": {"node": GUEST, "command": "true"}}, [HOST, GUEST])),),
        expect=(use("guest_restarted", guest=GUEST), online, use("printed", text="x")),
        within=90.0,
    )
    assert script(tmp_path, steps) == [
        "mark 4.1.1",
        "try 90 configured 1 0",
        f"was[process guest1]=$(process {HOST} guest1) || fail 'cannot tell: process guest1'",
        "login guest1",
        "was[boot guest1]=$(boot guest1) || fail 'cannot tell: boot guest1'",
        f"typed 0 {HOST} 'firewall-cmd --permanent --add-service=high-availability'",
        "typed 0 guest1 true",
        f"try 90 restarted {HOST} guest1",
        f"try 90 guest guest1 {HOST}",
        "hang_up guest1",
        "mark end",
    ]


def test_a_command_that_reads_a_password_gets_it(tmp_path: Path) -> None:
    (step,) = [step for step in planned() if step.section == "4.1.3"]
    (line,) = [line for line in script(tmp_path, [step]) if "chpasswd" in line]
    file = Path(shlex.split(line)[-1])
    assert file.read_text() == "a password\n"
    assert file.stat().st_mode & 0o777 == 0o600


def changed(**part: Any) -> list[PlannedStep]:
    """A plan of one section, otherwise than it was."""
    first = planned()[0]
    return [replace(first, parts=(replace(first.parts[0], **part),))]


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        (use("quorum"), "the cluster has quorum"),
        (use("resource_started", resource="FAKE1"), "missing a required argument: 'node'"),
        (
            use("failed_action", resource="r", operation="start", reason="x"),
            "unexpected keyword argument 'reason'",
        ),
    ],
)
@pytest.mark.parametrize("when", ["before", "expect"])
def test_a_wait_that_it_does_not_know_is_not_left_out(
    tmp_path: Path, expected: Use, says: str, when: str
) -> None:
    with pytest.raises(LabError, match=says):
        script(tmp_path, changed(**{when: (expected,)}))


@pytest.mark.parametrize("name", WAITS)
def test_each_wait_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One that the walk-through has no more is to be deleted, and one that it has is missed."""
    monkeypatch.delattr(Waits, name)
    with pytest.raises(LabError, match="there is no such word"):
        script(tmp_path, planned())


def test_each_look_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOOKS:
        monkeypatch.setattr(waits, "LOOKS", LOOKS - {name})
        with pytest.raises(LabError, match="there is no such word"):
            script(tmp_path, planned("debian-13"))


def test_an_action_a_fault_and_a_command_that_it_does_not_know(tmp_path: Path) -> None:
    given = {"node": HOST, "command": "true", "secret": "hacluster"}
    secret = Use(*action.use({"run": given}, [HOST, GUEST]))
    copy = Use(
        *action.use({"copy": {"source": HOST, "path": "/x", "nodes": [GUEST]}}, [HOST, GUEST])
    )
    command = replace(planned()[0].parts[0].commands[0], nodes=(HOST, GUEST))
    for plan_, says in (
        (changed(acts=(secret,)), "unexpected keyword argument 'secret'"),
        (changed(acts=(copy,)), "there is no such word"),
        (changed(commands=(command,)), "on several nodes: firewall-cmd"),
        (changed(faults=(copy,)), "cannot inject faults"),
    ):
        with pytest.raises(LabError, match=says):
            script(tmp_path, plan_)


# -- the same facts: shell and check, of one status -----------------------------------------

STARTED = (DATA / "crm_mon-2.1.5-started.xml").read_text()
FAKES = [f"FAKE{number}" for number in range(1, 6)]
USES = [
    use("dc", node=HOST),
    use("dc", node=GUEST),
    use("no_dc"),
    use("nodes_online", nodes=[HOST]),
    use("nodes_online", nodes=[HOST, GUEST]),
    use("node_lost", node=GUEST),
    use("guest_online", guest=GUEST, host=HOST),
    use("configured", nodes=2, resources=7),
    use("failed_action", resource=GUEST, operation="monitor"),
    use("no_failed_actions"),
    use("no_failed_action_of", resource=GUEST),
    use("no_failed_action_of", resource="vm-guest1"),
    use("resource_started", resource="vm-guest1", node=HOST),
    use("resource_started", resource="FAKE3", node=GUEST),
    use("resource_started", resource="FAKE3", node=HOST),
    use("resources_spread", resources=FAKES, nodes=[HOST, GUEST]),
    use("resources_spread", resources=["FAKE1", "FAKE5"], nodes=[HOST, GUEST]),
    use("cluster_settled"),
]


def of(name: str, **attributes: str) -> tuple[str, str]:
    """A change of a node's or a resource's attributes, as (what it was, what it is)."""
    opening = rf'<(node name|resource id)="{name}" .*(online|role)='
    line = next(one for one in STARTED.splitlines() if re.search(opening, one))
    found = line
    for key, value in attributes.items():
        found = re.sub(rf' {key}="[^"]*"', f' {key}="{value}"', found, count=1)
    assert found != line
    return line, found


def also_on(resource: str, node: str) -> tuple[str, str]:
    line = next(one for one in STARTED.splitlines() if f'<resource id="{resource}"' in one)
    return line, f'{line}\n      <node name="{node}" id="{node}" cached="true"/>'


def moved(resource: str, source: str, to: str) -> tuple[str, str]:
    line = next(one for one in STARTED.splitlines() if f'<resource id="{resource}"' in one)
    return f'{line}\n      <node name="{source}"', f'{line}\n      <node name="{to}"'


def failure(key: str) -> tuple[str, str]:
    line = (
        f'<failures>\n    <failure op_key="{key}" node="{HOST}" exitstatus="error"/>\n  </failures>'
    )
    return "<status code", f"{line}\n  <status code"


STATES: dict[str, str] = {
    "started": STARTED,
    "lost": (DATA / "crm_mon-2.1.5-guest-lost.xml").read_text(),
    "recovered": (DATA / "crm_mon-2.1.5-recovered.xml").read_text(),
    "no cluster": (DATA / "crm_mon-2.1.5-not-connected.xml").read_text(),
    "nothing": "",
} | {
    name: STARTED.replace(*change, 1)
    for name, change in {
        "no DC": ('<current_dc present="true"', '<current_dc present="false"'),
        "another DC": (f'" name="{HOST}" id="1" with_q', f'" name="{GUEST}" id="1" with_q'),
        "host offline": of(HOST, online="false"),
        "host unclean": of(HOST, unclean="true"),
        "guest in standby": of(GUEST, standby="true"),
        "guest in maintenance": of(GUEST, maintenance="true"),
        "guest pending": of(GUEST, pending="true"),
        "guest in standby after a failure": of(GUEST, standby_onfail="true"),
        "a remote node": (' id_as_resource="vm-guest1"', ""),
        "machine starting": of("vm-guest1", role="Starting"),
        "connection starting": (
            '<resource id="guest1" resource_agent="ocf:pacemaker:remote" role="Started"',
            '<resource id="guest1" resource_agent="ocf:pacemaker:remote" role="Starting"',
        ),
        "FAKE3 failed": of("FAKE3", failed="true"),
        "FAKE3 to be started": of("FAKE3", role='Stopping" target_role="Started'),
        "FAKE3 moved": moved("FAKE3", GUEST, HOST),
        "FAKE3 on both": also_on("FAKE3", HOST),
        "machine on both": also_on("vm-guest1", GUEST),
        "all on the guest": of("FAKE5", role="Stopped"),
        "other nodes": ('<nodes_configured number="2"', '<nodes_configured number="12"'),
        "other resources": ('configured number="7"', 'configured number="77"'),
        "a failure of another": failure("guest10_monitor_30000"),
        "a failed start": failure("guest1_start_0"),
        "the machine failed": failure("vm-guest1_monitor_10000"),
    }.items()
}  # fmt: skip


class Node:
    """Commands by ssh are run by this machine's shell, with the stubs of a folder first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stub(
            "ssh",
            "while :; do case $1 in -F|-o|-O) shift 2 ;; -n) shift ;; *) break ;; esac; done\n"
            'node=$1; shift; export node; exec sh -c "$*"',
        )

    def stub(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def run(self, lines: str) -> subprocess.CompletedProcess[str]:
        """Lines of bash after all of the script's functions."""
        plain = Plain(lab(self.folder), self.folder)
        head = plain.write("script", [lines])
        environment = {"PATH": f"{self.folder}:/usr/local/sbin:/usr/sbin:/usr/bin:/bin"}
        return subprocess.run(
            head, env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    def true(self, condition: str, before: str = "") -> bool:
        done = self.run(f"{before}\nif {condition} > /dev/null; then echo yes; else echo no; fi")
        assert done.stdout in ("yes\n", "no\n"), done.stderr
        return done.stdout == "yes\n"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


class Told:
    """A lab whose cluster has that status, and has nothing left to do."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked = HOST
        self.scenario = GUESTS

    def status(self) -> status.ClusterStatus:
        return status.parse(self.text)

    def machine(self, _name: str) -> Any:
        return SimpleNamespace(run=self.run)

    def run(self, command: str) -> Any:
        idle = "S_IDLE" if command.startswith("crmadmin") else ""
        return SimpleNamespace(exit=0, stdout=idle, output=idle)


def by_check(one: Use, text: str) -> bool:
    try:
        return bool(one.word.function(Context(cast(Lab, Told(text))), **one.arguments).ok)
    except LabError:
        return False


@pytest.mark.parametrize("state", STATES)
def test_the_script_says_of_the_cluster_what_labs_checks_say(node: Node, state: str) -> None:
    text = STATES[state]
    (node.folder / "status.xml").write_text(text)
    node.stub("crm_mon", f"cat {node.folder}/status.xml")
    node.stub("crmadmin", "echo S_IDLE")
    node.stub("crm_resource", "exit 0")
    conditions = [Waits(lab(node.folder)).until(one) for one in USES]
    lines = [f"if {one} > /dev/null; then echo true; else echo false; fi" for one in conditions]
    said = node.run("\n".join(lines)).stdout.split()
    wanted = [str(by_check(one, text)).lower() for one in USES]
    assert dict(zip([one.text for one in USES], said, strict=True)) == dict(
        zip([one.text for one in USES], wanted, strict=True)
    )


def test_each_of_these_states_makes_a_difference() -> None:
    """Or it would not show anything; and each use is true in one of them, and false in another."""
    told = {name: [by_check(one, text) for one in USES] for name, text in STATES.items()}
    same = [name for name, said in told.items() if name != "started" and said == told["started"]]
    assert same == ["guest in standby after a failure"]  # that alone is no state of a node
    for number, one in enumerate(USES):
        assert {said[number] for said in told.values()} == {True, False}, one.text


# -- and of what is no cluster's status ------------------------------------------------------


def test_a_resource_that_is_to_be_stopped_is_not_stopped_yet(node: Node) -> None:
    """Its meta-attribute stands beside its role."""
    was, now = of("FAKE3", role='Started" target_role="Stopped')
    node.stub("crm_mon", f"cat {node.folder}/status.xml")
    (node.folder / "status.xml").write_text(STARTED.replace(was, now))
    assert node.true("started FAKE3 guest1")
    assert not node.true("stopped FAKE3")
    (node.folder / "status.xml").write_text(STARTED.replace(*of("FAKE3", role="Stopped")))
    assert node.true("stopped FAKE3")


@pytest.mark.parametrize(
    ("idle", "waited", "settled"),
    [
        ("Status of crmd@node1: S_IDLE (ok)", 0, True),
        ("Status of crmd@node1: S_TRANSITION_ENGINE (ok)", 0, False),
        ("Status of crmd@node1: S_IDLE (ok)", 124, False),
    ],
)
def test_settled(node: Node, idle: str, waited: int, settled: bool) -> None:
    (node.folder / "status.xml").write_text(STARTED)
    node.stub("crm_mon", f"cat {node.folder}/status.xml")
    node.stub("crmadmin", f"[ \"$*\" = --status={HOST} ] && echo '{idle}'")
    node.stub("crm_resource", f"[ \"$*\" = '--wait --timeout=3' ] && exit {waited}")
    assert node.true("settled") == settled


@pytest.mark.parametrize(("code", "stopped"), [(1, True), (0, False), (127, False), (2, False)])
def test_cluster_stopped(node: Node, code: int, stopped: bool) -> None:
    """Only who looked and found none says so."""
    node.stub("pgrep", f"[ \"$2\" = '{pacemaker.PROCESSES}' ] || exit 9; exit {code}")
    condition = Waits(lab(node.folder)).until(use("cluster_stopped", nodes=[HOST]))
    assert node.true(condition) == stopped


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("outcome", ["accepted", "refused", "rejected"])
def test_connection(node: Node, port: int, outcome: str) -> None:
    def until(port: int) -> str:
        asked = use("connection", source=HOST, to=GUEST, port=port, outcome=outcome)
        return Waits(lab(node.folder)).until(asked).replace("192.168.122.10", "127.0.0.1")

    assert node.true(until(port)) == (outcome == "accepted")
    assert node.true(until(1)) == (outcome == "refused")
    node.stub("timeout", "echo 'bash: connect: No route to host' >&2; exit 1")
    assert node.true(until(port)) == (outcome == "rejected")


def test_listening(node: Node, port: int) -> None:
    there = Waits(lab(node.folder)).until(use("listening", node=GUEST, socket=f"tcp://{port}"))
    if shutil.which("ss"):
        assert node.true(there)
    node.stub("ss", f'[ "$*" = "-Hltn sport = :{port}" ] && echo LISTEN 0 128')
    assert node.true(there)
    node.stub("ss", "exit 0")
    assert not node.true(there)


def test_other_waits(node: Node) -> None:
    asked = Waits(lab(node.folder))
    node.stub("virsh", '[ "$1" != domstate ] || echo "$state"; [ "$2" != gone ]')
    running = asked.until(use("domain_state", guest=GUEST, state="shut off"))
    assert node.true(running, "export state='shut off'")
    assert not node.true(running, "export state=running")
    assert node.true(asked.until(use("libvirt_answers", host=HOST)))
    node.stub("virsh", "exit 1")
    assert not node.true(asked.until(use("libvirt_answers", host=HOST)))
    pinged = asked.until(use("pings", source=HOST, to=GUEST))
    for code in (0, 1):
        node.stub("ping", f'[ "${{@: -1}}" = 192.168.122.10 ] || exit 2; exit {code}')
        assert node.true(pinged) == (code == 0)


@pytest.mark.parametrize("answer", ["guest1", "example-host", ""])
def test_ssh_works(node: Node, answer: str) -> None:
    """The node's own ssh is this stub, too."""
    node.stub("hostname", f"echo {answer}")
    condition = Waits(lab(node.folder)).until(use("ssh_works", source=HOST, to=GUEST))
    assert node.true(condition) == (answer == "guest1")


@pytest.mark.parametrize(
    ("process", "boot", "restarted"),
    [("7 9", "b", True), ("7 8", "b", False), ("7 9", "a", False), ("", "b", False)],
)
def test_guest_restarted(node: Node, process: str, boot: str, restarted: bool) -> None:
    asked, one = Waits(lab(node.folder)), use("guest_restarted", guest=GUEST)
    node.stub("cut", f"[ ! -e {node.folder}/later ] && echo 7 8 || echo {process} | grep .")
    node.stub(
        "cat",
        f"""case $1 in
        /run/*.pid) echo 7 ;;
        *boot_id) [ ! -e {node.folder}/later ] && echo a || echo {boot} ;;
    esac""",
    )
    notes = "\n".join([*asked.remember(one), f"touch {node.folder}/later"])
    assert node.true(asked.until(one), notes) == restarted


def test_what_cannot_be_remembered_ends_the_script(node: Node) -> None:
    asked, one = Waits(lab(node.folder)), use("guest_restarted", guest=GUEST)
    done = node.run("\n".join([*asked.remember(one), "echo on"]))
    assert (done.returncode, done.stdout) == (1, "cannot tell: process guest1\n")


@pytest.mark.parametrize(
    ("start", "state", "up"),
    [
        ("2", "running", True),
        ("2", "degraded", True),
        ("2", "starting", False),
        ("1", "running", False),
    ],
)
def test_rebooted(node: Node, start: str, state: str, up: bool) -> None:
    asked, one = Waits(lab(node.folder)), use("rebooted", node=HOST)
    node.stub("cut", f"[ ! -e {node.folder}/later ] && echo 1 || echo {start}")
    node.stub("systemctl", f"echo {state}")
    notes = "\n".join([*asked.remember(one), f"touch {node.folder}/later"])
    assert node.true(asked.until(one), notes) == up


# -- the script's own work ------------------------------------------------------------------


def test_a_wait_goes_on_until_it_is_true_or_late(node: Node) -> None:
    node.stub("third", f"echo >> {node.folder}/tries; [ $(wc -l < {node.folder}/tries) -ge 3 ]")
    assert node.run("try 20 third; mark end").stdout.startswith("## ")
    done = node.run("try 0 false; echo on")
    assert (done.returncode, done.stdout) == (1, "not in time: false\n")


def test_a_command_that_ends_otherwise_than_it_should(node: Node) -> None:
    assert node.run("typed '0 255' n 'exit 255'; echo on").stdout == "on\n"
    done = node.run("typed 0 n 'exit 255'; echo on")
    assert (done.returncode, done.stdout) == (1, "on n, exit status 255: exit 255\n")


def test_the_functions_are_the_scripts(tmp_path: Path) -> None:
    text = Path(Plain(lab(tmp_path), tmp_path).write("script", [])[1]).read_text()
    assert SHELL in text
