"""Standard streams that are not what one would like: readers that go, closed ones, few letters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# `lab …` with `up` and `matrix` of a made-up run: two sections, the second one begins when the
# reader is gone.
MADE_UP = """
import os, sys, time
from lab import cli, doctor, events as e, images, up
from lab.commands import matrix
from lab.report.results import Results
from lab.report.junit import JUnit
from pathlib import Path

def run(wish, listener):
    folder = Path(os.environ["FOLDER"])
    with Results(folder / "results.jsonl") as results, JUnit(folder / "junit.xml") as junit:
        def tell(event):
            for one in (listener, results, junit):
                one(event)
        tell(e.RunStarted(lab="nemo", scenario="s", title="S", platform="p", provider="q",
                          sections=("1", "2")))
        for section in ("1", "2"):
            tell(e.StepStarted(section=section, title="A section"))
            sys.stdin.readline()
            for _ in range(3):
                tell(e.Progress(text="on and on"))
            tell(e.StepEnded(section=section, title="A", verdict=wish.until))
        tell(e.RunEnded(verdict=wish.until, seconds=1.0))
    return up.Outcome(wish.until, "nemo", folder, ())

def cells(cells, output, screen, **_):
    for _ in range(3):
        sys.stdin.readline()
        screen.say("on and on")
    return [], int(os.environ["STATUS"])

def ensure(platform, say, offer):
    sys.stdin.readline()
    for _ in range(3):
        say("on and on")
    (Path(os.environ["FOLDER"]) / "built").touch()
    return images.Images(platform.name, "key", Path("x"))

images.ensure, images.built = ensure, lambda _: None
doctor.require = lambda *_: None
up.up, matrix.run = run, cells
sys.exit(cli.main(sys.argv[1:]))
"""


def leaves(arguments: list[str], folder: Path, **env: str) -> tuple[int, str]:
    """How `lab …` ends, and what it complains of, where the reader goes after the first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", MADE_UP, *arguments],
        cwd=ROOT,
        env={**os.environ, "FOLDER": str(folder), "LAB_STATE": str(folder / "state"), **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    if arguments[0] == "up":
        assert process.stdout.readline() == "S\n"
    process.stdout.close()
    process.stdin.write("\n" * 9)
    process.stdin.close()
    said = process.stderr.read()
    return process.wait(60), said


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("verdict", "status"), [("passed", 0), ("failed", 1)])
def test_a_run_goes_on_when_its_reader_is_gone(
    tmp_path: Path, verdict: str, status: int, unbuffered: str
) -> None:
    """`lab up … | head`: the results are written to their end, and the status is the run's."""
    up = ["up", "guest-walkthrough", "--until", verdict]
    assert leaves(up, tmp_path, PYTHONUNBUFFERED=unbuffered) == (status, "")
    assert (tmp_path / "results.jsonl").read_text().count("StepEnded") == 2
    assert "</testsuite" in (tmp_path / "junit.xml").read_text()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_matrix_goes_on_when_its_reader_is_gone(
    tmp_path: Path, json: list[str], status: int, unbuffered: str
) -> None:
    matrix = ["matrix", "guest-walkthrough", "--output", str(tmp_path / "out"), *json]
    env = {"PYTHONUNBUFFERED": unbuffered, "STATUS": str(status)}
    ended, said = leaves(matrix, tmp_path, **env)
    assert (ended, "Traceback" in said) == (status, False)
    assert list((tmp_path / "out").glob("*.json"))


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_build_goes_on_when_its_reader_is_gone(tmp_path: Path, unbuffered: str) -> None:
    build = ["images", "build", "debian-12"]
    assert leaves(build, tmp_path, PYTHONUNBUFFERED=unbuffered) == (0, "")
    assert (tmp_path / "built").exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("command", "status"), [("show guest-walkthrough", 0), ("up", 2)])
def test_streams_that_are_closed(tmp_path: Path, closed: str, command: str, status: int) -> None:
    """What is printed goes nowhere, and no file takes its place."""
    script = f'exec "{sys.executable}" -m lab.cli {command} {closed}'
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=ROOT,
        env={**os.environ, "LAB_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "flush" not in done.stderr
    if status and "2>" not in closed:
        assert done.stderr.startswith("lab: ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["inside", "--help"],
        ["words"],
        ["book"],
        ["show", "guest-walkthrough"],
        ["show", "nothing …"],
    ],
)
def test_few_letters(tmp_path: Path, arguments: list[str], encoding: str) -> None:
    """A letter that the output has none for is a question mark."""
    done = subprocess.run(
        [sys.executable, "-m", "lab.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "LAB_STATE": str(tmp_path), "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == (2 if "nothing …" in arguments else 0), done.stderr
    said = (done.stdout + done.stderr).decode(encoding)
    assert said
    assert "Traceback" not in said


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_standard_output(tmp_path: Path, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lab.cli", "show", "guest-walkthrough"],
            cwd=ROOT,
            env={**os.environ, "LAB_STATE": str(tmp_path), "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = "lab: No space left on device (standard output)\n"
    assert (done.returncode, done.stderr) == (3, said)
