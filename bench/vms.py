"""Virtual machines: from nothing to ssh by lab, beside plain `vagrant up` of the same Vagrantfile,
and a restored snapshot beside a fresh lab.

Plain is the same machines, removed by `vagrant destroy` and brought up by `vagrant up` again, in
the same libvirtd: what lab adds is keys, network, libvirtd, BMCs, and its own look whether each
machine can be logged in to.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import labs
from bench.rows import Options, Row, Say
from lab import boxes, snapshots
from lab.lab import Lab
from lab.providers import libvirtd
from lab.providers.vagrant import UP
from lab.providers.vagrant_program import Program
from lab.together import on_each

COUNTS = (1, 3)
LOGIN = 300.0


def run(options: Options, say: Say) -> list[Row]:
    """One machine, then three; the snapshot is of the last lab."""
    labs.need_vagrant()
    rows = []
    for count in COUNTS[:1] if options.quick else COUNTS:
        with (
            tempfile.TemporaryDirectory(prefix="lab-bench-") as folder,
            labs.fresh(f"vms-{count}", _scenario(Path(folder), count), provider="vagrant") as lab,
        ):
            boxes.ensure(labs.built(lab))
            by_lab = _timed(partial(lab.up, say))
            say(f"{count} by lab: {by_lab:.1f} s")
            plain = _plain(lab, say)
            say(f"{count} by plain vagrant: {plain:.1f} s")
            text = f"{count} virtual machine{'s' * (count > 1)} to ssh (baseline: plain vagrant up)"
            rows.append(Row("vms", text, by_lab, baseline=plain, aim=1.05, aim_is_ratio=True))
            save = _timed(partial(snapshots.save, lab, "bench"))
            back = _timed(partial(snapshots.restore, lab, "bench"), partial(_logins, lab))
            say(f"snapshot saved in {save:.1f} s, restored in {back:.1f} s")
            text = f"{count}: a snapshot restored (baseline: a fresh lab)"
            details = {"save": save}
            rows.append(
                Row("vms", text, back, baseline=by_lab, aim=0.2, aim_is_ratio=True, details=details)
            )
    return rows


def _timed(*deeds: Callable[[], object]) -> float:
    started = time.monotonic()
    for deed in deeds:
        deed()
    return time.monotonic() - started


def _plain(lab: Lab, say: Say) -> float:
    lab.close()
    nodes = libvirtd.folder(lab.name) / "nodes.json"
    program = Program(lab.name, boxes.home(labs.built(lab)), nodes, say)
    program.destroy()  # type: ignore[no-untyped-call]
    return _timed(partial(program.bring_up, UP), partial(_logins, lab))


def _logins(lab: Lab) -> None:
    on_each(lab, lab.scenario.nodes, lambda machine: machine.await_login(LOGIN))


def _scenario(folder: Path, count: int) -> Path:
    file = folder / f"bench-vms-{count}.yaml"
    nodes = "".join(
        f"  node{number}: {{address: 192.168.122.{100 + number}, memory: 768}}\n"
        for number in range(1, count + 1)
    )
    file.write_text(
        f'title: Machines\nabout: Bare.\nchapter: "0"\nnodes:\n{nodes}steps:\n'
        '  - {section: "0.1", title: Nothing, where: node1, book: ["true"]}\n'
    )
    return file
