"""Real labs for tests: the command line as a user runs it, and proof that nothing is left.

Tests run side by side, and so may those of another checkout, and labs that are nobody's test:
each test looks at labs of its own name alone.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from leftovers import remember, traces
from xdist.scheduler import LoadScopeScheduling

from lab import paths, platforms, scenario
from lab.errors import CannotRun
from lab.providers import containers

# A shell without job control lets what it starts in the background ignore Ctrl-C, and so would each
# `lab` that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

LAB = [sys.executable, "-m", "lab.cli"]
LONG = 2700.0  # seconds: more than any command of these tests may take
# Before each lab's name: tests of two checkouts on one machine need one each.
PREFIX = os.environ.get("LAB_TEST_PREFIX", "")
USUAL = 60.0  # seconds that a test without the mark `takes` is taken to take
# Tests with virtual machines run one after the other: without KVM, two that boot at once outlast
# the minute that Pacemaker gives to a guest's connection.
EMULATED = {
    "test_quick_example",
    "test_sabotage",
    "test_virtual_machines",
    "test_vm_nodes",
    "test_walkthrough",
}
# A network namespace with nothing in it: on a built cache, no step may need a network.
OFFLINE = ["unshare", "--net", "--"]


@dataclass
class Done:
    """How a `lab` command ended."""

    status: int
    output: str

    @property
    def json(self) -> Any:
        """Its output as JSON, without the lines that it says aside."""
        lines = self.output.splitlines()
        return json.loads("\n".join(line for line in lines if not line.startswith("lab: ")))


def lab(
    *arguments: str,
    within: float = LONG,
    prefix: Sequence[str] = (),
    command: Sequence[str] = LAB,
    provider: str = "podman",
) -> Done:
    """Run `lab` to its end; both streams together. A traceback is never an answer.

    `provider`: of a lab that comes up, unless its arguments name one; '' leaves the choice to lab.
    """
    end = time.monotonic() + within
    while True:
        done = subprocess.run(
            [*prefix, *command, *_words(arguments, provider)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within,
            check=False,
        )
        assert "Traceback" not in done.stdout, done.stdout
        if not _full(done.stdout):
            return Done(done.returncode, done.stdout)
        await_room(arguments, end - time.monotonic())


def _words(arguments: Sequence[str], provider: str = "podman") -> list[str]:
    """The same machines everywhere: containers, unless a test says otherwise."""
    silent = arguments[:1] == ("up",) and "--provider" not in arguments
    return [*arguments, *(["--provider", provider] if silent and provider else [])]


def _full(output: str) -> bool:
    """Whether `lab up` found no room on this machine: other labs take it, for a while."""
    return "inotify instances" in output


def await_room(arguments: Sequence[str], within: float) -> None:
    """Wait until the machines of `lab up SCENARIO` have room."""
    nodes = len(scenario.load(scenario.find(arguments[1])).nodes)

    def room() -> bool:
        try:
            containers.check_room(nodes)
        except CannotRun:
            return False
        return True

    eventually(room, within, f"room for {nodes} more machines", every=2.0)


class Started:
    """A `lab` command that is still at work, to be interrupted."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.arguments = arguments
        self.env = {**os.environ, **(env or {})}
        self._start()

    def _start(self) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*LAB, *_words(self.arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.env,
        )

    def until(self, pattern: str) -> None:
        """Read its output until a line matches."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if re.search(pattern, line):
                return
        output = "".join(self.lines)
        if not _full(output):
            pytest.fail(f"it ended before it printed {pattern!r}:\n{output}")
        self.process.wait(120)
        await_room(self.arguments, LONG)
        self._start()
        self.until(pattern)

    def end(self, number: int) -> Done:
        """Send that signal and wait for the end."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=120)
        return Done(self.process.returncode, "".join(self.lines) + rest)


def forget(name: str, section: str) -> None:
    """Let the lab take the section, and those after it, for not done yet."""
    record = paths.labs() / name / "lab.json"
    state = json.loads(record.read_text())
    if section in state["done"]:
        state["done"] = state["done"][: state["done"].index(section)]
    record.write_text(json.dumps(state))


def no_secret(name: str, folder: Path) -> None:
    """No password, and no private key, is in anything that was written about the run."""
    secrets = json.loads((paths.labs() / name / "secrets.json").read_text())
    assert secrets
    for path in (folder / "transcript.txt", folder / "results.jsonl", folder / "junit.xml"):
        text = path.read_text()
        assert not [key for key, value in secrets.items() if value in text], path
        assert "PRIVATE KEY" not in text


def processes_of(name: str) -> dict[int, str]:
    """Every process on a machine of the lab, by its network namespace: PID and command line."""
    spaces = {p.stat().st_ino for p in Path("/run/lab/net").iterdir() if p.stem == name}
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/net").stat().st_ino in spaces:
                line = (process / "cmdline").read_bytes().decode(errors="replace")
                found[int(process.name)] = line
        except OSError:
            continue
    return found


def eventually(condition: Callable[[], bool], within: float, what: str, every: float = 0.1) -> None:
    """Wait for a condition, by a deadline; look `every` so many seconds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"after {within} s still not: {what}"
        time.sleep(every)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, and behind each of them one of the shortest.

    pytest-xdist gives a worker its next test while one still runs: it must be no long one, which
    would wait there while another worker has nothing to do.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        return
    together: dict[str, float] = {}  # a group is one piece of work, as long as all its tests
    for item in items:
        together[_group(item.nodeid)] = together.get(_group(item.nodeid), 0.0) + _takes(item)
    # The same in each worker: sorting is stable.
    left = sorted(items, key=lambda item: together[_group(item.nodeid)], reverse=True)
    items.clear()
    while left:
        longest, left = left[:workers], left[workers:]
        shortest, left = left[-workers:], left[:-workers]
        items += [*longest, *shortest]


def _group(nodeid: str) -> str:
    """The name of the tests that a test shares one worker with, or its own."""
    file, _, _ = nodeid.partition("::")
    return "emulated" if Path(file).stem in EMULATED else nodeid


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """pytest-xdist's, with our groups. (Its own marks for them need a pytest before 9.1.)"""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


def _takes(item: pytest.Item) -> float:
    """Seconds that a test takes, by its mark."""
    mark = item.get_closest_marker("takes")
    return float(mark.args[0]) if mark else USUAL


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """Built images, so that no test's time is spent on them but the build's own; and what others
    left here before is known.
    """
    from lab import images as built

    built.ensure(platforms.load("debian-12"), print)
    remember()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for a lab of this test; whatever becomes of the test, the lab goes."""
    plain = PREFIX + request.node.name.partition("@")[0].removeprefix("test_")
    made = re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-")
    lab("down", made)
    yield made
    lab("down", made)
    assert traces(made) == []


@pytest.fixture
def altered(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Makes a copy of a scenario, the guest walk-through by default, with its data changed."""
    which = getattr(request, "param", "guest-walkthrough")

    def make(change: Callable[[dict[str, Any]], None]) -> Path:
        data = yaml.safe_load(scenario.find(which).read_text())
        steps = {step["section"]: step for step in data["steps"]}
        change(steps)
        path = tmp_path / f"{which}.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return make
