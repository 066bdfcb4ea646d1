"""Locks between processes: who holds one is named, and a dead holder holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import lock
from lab.errors import Busy, CannotRun

HOLDER = """
import sys, time
from pathlib import Path
from lab import lock
with lock.hold(Path(sys.argv[1]), "it", shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(60)
"""
Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "newer" / "the.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[Holder]:
    """Start a process that holds the lock; it is ended after the test."""
    started = []

    def start(mode: str = "exclusive") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), mode], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_second_process_is_told_who_the_first_is(path: Path, holder: Holder) -> None:
    process = holder()
    with pytest.raises(Busy) as caught, lock.hold(path, "lab a"):
        pytest.fail("two hold it")
    assert isinstance(caught.value, CannotRun)
    assert caught.value.exit_code == 3
    assert caught.value.message.startswith(f"lab a is in use by process {process.pid} (")
    assert Path(sys.executable).name in caught.value.message  # what it runs
    assert caught.value.hint


def test_killed_holder_leaves_no_lock(path: Path, holder: Holder) -> None:
    process = holder()
    process.kill()
    process.wait()
    assert path.exists()
    with lock.hold(path, "lab a"):
        pass


def test_freed_at_the_end_of_the_block_and_on_an_error(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), lock.hold(path, "it"):
        raise KeyboardInterrupt
    with lock.hold(path, "it"):
        pass
    with lock.hold(path, "it"):
        pass


def test_two_threads_exclude_each_other_too(path: Path) -> None:
    with lock.hold(path, "it"), pytest.raises(Busy), lock.hold(path, "it"):
        pytest.fail("two hold it")


def test_waits_for_the_holder(path: Path) -> None:
    held, order = threading.Event(), []

    def first() -> None:
        with lock.hold(path, "it"):
            held.set()
            time.sleep(0.25)
            order.append("first ends")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait()
    with lock.hold(path, "it", within=10):
        order.append("second begins")
    thread.join()
    assert order == ["first ends", "second begins"]


def test_gives_up_waiting_in_time(path: Path) -> None:
    with lock.hold(path, "it"):
        started = time.monotonic()
        with pytest.raises(Busy), lock.hold(path, "it", within=0.2):
            pytest.fail("two hold it")
        assert 0.2 <= time.monotonic() - started < 2


def test_shared_holders_do_not_exclude_each_other(path: Path, holder: Holder) -> None:
    holder("shared")
    with lock.hold(path, "it", shared=True):
        pass
    with pytest.raises(Busy), lock.hold(path, "it"):
        pytest.fail("shared and exclusive at once")


def test_exclusive_holder_excludes_shared_ones(path: Path, holder: Holder) -> None:
    holder()
    with pytest.raises(Busy), lock.hold(path, "it", shared=True):
        pytest.fail("shared and exclusive at once")


def test_a_holder_that_has_ended_is_not_blamed(path: Path, holder: Holder) -> None:
    before = holder()
    before.kill()
    before.wait()
    holder("shared")
    with pytest.raises(Busy) as caught, lock.hold(path, "it"):
        pytest.fail("two hold it")
    assert str(before.pid) not in caught.value.message
    assert " in use by process " in caught.value.message


def test_those_who_share_it_are_named_each(path: Path, holder: Holder) -> None:
    both = [holder("shared"), holder("shared")]
    with pytest.raises(Busy) as caught, lock.hold(path, "lab a"):
        pytest.fail("shared and exclusive at once")
    for process in both:
        assert f"process {process.pid} ({sys.executable} -c" in caught.value.message
    assert str(os.getpid()) not in caught.value.message  # who waits holds nothing
    assert "kill" in caught.value.hint


def test_a_kernel_that_tells_nothing_of_locks(
    path: Path, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder("shared")
    monkeypatch.setattr(lock, "LOCKS", path.parent / "none")
    with (
        pytest.raises(Busy, match=r"lab a is in use by another lab process$"),
        lock.hold(path, "lab a"),
    ):
        pytest.fail("shared and exclusive at once")


def test_how_long_it_was_waited_for_is_said(path: Path, holder: Holder) -> None:
    holder()
    with (
        pytest.raises(Busy, match=r"\), after 1 s of waiting$"),
        lock.hold(path, "lab a", within=1.0),
    ):
        pytest.fail("two hold it")
