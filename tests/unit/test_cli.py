"""The command line: exit statuses and messages, without a lab that runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import (
    audits,
    bmc,
    checks,
    cli,
    faults,
    grammar,
    paths,
    platforms,
    providers,
    scenario,
    signature,
    snapshots,
    up,
)
from lab import doctor as doctors
from lab.actions import action
from lab.errors import Unreachable
from lab.events import RunEnded, RunStarted
from lab.lab import Lab
from lab.labs import held
from lab.machine import Machine
from lab.providers import Wire, libvirtd, network

ROOT = Path(__file__).resolve().parents[2]
WALK = "guest-walkthrough"
REQUIRE = doctors.require
SCENARIO = paths.SCENARIOS / f"{WALK}.yaml"


class NoMachines:
    """A provider of nothing. What would make or ask machines raises."""

    name = "podman"

    def labs(self) -> set[str]:
        return set()

    def down(self, lab: str) -> None:
        assert lab

    def running(self, lab: str) -> dict[str, bool]:
        assert lab
        return {}

    def guests(self) -> str:
        return "inside"

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the provider's {name} was asked for")


@dataclass
class Ended:
    """How a command line ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of this test's own, and a machine that has what lab needs."""
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(doctors, "require", lambda *_: None)
    known = providers.load

    def load(name: str) -> Any:
        known(name)  # BadInput for one that there is not
        return NoMachines()

    monkeypatch.setattr(providers, "load", load)
    return tmp_path / "state"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`lab …`, in this process."""

    def main(*arguments: str) -> Ended:
        try:
            status = cli.main(arguments)
        except SystemExit as error:  # --help and --version
            status = int(error.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Ended(status, said.out, said.err)

    return main


def python(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def arguments_of(of: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Every command that takes arguments of its own."""
    groups = [one for one in of._actions if isinstance(one, argparse._SubParsersAction)]
    below = [command for group in groups for command in group.choices.values()]
    return [one for command in below for one in arguments_of(command)] if below else [of]


def make_lab(name: str) -> Lab:
    return Lab.create(name, SCENARIO, "debian-12", "podman")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# -- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["upp"], "invalid choice: 'upp'"),
        (["up"], "required: SCENARIO"),
        (["up", WALK, "--untill", "4.1.1"], "unrecognized arguments: --untill"),
        (["completion", "fish"], "invalid choice: 'fish'"),
        (["exec", "example-host"], "required: COMMAND"),
        (["exec", "example-host"], "try: lab exec [--name LAB] NODE -- COMMAND"),
        (["exec", "example-host", "ls", "-l"], "put -- before COMMAND: -l is no option of lab"),
        (["inside", "virsh", "list", "--all"], "put -- before COMMAND: --all is no option of"),
        (["exec", "--nmae", "x", "example-host", "--", "ls", "-l"], "unrecognized arguments: --nm"),
        (["list", "extra"], "unrecognized arguments: extra\n  try: lab list --help"),
        (["fault", "list", "--al"], "unrecognized arguments: --al\n  try: lab fault list --help"),
        (["--al", "list"], "unrecognized arguments: --al\n  try: lab --help"),
        (["up", "walkthrough"], f"no scenario 'walkthrough'; did you mean {WALK}?"),
        (["up", "nothing-like-it"], f"scenarios: {', '.join(scenario.names())}, or"),
        (["up", "missing.yaml"], "there is no scenario file missing.yaml"),
        (
            ["up", WALK, "--platform", "beos-5"],
            "no platform 'beos-5'; choose one of: almalinux-9, ",
        ),
        (
            ["up", WALK, "--provider", "cloud"],
            "no provider 'cloud'; choose one of: auto, podman, vagrant",
        ),
        (["up", WALK, "--until", "9.9"], "no section '9.9'; sections: 4.1.1, 4.1.2,"),
        (["show", "walkthrough"], f"did you mean {WALK}?"),
        (["show", WALK, "--platform", "beos-5"], "choose one of: almalinux-9, centos-7, "),
        (
            ["words", "guest_onlin"],
            "no check, action, fault or audit 'guest_onlin'; valid: active_once,",
        ),
        (["down", "nemo", "--all"], "not both"),
        (["up", WALK, *["--platform", "debian-12"] * 2], "--platform is given twice: this comm"),
        (["show", WALK, *["--platform", "debian-12"] * 2], "--platform is given twice: this com"),
        (["report", "--output", ""], "argument --output: must not be empty"),
        (["report", "--output", "-", "--open"], "--open needs a file, and --output - writes none"),
        (["matrix", "--output", ""], "argument --output: must not be empty"),
    ],
)
def test_bad_input(run: Run, state: Path, arguments: list[str], says: str) -> None:
    ended = run(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("lab: ")
    assert says in ended.err
    assert not files(state)  # nothing is left behind that a next `lab up` would stumble over


@pytest.mark.parametrize("command", ["up", "show"])
def test_a_scenario_with_a_mistake(run: Run, tmp_path: Path, command: str) -> None:
    lines = SCENARIO.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if "within: 90s" in line)
    lines[number - 1] = lines[number - 1].replace("90s", "soon")
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(lines))
    ended = run(command, str(path))
    assert ended.status == 2
    assert f"{path}:{number}: section 4.3.1, within" in ended.err
    assert "'soon' is not a duration" in ended.err


