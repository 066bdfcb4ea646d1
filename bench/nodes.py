"""How long it takes until bare machines can be logged in to, and the memory of each.

The plain way beside it: the same image by one `podman run` each, all at once, with no
network and one and the same host key; ready when systemd has the way in up.
"""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench import labs
from bench.rounds import in_turn, told
from bench.rows import Options, Row, Say
from lab import command, lock
from lab.deadline import Deadline, wait_for
from lab.errors import LabError
from lab.images import Images
from lab.providers import LOCK, cgroups

NODES = 24
BOOT = 120.0
PREFIX = "bench-plain-"
UNIT = "lab-ssh.socket"
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


def run(options: Options, say: Say) -> list[Row]:
    """Lab's way and the plain way in turn, never both at once."""
    count = 4 if options.quick else NODES
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder, _many_watches(count, say):
        file = Path(folder) / "bench-nodes.yaml"
        file.write_text(_scenario(count))
        ours, theirs = in_turn(
            options.rounds, lambda: _by_lab(file, count, say), lambda: _by_podman(file, count, say)
        )
    measured, plain = (
        [statistics.median(column) for column in zip(*samples, strict=True)]
        for samples in (ours, theirs)
    )
    return [
        Row(
            "nodes",
            f"{count} machines until each is logged in to, {told(options.rounds)} "
            "(baseline: podman run)",
            measured[0],
            baseline=plain[0],
            aim=6.0,
            details={"nodes": count, "lab": ours, "plain": theirs},
        ),
        Row(
            "",
            "memory a machine: PSS of its processes, once it is up (baseline: podman run)",
            measured[1],
            unit="MiB",
            baseline=plain[1],
        ),
    ]


def _by_lab(file: Path, count: int, say: Say) -> tuple[float, float]:
    """Seconds until the last one can be logged in to, and MiB a machine."""
    with labs.fresh("nodes", file) as lab:
        _imported(labs.built(lab))
        started = time.monotonic()
        lab.up(say)
        seconds = time.monotonic() - started
        say(f"lab: {count} machines in {seconds:.1f} s")
        return seconds, _memory(f"label=lab={lab.name}", count)


def _by_podman(file: Path, count: int, say: Say) -> tuple[float, float]:
    """Seconds until the last one is ready, and MiB a container; of a lab's keys that never is."""
    with (
        labs.fresh("nodes", file) as lab,
        tempfile.TemporaryDirectory(prefix="lab-bench-") as folder,
    ):
        image = _imported(labs.built(lab))
        lab.access.create(lab.name, lab.scenario, lab.provider)
        seed = Path(folder) / "seed.tar"
        seed.write_bytes(lab.access.seed(lab.scenario, "node1"))
        seconds, memory = _plain(image, seed, count)
    say(f"plain: {count} containers in {seconds:.1f} s")
    return seconds, memory


def _imported(built: Images) -> str:
    """The name of the image that podman has of these, for either way; no part of what is measured.

    It has the name that lab gives it.
    """
    image = f"localhost/lab/{built.platform}:{built.key}"
    with lock.hold(LOCK, "the machinery", within=120):
        cgroups.enter()
    if command.run(_podman("image", "exists", image), within=60, check=False).returncode:
        command.run(_podman("import", "--quiet", str(built.rootfs), image), within=300)
    return image


@contextmanager
def _many_watches(count: int, say: Say) -> Iterator[None]:
    """Room for so many systemds in the kernel's limit of inotify instances, for the block.

    Each takes about ten; one that gets none comes up half.
    """
    before = int(INOTIFY.read_text())
    needed = max(before, 1024, 20 * count)
    try:
        if needed != before:
            say(f"{INOTIFY}: {before}, for this benchmark {needed}")
            INOTIFY.write_text(f"{needed}\n")
        yield
    finally:
        if needed != before and int(INOTIFY.read_text()) == needed:
            INOTIFY.write_text(f"{before}\n")


def _scenario(count: int) -> str:
    nodes = "".join(f"  node{n}: {{address: 192.168.122.{100 + n}}}\n" for n in range(1, count + 1))
    return (
        f"title: Bare machines\nabout: {count} machines.\nchapter: A\n"
        f"nodes:\n{nodes}steps:\n"
        "  - {section: A.1, title: Nothing, expect: [{no_file: {node: node1, path: /nothing}}]}\n"
    )


def _plain(image: str, seed: Path, count: int) -> tuple[float, float]:
    """Containers by plain podman: seconds until the last one is ready, and MiB a container."""
    names = [f"{PREFIX}{number}" for number in range(1, count + 1)]
    remove = _podman("rm", "--force", "--ignore", "--time=0", "--volumes", *names)
    command.run(remove, within=120)
    try:
        with (
            lock.hold(LOCK, "the machinery", within=120, shared=True),
            ThreadPoolExecutor(count) as pool,
        ):
            started = time.monotonic()
            list(pool.map(lambda name: _start(name, image, seed), names))
            seconds = time.monotonic() - started
            return seconds, _memory(f"name=^{PREFIX}", count)
    finally:
        with labs.unhurried():
            command.run(remove, within=120)


def _start(name: str, image: str, seed: Path) -> None:
    files, processes = (min(_hard(kind), most) for kind, most in (("n", 1 << 20), ("u", 32768)))
    limits = [f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={processes}:{processes}"]
    kind = ["--systemd=always", "--privileged", "--network=none", "--pids-limit=-1"]
    mount = f"--volume={seed}:/run/lab/seed.tar:ro"
    start = ["run", "--detach", "--name", name, *kind, *limits, mount, image, "/sbin/init"]
    command.run(_podman(*start), within=BOOT)
    ask = _podman("exec", name, "systemctl", "is-active", "--quiet", UNIT)
    up = wait_for(
        lambda: command.run(ask, within=BOOT, check=False).returncode == 0, bool, Deadline(BOOT)
    )
    if not up:
        raise LabError(f"{UNIT} in {name} did not start within {BOOT:.0f} s")


def _hard(letter: str) -> int:
    """A hard limit of this process; what podman may give is no higher."""
    text = command.run(["bash", "-c", f"ulimit -H -{letter}"], within=10).stdout.strip()
    return 1 << 30 if text == "unlimited" else int(text)


def _memory(which: str, count: int) -> float:
    """MiB a container: the proportional set sizes of all processes in its PID namespace."""
    listing = command.run(
        _podman("ps", "--no-trunc", "--filter", which, "--format={{.Pid}}"), within=60
    ).stdout.split()
    if len(listing) != count:
        raise LabError(f"{len(listing)} containers run, not {count}")
    spaces = {str(Path(f"/proc/{pid}/ns/pid").readlink()) for pid in listing}
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "ns/pid").readlink()) in spaces:
                found = re.search(r"^Pss:\s+(\d+)", (process / "smaps_rollup").read_text(), re.M)
                total += int(found[1]) if found else 0
        except OSError:
            continue  # it ended meanwhile
    return total / 1024 / count


def _podman(*arguments: str) -> list[str]:
    return [*cgroups.prefix(), "podman", *arguments]
