"""The plans for CentOS 7.4, what the book was written on, and for what came after it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab import cli, coverage, platforms, scenario
from lab import plan as plans
from lab.condition import holds
from lab.model import Part, Scenario
from lab.plan import PlannedStep
from lab.platform import Platform
from lab.providers.choice import only_containers
from lab.report.coverage import NOWHERE

DATA = Path(__file__).parent / "data"
CENTOS_7 = platforms.load("centos-7")
RELEASES_9 = ["almalinux-9", "centos-stream-9"]
RELEASE_10 = "centos-stream-10"
TODAY = ["debian-12", "debian-13", *RELEASES_9, RELEASE_10]
# The scenarios of chapters 2, 3, 4, 5 and 6, with the sections that they borrow.
BOOK = [
    "guest-quick-example",
    "configuration-explained",
    "guest-walkthrough",
    "remote-walkthrough",
    "container-guests",
    "vm-cluster-nodes",
    "vm-remote-nodes",
]


@cache
def loaded(name: str) -> Scenario:
    return scenario.load(scenario.find(name))


def planned(name: str, platform: Platform = CENTOS_7) -> list[PlannedStep]:
    return plans.plan(loaded(name), platform)


def adapted(name: str, platform: Platform = CENTOS_7) -> list[str]:
    """The book's commands that are typed otherwise, with their section."""
    return [
        f"{step.section} {book}"
        for step in planned(name, platform)
        for command in step.commands
        if command.adapted
        for book in command.book
    ]


def added(name: str, platform: Platform = CENTOS_7) -> list[str]:
    return [
        f"{step.section} {command.text}"
        for step in planned(name, platform)
        for command in step.commands
        if command.adapted and not command.book
    ]


@pytest.mark.parametrize("name", [name for name in BOOK if name != "guest-quick-example"])
def test_centos_7_types_every_command_as_the_book_prints_it(name: str) -> None:
    assert adapted(name) == []


def test_centos_7_types_chapter_2_otherwise_where_it_could_not_work_there_either() -> None:
    assert [re.sub(r" (.{30}).*", r" \1", one) for one in adapted("guest-quick-example")] == [
        "2.1 yum install pacemaker-remote r",  # it asks, and nobody answers
        "2.1 pcs resource create vm-guest1 ",  # a path from nowhere
        "2.2 pcs resource create webserver ",  # a word of crmsh's
    ]


def test_centos_7_needs_one_command_more_than_the_book_has() -> None:
    """pcs 0.9.158 removes the key that 5.3.3 copied as 5.3.4 sets the cluster up."""
    key = "5.3.4 scp remote1:/etc/pacemaker/authkey /etc/pacemaker/authkey"
    found = {name: added(name) for name in BOOK}
    assert {name: more for name, more in found.items() if more} == {
        "remote-walkthrough": [key],
        "vm-remote-nodes": [key],
    }


@pytest.mark.parametrize("name", ["guest-walkthrough", "remote-walkthrough"])
@pytest.mark.parametrize("platform", TODAY)
def test_other_platforms_type_some_otherwise(name: str, platform: str) -> None:
    """So that to have none is no matter of course."""
    assert adapted(name, platforms.load(platform))


def show(capsys: pytest.CaptureFixture[str], name: str, platform: str) -> dict[str, Any]:
    assert cli.main(["show", name, "--platform", platform, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def commands_in(shown: dict[str, Any]) -> list[dict[str, Any]]:
    parts = [part for section in shown["sections"] for part in section["parts"]]
    return [command for part in parts for command in part["commands"]]


def test_show_tells_that_nothing_is_adapted(capsys: pytest.CaptureFixture[str]) -> None:
    found = show(capsys, "guest-walkthrough", "centos-7")
    assert found["counts"] == {"verbatim": 44, "adapted": 0, "added": 0}
    commands = commands_in(found)
    assert len(commands) == 44
    assert {command["adapted"] for command in commands} == {False}
    assert all(command["book"] == [command["run"]] for command in commands)
    today = show(capsys, "guest-walkthrough", "debian-12")
    assert {command["adapted"] for command in commands_in(today)} == {False, True}
    assert cli.main(["show", "guest-walkthrough", "--platform", "centos-7"]) == 0
    printed = capsys.readouterr().out
    assert "44 commands of the book verbatim, 0 adapted, 0 added" in printed
    assert not re.search(r"^(adapted|added) ", printed, re.MULTILINE)
    assert "instead of" not in printed


def test_show_marks_each_command_as_it_counts_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "guest-walkthrough", "--platform", "debian-12"]) == 0
    printed = capsys.readouterr().out
    counts = show(capsys, "guest-walkthrough", "debian-12")["counts"]
    added = re.findall(r"^added +\[root@.*\n +because: ", printed, re.MULTILINE)
    assert len(added) == counts["added"] > 0
    # One of the book's commands may be several here.
    adapted = re.findall(
        r"^adapted +\[root@.*\n +(?:reads: .*\n +)?instead of: ", printed, re.MULTILINE
    )
    assert len(adapted) >= counts["adapted"] > 0