@pytest.mark.parametrize(
    "name", ["Upper", "a.b", "-a", "a-", "a/b", "..", "/", "a b", "a\n", "x" * 43, "ä"]
)
def test_names_that_no_lab_can_have(run: Run, state: Path, name: str) -> None:
    ended = run("up", WALK, f"--name={name}")
    assert ended.status == 2
    assert "cannot name a lab" in ended.err
    assert "--name NAME" in ended.err
    assert not files(state)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "nemo"],
        ["ssh-config", "nemo"],
        ["ssh", "example-host", "--name", "nemo"],
        ["exec", "example-host", "--name", "nemo", "--", "true"],
        ["down", "nemo"],
    ],
)
def test_a_lab_that_there_is_not(run: Run, arguments: list[str]) -> None:
    make_lab("dory")
    ended = run(*arguments)
    assert ended.status == 2
    assert "there is no lab 'nemo'; labs: dory" in ended.err


@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        (["status"], "lab status NAME"),
        (["ssh-config"], "lab ssh-config NAME"),
        (["ssh", "example-host"], "--name NAME"),
        (["down"], "lab down NAME, or --all"),
        (["report"], "lab report NAME"),
    ],
)
def test_which_lab(run: Run, arguments: list[str], how: str) -> None:
    ended = run(*arguments)
    assert ended.status == 2
    assert "there is no lab\n  try: lab up SCENARIO" in ended.err
    make_lab("dory")
    make_lab("nemo")
    ended = run(*arguments)
    assert ended.status == 2
    assert f"say which lab: dory, nemo\n  try: {how}\n" in ended.err


