"""Real labs for tests: the command line as a user runs it, and proof that nothing is left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import paths, platforms, scenario
from lab.lab import everything
from lab.providers import controllers

LAB = [sys.executable, "-m", "lab.cli"]
LONG = 900.0  # seconds: more than any command of these tests may take
# A network namespace with nothing in it: on a built cache, no step may need a network.
OFFLINE = ["unshare", "--net", "--"]


@dataclass
class Done:
    """How a `lab` command ended."""

    status: int
    output: str

    @property
    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.output)


def lab(
    *arguments: str,
    within: float = LONG,
    prefix: Sequence[str] = (),
    command: Sequence[str] = LAB,
) -> Done:
    """Run `lab` to its end; both streams together. A traceback is never an answer."""
    done = subprocess.run(
        [*prefix, *command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return Done(done.returncode, done.stdout)


class Started:
    """A `lab` command that is still at work, to be interrupted."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*LAB, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.lines: list[str] = []

    def until(self, pattern: str) -> None:
        """Read its output until a line matches."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if re.search(pattern, line):
                return
        pytest.fail(f"it ended before it printed {pattern!r}:\n{''.join(self.lines)}")

    def end(self, signal: int) -> Done:
        """Send a signal and wait for the end."""
        self.process.send_signal(signal)
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


def eventually(condition: Callable[[], bool], within: float, what: str) -> None:
    """Wait for a condition, by a deadline."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"after {within} s still not: {what}"
        time.sleep(0.1)


def traces(name: str) -> list[str]:
    """Everything on this machine that shows a lab of that name: it should be nothing."""
    found = [f"in `lab list`: {name}"] if name in everything() else []
    if (paths.labs() / name).exists():
        found.append(f"folder {paths.labs() / name}")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if re.search(rf"/run/lab/\w+/{name}\b", line)]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if re.search(rf"\blab-{name}-|/labs/{name}/|/net/{name}\.|bmc_daemon {name}\b", command):
            found.append(f"process {process.name}: {command}")
    found += [f"cgroup {path}" for path in _empty_cgroups()]
    found += [f"cgroup {path}" for path in controllers.found(f"lab.{name}.*")]
    run = Path("/run/lab")
    files = [p for p in run.rglob("*") if name in p.parts or p.name.startswith(f"{name}.")]
    return found + [f"file {path}" for path in files]


def _empty_cgroups() -> list[Path]:
    """Cgroups of containers with no process in or below them: what a removed one would leave."""
    groups = [
        group
        for top in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
        for group in top.glob("libpod_parent/libpod-*")
    ]
    return [g for g in groups if "populated 0" in (g / "cgroup.events").read_text()]


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """Built images, so that no test's time is spent on them but the build's own."""
    from lab import images as built

    built.ensure(platforms.load("debian-12"), print)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for a lab of this test; whatever becomes of the test, the lab goes."""
    made = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_")).strip("-")[:40]
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