# -- the plan is for what is there ----------------------------------------------------------


def arguments(step: PlannedStep, word: str) -> list[dict[str, Any]]:
    uses = (use for part in step.parts for use in (*part.before, *part.acts, *part.expect))
    return [use.arguments for use in uses if use.word.name == word]


def everything(name: str, platform: Platform) -> str:
    """All that is typed, done and looked at, as one text."""
    lines = []
    for step in planned(name, platform):
        lines += [command.text for command in step.commands]
        for part in step.parts:
            uses = (*part.before, *part.acts, *part.faults, *part.expect, *part.healed)
            lines += [f"{use.word.name} {json.dumps(use.arguments)}" for use in uses]
    return "\n".join(lines)


@pytest.mark.parametrize("name", BOOK)
def test_centos_7_is_asked_for_nothing_of_later_or_of_debian(name: str) -> None:
    text = everything(name, CENTOS_7)
    assert text
    for foreign in (
        *("apt-get", "libvirt-daemon-system", "qemu-system-x86", "apache2", "/etc/default"),
        *("pcs host auth", "pcs cluster enable --all", "cluster enable --all", "nft "),
        *("podman", " ip=192", " username=", " password_script", "pcmk_delay_base", '"Starting"'),
        *("Could not connect", "Key was rejected", "exits: [124]", "defaults update"),
    ):
        assert foreign not in text


@pytest.mark.parametrize("name", BOOK)
@pytest.mark.parametrize("platform", [*RELEASES_9, RELEASE_10])
def test_later_releases_are_not_taken_for_centos_7(name: str, platform: str) -> None:
    text = everything(name, platforms.load(platform))
    for foreign in (
        *("apt-get", "libvirt-daemon-system", "qemu-system-x86", "apache2", "/etc/default"),
        *("--local", "--name mycluster", "passwd_script", "ipaddr=", "iptables", "bridge-utils"),
    ):
        assert foreign not in text


@pytest.mark.parametrize(
    ("platform", "openssh", "said"),
    [("centos-7", "7.4", "Connection reset by peer"), ("almalinux-9", "8.7", "invalid format")],
)
@pytest.mark.parametrize(
    ("name", "section"), [("guest-walkthrough", "4.2.5"), ("remote-walkthrough", "5.2")]
)
def test_what_ssh_says_of_a_working_daemon(
    name: str, section: str, platform: str, openssh: str, said: str
) -> None:
    found = platforms.load(platform)
    assert found.versions["openssh"] == openssh
    step = next(step for step in planned(name, found) if step.section == section)
    texts = [one["text"] for one in arguments(step, "printed")]
    assert texts == [said, "No route to host", "Connection refused"]


def test_pcs_0_9_is_to_print_what_the_book_shows() -> None:
    """The output in the book, from CentOS 7.4, has what section 4.1.5 looks for in it."""
    recorded = (DATA / "book-7-pcs-status.txt").read_text()
    step = next(step for step in planned("guest-walkthrough") if step.section == "4.1.5")
    first, second = step.parts[:2]
    texts = [use.arguments["text"] for part in (first, second) for use in part.expect
             if use.word.name == "printed"]  # fmt: skip
    assert len(texts) == 3
    assert all(text in recorded for text in texts)
    today = planned("guest-walkthrough", platforms.load("debian-12"))
    step = next(step for step in today if step.section == "4.1.5")
    warning = [one["text"] for one in arguments(step, "printed") if "stonith" in one["text"]]
    assert len(warning) == 2
    assert not any(text in recorded for text in warning)


def conditions() -> list[str]:
    """Every condition of the scenarios that come with lab."""

    def of(part: Part) -> list[str]:
        entries = [*part.before, *part.act, *part.fault, *part.expect, *part.healed]
        departures = [one.when for one in part.departs]
        return [part.when, *(a.when for a in part.adapt), *(e.when for e in entries), *departures]

    found = [
        when
        for name in scenario.names()
        for step in loaded(name).steps
        for part in (step.parts or [step])
        for when in of(part)
    ]
    return sorted({when for when in found if when})


