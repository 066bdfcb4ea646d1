"""Several labs, and labs to which something happens from outside."""

from __future__ import annotations

import json
import re
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import this_machine
from conftest import Started, eventually, forget, lab
from leftovers import traces

from lab import command, paths, platforms, scenario
from lab.labs import everything
from lab.providers import cgroups
from lab.providers.choice import choice

pytestmark = [pytest.mark.real, pytest.mark.takes(20)]

UNTIL = ["--until", "4.1.1"]


def podman(*arguments: str) -> str:
    """podman, where the lab's containers are."""
    return command.run([*cgroups.prefix(), "podman", *arguments], within=60).stdout


def test_two_labs_at_once(name: str) -> None:
    """Two labs, brought up at the same time, have the same addresses and do not meet."""
    names = [name, f"{name}-b"]
    try:
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(lab, "up", "guest-walkthrough", "--name", n, *UNTIL) for n in names]
            ends = [job.result() for job in jobs]
        assert [end.status for end in ends] == [0, 0], ends
        for one in names:
            mark = f"echo {one} > /root/mark"
            assert lab("exec", "example-host", "--name", one, "--", mark).status == 0
        for one in names:
            seen = lab("exec", "example-host", "--name", one, "--", "cat /root/mark; ip -4 addr")
            assert seen.output.startswith(one)
            assert "192.168.122.100/24" in seen.output
        assert lab("exec", "example-host", "--", "true").status == 2  # which one?
        assert lab("down", names[1]).status == 0
        assert lab("exec", "example-host", "--name", name, "--", "hostname").status == 0
    finally:
        lab("down", names[1])


def test_the_provider_that_suits(name: str) -> None:
    """Where none is asked for, a lab has what suits this machine, and one line says why."""
    walkthrough = scenario.load(scenario.find("guest-walkthrough"))
    suits = choice("", walkthrough, platforms.load(platforms.DEFAULT))
    done = lab("up", "guest-walkthrough", "--name", name, *UNTIL, provider="")
    assert done.status == 0, done.output
    assert json.loads((paths.labs() / name / "lab.json").read_text())["provider"] == suits.provider
    # Lines are broken where the screen ends, and what memory is free is another number each time.
    said, why = (re.sub(r"\d+", "N", " ".join(text.split())) for text in (done.output, suits.why))
    assert said.count("provider ") == said.count(f"provider {suits.provider}: {why}") == 1


def test_nothing_of_the_machine_changes(name: str) -> None:
    """Kernel settings, network, firewall and cgroups are the same with a lab and after it."""
    before = this_machine.look()
    assert lab("up", "guest-walkthrough", "--name", name, *UNTIL).status == 0
    assert this_machine.changes(before) == []
    masked = lab(
        "exec", "example-host", "--name", name, "--", "systemctl is-enabled systemd-sysctl"
    )
    assert masked.output.strip() == "masked"
    assert lab("down", name).status == 0
    assert this_machine.changes(before) == []


def test_another_scenario_under_a_name_in_use(name: str, tmp_path: Path) -> None:
    """A lab is not turned into another one: exit 2, and both ways out are named."""
    assert lab("up", "guest-walkthrough", "--name", name, *UNTIL).status == 0
    other = tmp_path / "other.yaml"
    shutil.copy(paths.SCENARIOS / "guest-walkthrough.yaml", other)
    done = lab("up", str(other), "--name", name)
    assert done.status == 2
    assert "with scenario guest-walkthrough, not other" in done.output
    assert f"lab down {name}" in done.output


def test_a_lab_in_use_is_not_touched(name: str) -> None:
    """While one process works on a lab, another one is told so: exit 3."""
    first = Started("up", "guest-walkthrough", "--name", name)
    try:
        first.until(r"^4\.1\.1 ")
        second = lab("up", "guest-walkthrough", "--name", name)
        assert second.status == 3
        assert f"lab {name} is in use by process {first.process.pid}" in second.output
    finally:
        first.end(signal.SIGKILL)


def test_folder_gone(name: str) -> None:
    """A lab whose folder was deleted is still listed and still removed."""
    assert lab("up", "guest-walkthrough", "--name", name, *UNTIL).status == 0
    shutil.rmtree(paths.labs() / name)
    assert name in everything()
    listed = lab("list")
    assert listed.status == 0
    assert name in listed.output
    assert lab("status", name).status == 2
    again = lab("up", "guest-walkthrough", "--name", name)
    assert again.status == 3
    assert "but not its folder" in again.output
    assert lab("down", name).status == 0
    assert traces(name) == []


def test_machine_gone(name: str) -> None:
    """A lab whose machine was removed from outside does not go on as if nothing was."""
    assert lab("up", "guest-walkthrough", "--name", name, *UNTIL).status == 0
    podman("rm", "--force", "--time=0", f"lab-{name}-example-host")
    done = lab("up", "guest-walkthrough", "--name", name)
    assert done.status == 3
    assert "example-host is gone" in done.output