@pytest.mark.parametrize("command", ["ssh", "exec"])
def test_a_node_that_there_is_not(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(os, "execvp", lambda *_: pytest.fail("ssh was run"))
    make_lab("nemo")
    ended = run(command, "guest2", *["id"] * (command == "exec"))
    assert ended.status == 2
    assert "lab nemo has no node 'guest2'; nodes: example-host, guest1" in ended.err


# -- names that are paths -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["..", ".", "nemo/", "../labs/nemo", "nemo/..", "{}/state/labs"])
def test_down_takes_names_and_no_paths(run: Run, state: Path, tmp_path: Path, name: str) -> None:
    """What is not a lab's name must not be taken for a folder to remove."""
    make_lab("nemo")
    before = files(state)
    ended = run("down", name.format(tmp_path))
    assert ended.status == 2
    assert "labs: nemo" in ended.err
    assert files(state) == before


def test_down_in_the_library_takes_names_and_no_paths(state: Path) -> None:
    from lab.labs import down

    make_lab("nemo")
    before = files(state)
    assert not any(down(name) for name in ("..", ".", "nemo/", str(state), ""))
    assert files(state) == before
    assert down("nemo")
    assert files(state) == {"labs"}


# -- this machine ---------------------------------------------------------------------------


@pytest.fixture
def needy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor is asked after all."""
    monkeypatch.setattr(doctors, "require", REQUIRE)


@pytest.mark.parametrize("arguments", [["up", WALK], ["down", "--all"], ["status"]])
def test_not_root(
    monkeypatch: pytest.MonkeyPatch, needy: None, run: Run, arguments: list[str]
) -> None:
    assert needy is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    ended = run(*arguments)
    assert ended.status == 3
    assert "lab needs root" in ended.err
    assert "sudo" in ended.err


def test_no_podman(monkeypatch: pytest.MonkeyPatch, needy: None, run: Run) -> None:
    assert needy is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        "shutil.which", lambda name: None if name == "podman" else f"/usr/bin/{name}"
    )
    ended = run("up", WALK)
    assert ended.status == 3
    assert "podman: machines are containers of podman" in ended.err
    assert "lab doctor --fix (or install: podman)" in ended.err


@pytest.mark.parametrize("lacking", ["vagrant", "libvirtd"])
def test_no_vagrant(
    monkeypatch: pytest.MonkeyPatch, needy: None, run: Run, state: Path, lacking: str
) -> None:
    assert needy is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        "shutil.which", lambda name: None if name in (lacking, "vagrant") else f"/usr/bin/{name}"
    )
    ended = run("up", WALK, "--provider", "vagrant")
    assert ended.status == 3
    assert ended.err.count("lab: ") == 1
    assert f"{lacking}: " in ended.err
    assert "lab doctor --fix --provider vagrant (or install: " in ended.err
    assert not files(state)


def test_the_provider_that_suits(run: Run, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on record under its own name, the line says why, and a lab that is there keeps it."""
    ups: list[str] = []

    def end(lab: Lab, _tell: object) -> None:
        ups.append(lab.record.provider)
        raise Unreachable("this far")

    monkeypatch.setattr(Lab, "up", end)
    monkeypatch.setattr("lab.kvm.missing", lambda: "no KVM in a test")
    ended = run("up", WALK)
    assert "provider podman: no KVM in a test" in ended.out
    assert json.loads((state / "labs" / WALK / "lab.json").read_text())["provider"] == "podman"
    ended = run("up", WALK, "--provider", "auto")
    assert "no KVM in a test" not in ended.out
    assert ups == ["podman", "podman"]
    ended = run("up", WALK, "--provider", "vagrant")
    assert ended.status == 2
    assert "is there already, with provider podman, not vagrant" in ended.err
    ended = run("up", "scale", "--provider", "vagrant")
    assert ended.status == 2
    assert "provider vagrant: slim machines are containers" in ended.err
    assert not (state / "labs" / "scale").exists()


def test_no_provider_program_is_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system, where nobody expected one, names the file."""

    def broken(_name: str) -> Any:
        raise PermissionError(13, "Permission denied", "/run/lab/net")

    monkeypatch.setattr(providers, "load", broken)
    ended = run("list")
    assert ended.status == 3
    assert "Permission denied (/run/lab/net)" in ended.err


# -- damaged labs ---------------------------------------------------------------------------


DAMAGED = {
    "": "Expecting value",
    "{": "Expecting property name",
    "[]": "it should be a mapping",
    "null": "it should be a mapping",
    '{"name": "nemo"}': "scenario: is missing",
    '{"x": 1}': "name: is missing",
    "\0": "",
    "[" * 100_000: "it is nested too deeply",
    "\ud800": "Expecting value",
}
WRONG = [
    ("done", 5, "done: should be a list"),
    ("done", [5], "done.0: should be text"),
    ("name", "dory", "name: it is 'dory', in the folder of nemo"),
    ("name", ["nemo"], "name: should be text"),
    ("scenario", "a\0b", "scenario: String should match"),
    ("created", "x", "created: Input should be a valid number"),
    ("created", 1e300, "created: Input should be less than"),
    ("created", float("nan"), "created: Input should be a finite number"),
    ("remotes", "many", "remotes: Input should be a valid integer"),
    ("zzz", 1, "zzz: is nothing that this version of lab knows"),
]


@pytest.mark.parametrize("command", [["status"], ["up", WALK, "--name"]])
@pytest.mark.parametrize(("key", "value", "says"), WRONG)
def test_a_lab_with_a_wrong_value(
    run: Run, state: Path, command: list[str], key: str, value: object, says: str
) -> None:
    make_lab("nemo")
    file = state / "labs" / "nemo" / "lab.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    ended = run(*command, "nemo")
    assert ended.status == 3
    assert f"{file} is damaged: {says}" in ended.err
    assert ended.err.endswith("try: lab down nemo removes what is left of it\n")
    (row,) = json.loads(run("list", "--json").out)["labs"]
    assert row["name"] == "nemo"
    assert says in row["problem"]


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize("command", ["status", "ssh-config"])
def test_a_damaged_lab(run: Run, state: Path, content: str, command: str) -> None:
    make_lab("nemo")
    file = state / "labs" / "nemo" / "lab.json"
    file.write_text(content, errors="surrogatepass")
    ended = run(command, "nemo")
    assert ended.status == 3
    assert f"{file} is damaged: {DAMAGED[content]}" in ended.err
    assert "try: lab down nemo" in ended.err
    listed = run("list", "--json")
    assert listed.status == 0
    (row,) = json.loads(listed.out)["labs"]
    assert row["name"] == "nemo"
    assert "damaged" in row["problem"]
    assert run("down", "nemo").status == 0
    assert files(state) == {"labs"}


# -- list -----------------------------------------------------------------------------------


def test_list_without_a_lab(run: Run) -> None:
    ended = run("list")
    assert ended.status == 0
    assert "no labs; lab up SCENARIO makes one" in ended.out
    assert WALK in ended.out


def test_list_json(run: Run) -> None:
    lab = make_lab("nemo")
    lab.record.done.append("4.1.1")
    lab.save()
    data = json.loads(run("list", "--json").out)
    assert set(data) == {"labs", "scenarios", "platforms"}
    (row,) = data["labs"]
    assert (row["name"], row["done"]) == ("nemo", ["4.1.1"])
    assert row["machines"] == {"example-host": False}
    assert row["sections"][:2] == ["4.1.1", "4.1.2"]
    assert data["platforms"] == platforms.names()
    assert WALK in [entry["scenario"] for entry in data["scenarios"]]


@pytest.mark.parametrize("columns", [None, "0", "80"])
def test_list_tells_problems_below_the_table(
    run: Run, state: Path, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    """At their full width; and a terminal of no width is one of which nothing is known."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    make_lab("nemo")
    (make_lab("dory").folder / "lab.json").write_text("{")
    ended = run("list")
    lines = [line.rstrip() for line in ended.out.splitlines()]
    assert any(re.match(r"nemo +guest-walkthrough", line) for line in lines)
    assert "dory  see below" in lines
    (problem,) = [line for line in lines if line.startswith("dory: ")]
    assert str(state / "labs" / "dory") in problem
    assert any(line.startswith("vm-remote-nodes") for line in lines)


def test_down_all_without_a_lab(run: Run) -> None:
    ended = run("down", "--all")
    assert (ended.status, ended.out) == (0, "there is no lab\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["systemctl", "--no-pager", "status"], "systemctl --no-pager status"),
        (["sh", "-c", "a; b 'c'"], """sh -c 'a; b '"'"'c'"'"''"""),
        (["ls", "*.xml", "", "|"], "ls '*.xml' '' '|'"),
        (["crm_mon -1 | head; id"], "crm_mon -1 | head; id"),
        (["grep", "--", "-x", "--", "file"], "grep -- -x -- file"),
    ],
)
def test_exec_becomes_ssh(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], line: str
) -> None:
    """Several words arrive as those words, a single one is a line for the shell there."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _file, argv: became.append(argv))
    lab = make_lab("nemo")
    for name in ([], ["--name", "nemo"]):
        run("exec", "guest1", *name, "--", *words)
        assert became.pop() == ["ssh", "-F", str(lab.access.ssh_config), "guest1", line]


@pytest.mark.parametrize("command", [["exec", "node1"], ["inside"]])
def test_what_stands_behind_the_first_dashes_is_the_commands_own(command: list[str]) -> None:
    words = ["grep", "--name", "--", "-x", "--", "f"]
    for name in ([], ["--name", "nemo"]):
        assert grammar.parser().parse_args([*command, *name, "--", *words]).argv == words


def test_inside_becomes_the_program_where_libvirtd_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execvpe", lambda _file, argv, env: became.append((argv, env)))
    monkeypatch.setattr(network, "require", lambda _lab: None)
    monkeypatch.setattr(libvirtd, "revive", lambda _lab: True)
    monkeypatch.setenv("VAGRANT_LOG", "debug")
    Lab.create("nemo", SCENARIO, "debian-12", "vagrant")
    ended = run("inside", "--", "vagrant", "status", "--debug")
    assert ended.err == ""
    ((argv, env),) = became
    assert "VAGRANT_LOG" not in env
    assert env["LAB_NODES"] == f"{libvirtd.folder('nemo')}/nodes.json"
    assert argv == libvirtd.inside("nemo", ["vagrant", "status", "--debug"])


def test_inside_is_for_labs_of_virtual_machines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execvpe", lambda *_: pytest.fail("something was run"))
    make_lab("nemo")
    ended = run("inside", "--", "virsh", "list")
    assert ended.status == 2
    assert "lab nemo is of provider podman: it has no libvirtd of its own" in ended.err


# -- show, words ----------------------------------------------------------------------------


def test_show(run: Run) -> None:
    ended = run("show", WALK)
    assert ended.status == 0
    book = SCENARIO.read_text()
    lines = ended.out.splitlines()
    sections = [line.split()[0] for line in lines if line[:1] == "4" and line[1] == "."]
    assert sections == [line.split('"')[1] for line in book.splitlines() if "- section:" in line]
    assert "        [root@example-host ~]# firewall-cmd --reload" in lines
    assert "          instead of: yum install -y pacemaker corosync pcs resource-agents" in lines
    assert any(line.startswith("          because: Debian installs packages") for line in lines)
    assert "  expect: no failed action of vm-guest1 is recorded" in lines


def test_show_json(run: Run) -> None:
    data = json.loads(run("show", WALK, "--json").out)
    assert set(data) == {"platform", "cannot_run", "counts", "sections"}
    assert data["platform"] == "debian-12"
    parts = [part for section in data["sections"] for part in section["parts"]]
    commands = [command for part in parts for command in part["commands"]]
    for command in commands:
        assert set(command) == {"nodes", "run", "exit", "secret", "adapted", "book", "why"}
        assert command["adapted"] in (True, False)
        if command["adapted"]:
            assert len(command["why"]) >= 10
            assert command["book"] != [command["run"]]
        else:
            assert (command["book"], command["why"]) == ([command["run"]], "")
    verbatim = [command for command in commands if not command["adapted"]]
    assert data["counts"]["verbatim"] == len(verbatim) > 30
    assert data["counts"]["adapted"] > 0
    for section in data["sections"]:
        assert set(section) == {"section", "title", "origin", "parts"}
    for part in parts:
        assert set(part) == {
            *("before", "commands", "actions", "faults", "within", "expect", "healed")
        }
        assert part["commands"] or part["actions"] or part["expect"]


def test_words(run: Run) -> None:
    ended = run("words")
    assert ended.status == 0
    tables = {"check": checks.load(), "action": action, "fault": faults.load()}
    for kind, table in ((kind, vocabulary.words) for kind, vocabulary in tables.items()):
        for name, word in table.items():
            assert f"{kind} {name}: {signature.short(word)}\n" in ended.out
            assert word.about, f"{name} has no documentation"
    for name, audit in audits.TABLE.items():
        assert f"audit {name}\n    {audit.about.splitlines()[0]}" in ended.out
    one = run("words", "guest_online")
    assert one.out.startswith("check guest_online: {guest, host}\n    It is online")
    assert one.out.endswith("\n    guest: a guest's name\n    host: a node's name\n\n")
    assert "check dc" not in one.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(run: Run, shell: str) -> None:
    script = run("completion", shell).out
    assert "ssh-config" in script
    assert shell == "tcsh" or "--keep-going" in script  # shtab knows no options there
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("command", arguments_of(grammar.parser()))
def test_help_tells_of_every_argument(command: argparse.ArgumentParser) -> None:
    for one in command._actions:
        assert one.help, f"{command.prog}: {one.dest}"
        if one.metavar == "PLATFORM" and one.dest != "drift":
            assert ", ".join(platforms.names()) in one.help


def test_help_says_which_providers_there_are(run: Run) -> None:
    for command in ("up", "matrix", "doctor"):
        assert all(name in run(command, "--help").out for name in providers.names())


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("lab ")


# -- what is imported -----------------------------------------------------------------------


LOOK = """
import sys
from lab.cli import main
try:
    status = main({arguments})