def test_every_platform_can_tell_of_every_condition() -> None:
    found = conditions()
    assert len(found) > 10
    for platform in map(platforms.load, platforms.names()):
        for condition in found:
            holds(condition, platform)  # raises where it cannot


# -- the platforms that cannot run here ----------------------------------------------------


def test_the_book_counts_what_it_has_on_centos_7(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["book", "--platform", "centos-7", "--recorded", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["platforms"] == ["centos-7"]
    cells = [
        cell
        for section in found["sections"]
        for covers in section["scenarios"].values()
        for cell in covers.values()
    ]
    assert sum(cell["verbatim"] for cell in cells) == 81
    assert sum(cell["adapted"] for cell in cells) == 3  # chapter 2's
    assert all(cell["last"] == [] for cell in cells)


@pytest.mark.parametrize("platform", ["centos-7", *RELEASES_9, RELEASE_10])
def test_the_book_says_what_no_machine_can_run_there(
    platform: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chapter 1's measuring, chapter 3 and 6.3: their machines or guests are containers."""

    def book(*arguments: str) -> str:
        assert cli.main(["book", "--recorded", *arguments]) == 0
        return capsys.readouterr().out

    cells = [line for line in book("--platform", platform).splitlines() if NOWHERE in line]
    found = [line.split()[0] for line in cells]
    assert found == ["1.1", "1.4", "1.5", "3.1", "3.2", "3.3", "3.4", "6.3"]
    sums = f"{platform}: of 44 sections 33 are covered, of which 0 passed as they are now, "
    sums += "3 only explain, 8 cannot run there and need containers, 0 are missing; "
    assert sums in book("--platform", platform)
    sections = json.loads(book("--platform", platform, "--json"))["sections"]
    told = [
        section["section"]
        for section in sections
        for covers in section["scenarios"].values()
        if "it needs the provider vagrant, but" in covers[platform]["cannot_run"]
    ]
    assert told == found
    assert NOWHERE not in book("--platform", "debian-12")
    assert "cannot run" not in book("--platform", "debian-12")


def test_what_cannot_run_is_no_drift(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["book", "--drift", "almalinux-9"]) == 0
    said = capsys.readouterr()
    assert "(scale)" not in said.out
    assert "(configuration-explained)" not in said.out
    assert "(remote-walkthrough)" in said.out
    assert "lab: left out: scale cannot run there: almalinux-9 starts from the box" in said.err


@pytest.mark.parametrize("name", scenario.names())
def test_show_says_what_no_machine_can_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That is, what `lab up` refuses there, wherever it is."""
    loaded = scenario.load(scenario.find(name))
    why = only_containers(loaded.nodes, loaded.guests)
    assert bool(why) == (name in ("scale", "configuration-explained", "container-guests"))
    for platform in ("almalinux-9", "debian-12"):
        said = show(capsys, name, platform)["cannot_run"]
        assert cli.main(["show", name, "--platform", platform]) == 0
        head = capsys.readouterr().out.splitlines()[1]
        if why and platform == "almalinux-9":
            assert said.endswith(f"it needs the provider vagrant, but {why}")
            assert head == f"cannot run there: {said}"
        else:
            assert (said, head) == ("", "")


def test_the_readme_is_about_what_is_built_here() -> None:
    assert [one.name for one in coverage.planned([]).platforms] == ["debian-12", "debian-13"]
    assert [one.name for one in coverage.planned(["centos-7"]).platforms] == ["centos-7"]


@pytest.mark.parametrize("platform", ["centos-7", RELEASE_10])
def test_up_says_which_provider_it_needs(
    platform: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    monkeypatch.setattr("lab.paths.RUN", tmp_path / "run")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    monkeypatch.setattr("lab.doctor.require", lambda _provider: None)
    monkeypatch.setattr("lab.customize.require", lambda: None)
    monkeypatch.setattr("lab.providers.podman.Podman.labs", lambda _: set())
    up = ["up", "guest-walkthrough", "--platform", platform]
    assert cli.main([*up, "--provider", "podman"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    box = platforms.load(platform).box
    assert box
    assert said.err == (
        f"lab: {platform} starts from the {box.text}: it needs the provider vagrant, and "
        f"podman has no machines of boxes\n"
        f"  try: --provider vagrant\n"
    )
    # Where none is named: said before there is a lab.
    assert cli.main(up) == 3
    assert "LAB_MIRROR" in capsys.readouterr().err
    assert not list(tmp_path.glob("labs/*"))