def test_node_killed_in_a_step(name: str) -> None:
    """A machine that dies under a section turns it red, with evidence, and stays removable."""
    started = Started("up", "guest-walkthrough", "--name", name)
    started.until(r"apt-get install")
    podman("kill", f"lab-{name}-example-host")
    output, _ = started.process.communicate(timeout=120)
    assert started.process.returncode == 1, output
    assert "the connection to example-host was lost" in output
    assert (paths.results() / name / "latest" / "evidence-4.1.2").is_dir()
    assert "4.1.3" in output  # … and the later ones are in the table, as skipped
    assert "skipped" in output


def test_killed_harness(name: str) -> None:
    """`kill -9` in the middle of a section, then `lab down`: nothing of the lab is left."""
    started = Started("up", "guest-walkthrough", "--name", name)
    started.until(r"apt-get install")
    started.end(signal.SIGKILL)
    assert traces(name) != []
    assert lab("down", name).status == 0
    assert traces(name) == []
    assert "there is no lab" in lab("down", name).output


def test_killed_while_machines_are_made(name: str) -> None:
    """`kill -9` while podman is at work, which goes on: what it still makes goes too."""
    started = Started("up", "remote-walkthrough", "--name", name)
    makers = ["pgrep", "--full", f"podman run .*=?lab={name} "]
    started.until("machines:")
    eventually(lambda: not command.run(makers, within=5, check=False).returncode, 120, "podman run")
    started.end(signal.SIGKILL)
    assert lab("down", name).status == 0
    # One that came later would be there by then.
    eventually(lambda: command.run(makers, within=5, check=False).returncode == 1, 60, "its end")
    assert traces(name) == []


@pytest.mark.takes(70)
def test_interrupted_wait_and_carrying_on(name: str) -> None:
    """Ctrl-C while a DC is awaited: exit 130, the lab stays, `lab up` does that section again."""
    started = Started("up", "guest-walkthrough", "--name", name, "--until", "4.1.5")
    started.until(r"waiting until.*DC")
    done = started.end(signal.SIGINT)
    assert done.status == 130
    assert "Traceback" not in done.output
    assert "lab down" in done.output
    again = lab("up", "guest-walkthrough", "--name", name, "--until", "4.1.5")
    assert "4.1.5  Verify Cluster Software" in again.output
    assert "4.1.4  Configure" not in again.output.partition("section ")[0]
    assert "sections done earlier: 4.1.1, 4.1.2, 4.1.3, 4.1.4" in again.output


def test_interrupted_image_build(name: str, tmp_path: Path) -> None:
    """Ctrl-C, or kill -9, while images are built leaves nothing that is taken for an image."""
    cache = tmp_path / "cache"
    for signal_number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        started = Started("up", "guest-walkthrough", "--name", name, env={"LAB_CACHE": str(cache)})
        started.until("base system")
        building = list(cache.glob(".*.build-*"))
        assert len(building) == 1
        assert started.end(signal_number).status == status
        # The build's own processes end with it, also where nobody could tell them to.
        eventually(lambda: not _processes(str(cache)), 20, "the build has ended")
        assert not [p for p in cache.iterdir() if p.name.startswith("debian-12-")]
    assert lab("down", name).status == 0
    assert traces(name) == []


def _processes(word: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if word in line:
            found.append(line)
    return found


def test_full_cache_disk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for the images: said before anything is built, exit 3."""
    small = tmp_path / "small"
    small.mkdir()
    command.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(small)], within=10)
    try:
        monkeypatch.setenv("LAB_CACHE", str(small))
        done = lab("up", "guest-walkthrough", "--name", name)
        assert done.status == 3
        assert "MiB are free" in done.output
        assert "LAB_CACHE" in done.output
    finally:
        lab("down", name)
        command.run(["umount", str(small)], within=10)


def test_typed_by_hand(name: str) -> None:
    """`lab verify` sees what is not as it should be; what is counts as done."""
    up = ("up", "remote-walkthrough", "--name", name, "--until", "5.1.1")
    on = ("exec", "remote1", "--name", name, "--")
    service = "firewall-cmd --permanent --{}-service=high-availability && firewall-cmd --reload"
    assert lab(*up).status == 0
    forget(name, "5.1.1")
    assert lab(*on, service.format("remove")).status == 0

    missed = lab("verify", "5.1.1", "--name", name)
    assert missed.status == 1, missed.output
    assert re.search(r"FAIL  remote1's firewall lets", missed.output), missed.output
    assert "not as it should be: 1 of 2" in missed.output
    early = lab("verify", "5.1.2", "--name", name)
    assert (early.status, "5.1.1 comes before 5.1.2, and is not done" in early.output) == (3, True)

    assert lab(*on, service.format("add")).status == 0
    typed = lab("verify", "5.1.1", "--name", name)
    assert typed.status == 0, typed.output
    assert "all is as it should be, and 5.1.1 counts as done" in typed.output
    assert f"lab up remote-walkthrough --name {name} carries on" in typed.output
    again = lab(*up)
    assert (again.status, "sections done earlier: 5.1.1" in again.output) == (0, True)