except SystemExit as error:
    status = error.code
heavy = {heavy}
loaded = [name for name in heavy if name in sys.modules]
assert not loaded, loaded
assert not status, status
"""


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], ["pydantic", "rich", "yaml", "paramiko", "fabric", "libvirt", "lab.commands"]),
        (["up", "--help"], ["pydantic", "rich", "paramiko", "fabric", "libvirt"]),
        (["show", WALK], ["paramiko", "fabric", "testinfra", "libvirt", "pytest"]),
        (["show", WALK, "--json"], ["paramiko", "fabric", "testinfra", "libvirt", "pytest"]),
    ],
)
def test_what_is_not_imported(arguments: list[str], heavy: list[str]) -> None:
    done = python(LOOK.format(arguments=arguments, heavy=heavy))
    assert done.returncode == 0, done.stderr
    assert done.stdout


# -- fault ----------------------------------------------------------------------------------


@pytest.fixture
def nemo(monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab on disk, of which cables can be pulled: the only thing that its provider does."""
    cables = {"example-host": True}

    def cable(_provider: object, lab: str, node: str, *, plugged: bool) -> None:
        assert lab == "nemo"
        assert cables[node] in (True, False)  # KeyError for one that has none
        cables[node] = plugged

    def wiring(_provider: object, lab: str) -> dict[str, Wire]:
        assert lab == "nemo"
        return {node: Wire(plugged) for node, plugged in cables.items()}

    monkeypatch.setattr(NoMachines, "cable", cable, raising=False)
    monkeypatch.setattr(NoMachines, "wiring", wiring, raising=False)
    return make_lab("nemo")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["mend"], "invalid choice: 'mend'"),
        (["inject", "example-host"], "required: FAULT"),
        (["inject", "example-host", "gnaw"], "there is no fault 'gnaw'; faults: "),
        (["inject"], "the following arguments are required: NODE, FAULT\n"),
        (
            ["inject", "example-host", "cut", "x"],
            "cut takes NODE and nothing else\n  try: lab fault inject NODE cut\n",
        ),
        (
            ["inject", "example-host", "freeze"],
            "freeze takes NODE and PROCESS\n  try: lab fault inject NODE freeze PROCESS\n",
        ),
        (
            ["inject", "example-host", "delay", "soon"],
            "delay: milliseconds is a number, not 'soon'",
        ),
        (["inject", "example-host", "delay", "-5"], "delay: milliseconds is a number, not '-5'"),
        (["inject", "example-host", "delay", "²"], "delay: milliseconds is a number, not '²'"),
        (
            ["inject", "example-host", "partition"],
            "partition: groups should be two groups of nodes or more, none empty, and a node in",
        ),
        (["inject", "guest1", "power_off"], "guest1 is a guest; this fault is for machines: ex"),
        (["heal", "one"], "invalid int value: 'one'"),
        (["heal", "7"], "there is no fault 7; faults that stand: none"),
    ],
)
def test_bad_faults(
    run: Run, nemo: Lab, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.setattr(NoMachines, "partition", lambda *_: None, raising=False)
    monkeypatch.setattr(Lab, "power_on", lambda *_: None)
    ended = run("fault", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("lab: ")
    assert says in ended.err
    assert faults.standing(nemo) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["node7", "cut"], "there is no node 'node7'; nodes: example-host, guest1"),
        (["example-host/node7", "partition"], "there is no node 'node7'; nodes: example-host,"),
        (["guest1", "cut"], "guest1 is a guest; this fault is for machines: example-host"),
        (["example-host", "freeze", ""], "freeze: process must not be empty"),
    ],
)
def test_bad_nodes_of_faults(run: Run, nemo: Lab, arguments: list[str], says: str) -> None:
    ended = run("fault", "inject", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert says in ended.err
    assert faults.standing(nemo) == []


@pytest.mark.parametrize(
    "arguments", [["inject", "example-host", "cut"], ["list"], ["list", "--json"], ["heal"]]
)
def test_faults_of_which_lab(run: Run, arguments: list[str]) -> None:
    ended = run("fault", *arguments)
    assert ended.status == 2
    assert "there is no lab\n  try: lab up SCENARIO" in ended.err
    make_lab("dory")
    ended = run("fault", *arguments, "--name", "nemo")
    assert ended.status == 2
    assert "there is no lab 'nemo'; labs: dory" in ended.err
    make_lab("nemo")
    ended = run("fault", *arguments)
    assert ended.status == 2
    assert "say which lab: dory, nemo" in ended.err


def test_a_fault_by_hand(run: Run, nemo: Lab) -> None:
    said = run("fault", "inject", "example-host", "cut")
    assert (said.status, said.err) == (0, "")
    assert said.out == (
        "fault 1: the network cable of example-host is pulled\n"
        "lab fault heal 1 --name nemo heals it\n"
    )
    again = run("fault", "inject", "example-host", "cut")
    assert again.status == 3
    assert "this fault stands already: the network cable of example-host" in again.err
    assert "  try: lab fault heal 1" in again.err
    listed = run("fault", "list")
    assert "the network cable of example-host is pulled" in listed.out
    (row,) = json.loads(run("fault", "list", "--json").out)
    assert (row["number"], row["fault"], row["arguments"]) == (1, "cut", {"node": "example-host"})
    assert row["text"] == "the network cable of example-host is pulled"
    wrong = run("fault", "heal", "1", "2")
    assert wrong.status == 2
    assert "there is no fault 2; faults that stand: 1" in wrong.err
    assert len(faults.standing(nemo)) == 1  # the other one is not healed by the way
    healed = run("fault", "heal", "1")
    assert (healed.status, healed.out) == (
        0, "healed 1: the network cable of example-host is pulled\n",
    )  # fmt: skip
    assert run("fault", "list").out == "no fault stands\n"
    assert json.loads(run("fault", "list", "--json").out) == []
    assert (run("fault", "heal").status, run("fault", "heal").out) == (0, "no fault stands\n")


def test_what_is_not_healed_is_told_and_the_others_are_healed(
    run: Run, nemo: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("fault", "inject", "example-host", "cut")
    folder = nemo.folder / "faults"
    stuck = {"fault": "freeze", "arguments": {"node": "guest1", "process": "x"}, "at": 1.0}
    (folder / "7.json").write_text(json.dumps(stuck))
    monkeypatch.setattr(NoMachines, "running", lambda *_: {"example-host": True})

    def unreachable(*_: object) -> Machine:
        raise Unreachable("guest1 cannot be reached")

    monkeypatch.setattr(Lab, "machine", unreachable)
    ended = run("fault", "heal")
    assert ended.status == 1
    assert ended.err.count("x on guest1 is frozen: guest1 cannot be reached") == 1
    assert "guest1" not in ended.out
    assert "  try: lab fault heal 7 --name nemo tries again" in ended.err
    assert "healed 1: the network cable of example-host is pulled" in ended.out
    assert [one.number for one in faults.standing(nemo)] == [7]


def test_no_section_is_run_with_a_fault_that_stands(
    run: Run, nemo: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    ups: list[str] = []
    monkeypatch.setattr(Lab, "up", lambda lab, _tell: ups.append(lab.name))
    run("fault", "inject", "example-host", "cut")
    ended = run("up", WALK, "--name", "nemo")
    assert ended.status == 3
    assert (
        "a section would be judged with this standing: the network cable of example-host is pulled"
        in ended.err
    )
    assert "  try: lab fault heal --name nemo" in ended.err
    assert ups == []


def test_where_no_section_is_left_a_fault_may_stand(
    run: Run, nemo: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    ups: list[str] = []

    def status(*_: object) -> None:
        raise Unreachable("no connection")

    monkeypatch.setattr(Lab, "up", lambda lab, _tell: ups.append(lab.name))
    monkeypatch.setattr(Lab, "status", status)
    monkeypatch.setattr(NoMachines, "running", lambda *_: {"example-host": True})
    monkeypatch.setattr(up, "Auditor", lambda _lab: None)
    nemo.record.done = [step.section for step in nemo.scenario.steps]
    nemo.save()
    run("fault", "inject", "example-host", "cut")
    assert run("up", WALK, "--name", "nemo").status == 0
    assert ups == ["nemo"]


@pytest.mark.parametrize("arguments", [["fault", "list"], ["fault", "heal"], ["status"]])
def test_a_damaged_record_of_a_fault(run: Run, nemo: Lab, arguments: list[str]) -> None:
    run("fault", "inject", "example-host", "cut")
    file = nemo.folder / "faults" / "1.json"
    file.write_text("{")
    ended = run(*arguments)
    assert ended.status == 3
    assert f"{file} is damaged" in ended.err
    assert "try: lab down nemo" in ended.err


# -- report ---------------------------------------------------------------------------------


def record(state: Path, name: str) -> Path:
    """A run of that lab that is on record."""
    folder = state / "results" / name / "20260301-140506"
    folder.mkdir(parents=True)
    started = RunStarted(
        lab=name, scenario=WALK, title="T", platform="p", provider="q", sections=("4.1.1",)
    )
    ended = RunEnded(verdict="passed", seconds=1.0)
    lines = [json.dumps(event.to_json()) for event in (started, ended)]
    (folder / "results.jsonl").write_text("\n".join(lines) + "\n")
    (folder.parent / "latest").symlink_to(folder.name)
    return folder


def test_report(run: Run, state: Path, tmp_path: Path) -> None:
    folder = record(state, "nemo")
    ended = run("report", "nemo")
    assert (ended.status, ended.out) == (0, f"{folder / 'report.html'}\n")
    assert "</html>" in (folder / "report.html").read_text()
    output = tmp_path / "mine.html"
    ended = run("report", "nemo", "--output", str(output))
    assert (ended.status, ended.out) == (0, f"{output}\n")
    assert output.read_text() == (folder / "report.html").read_text()
    ended = run("report", "nemo", "--output", "-")
    assert (ended.status, ended.out) == (0, output.read_text())
    assert not Path("-").exists()


def test_report_of_the_only_run_there_is(run: Run, state: Path) -> None:
    """Also when the lab itself is gone: its results stay."""
    record(state, "nemo")
    assert run("report").status == 0
    record(state, "dory")
    ended = run("report")
    assert ended.status == 2
    assert "say which lab: dory, nemo" in ended.err


def test_report_of_no_run(run: Run, state: Path) -> None:
    ended = run("report")
    assert (ended.status, ended.out) == (2, "")
    assert "there is no lab" in ended.err
    ended = run("report", "nemo")
    assert (ended.status, ended.out) == (2, "")
    assert "no run of a lab 'nemo' is on record; runs: none" in ended.err
    record(state, "dory")
    make_lab("nemo")
    for arguments in (["report"], ["report", "nemo"], ["report", "../results/dory/.."]):
        ended = run(*arguments)
        assert ended.status == 2
        assert "is on record; runs: dory" in ended.err


def test_a_report_that_cannot_be_written(run: Run, state: Path, tmp_path: Path) -> None:
    record(state, "nemo")
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "mine.html", tmp_path):
        ended = run("report", "nemo", "--output", str(place))
        assert (ended.status, ended.out) == (2, "")
        assert f"{place} cannot be written: " in ended.err


def test_a_report_without_a_browser(run: Run, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = record(state, "nemo")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address))
    ended = run("report", "nemo", "--open")
    assert ended.status == 1
    assert "no browser could be started" in ended.err
    assert opened == [(folder / "report.html").as_uri()]
    assert (folder / "report.html").exists()


# -- pipes and signals ----------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["show", WALK], ["show", WALK, "--json"], ["words"]])
def test_a_reader_that_has_seen_enough(arguments: list[str]) -> None:
    """As `lab show … | head -1`, with a head that is gone before the first line."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lab.cli", *arguments],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctors, "require", interrupted)
    ended = run("up", WALK)
    assert ended.status == 130
    assert ended.err.startswith("lab: interrupted")
    assert "lab down" in ended.err


def test_sigterm_is_as_ctrl_c() -> None:
    script = (
        "import os, signal, sys\n"
        "from lab import cli\nfrom lab.commands import labs\n"
        "labs.list_ = lambda _: os.kill(os.getpid(), signal.SIGTERM) or 0\n"
        "sys.exit(cli.main(['list']))\n"
    )
    done = python(script)
    assert done.returncode == 130
    assert done.stderr.startswith("lab: interrupted")


# -- machines that stand still, snapshots ---------------------------------------------------


def test_status_says_which_machines_stand_still(
    run: Run, nemo: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(*_: object) -> None:
        raise Unreachable("no connection")

    monkeypatch.setattr(Lab, "status", status)
    monkeypatch.setattr(bmc, "ensure", lambda *_: None)
    monkeypatch.setattr(NoMachines, "running", lambda *_: {"example-host": True})
    for paused, state in (({"example-host"}, "paused"), (set(), "on")):
        monkeypatch.setattr(NoMachines, "paused", lambda *_, found=paused: found, raising=False)
        machines = json.loads(run("status", "nemo", "--json").out)["machines"]
        assert machines[0]["state"] == state
        assert re.search(rf"example-host .* {state} *\n", run("status", "nemo").out)


def test_a_snapshot_of_which_there_is_none(run: Run, nemo: Lab) -> None:
    ended = run("snapshot", "delete", "here", "--name", "nemo")
    assert ended.status == 3
    assert "made of containers" in ended.err


def test_a_snapshot_is_deleted_while_nobody_else_holds_the_lab(
    run: Run, nemo: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[tuple[str, str]] = []
    monkeypatch.setattr(snapshots, "delete", lambda lab, name: deleted.append((lab.name, name)))
    ended = run("snapshot", "delete", "here", "--name", "nemo")
    assert (ended.status, ended.out) == (0, "lab nemo has no snapshot here any more\n")
    assert deleted == [("nemo", "here")]
    with held("nemo"):
        assert run("snapshot", "delete", "here", "--name", "nemo").status == 3
    assert len(deleted) == 1
