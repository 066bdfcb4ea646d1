"""What a cluster costs as its number of remote nodes grows: points, kept from run to run.

<state>/growth.json      every number of nodes that was measured on this machine, the last time
<lab's folder>/times.json   what was timed in one lab, until it is made a point
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from lab import lock, paths
from lab.errors import CannotRun, CommandFailed
from lab.stored import parsed
from lab.together import on_each
from lab.whole import write_json

if TYPE_CHECKING:
    from lab.lab import Lab

# On a node: the CIB in bytes, and the seconds that the scheduler takes for it, the best of three.
_CLUSTER = """set -e
cib=$(mktemp); trap 'rm -f "$cib"' EXIT
cibadmin --query > "$cib"; stat -c %s "$cib"
for _ in 1 2 3; do
    before=$(date +%s%N); crm_simulate --xml-file "$cib" --simulate --quiet > /dev/null
    echo $(($(date +%s%N) - before))
done
"""
# On a slim machine: KiB of all processes but those of this login, each shared page by its share.
_MEMORY = """for p in /proc/[0-9]*; do
    case $(tr '\\0' ' ' < $p/cmdline) in pcmk-init*|*pacemaker-remoted*)
        sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' $p/smaps_rollup ;;
    esac
done"""

Time = Literal["integrate", "failover"]


@dataclass(frozen=True)
class Point:
    """One cluster. `nodes`: how many remotes. `integrate`: seconds from their configuration to all
    of them online; `failover`: from a cluster node's loss of power until another one has its
    connections; `scheduler`: seconds for one run on the CIB of `cib` bytes; `memory`: MiB a remote;
    `load`: of the machine that all of this ran on, on average over the last 5 minutes.
    """

    nodes: int
    integrate: float
    failover: float
    cib: int
    scheduler: float
    memory: float
    load: float = 0.0
    platform: str = ""
    at: float = 0.0

    @property
    def text(self) -> str:
        """It in words."""
        return (
            f"integrated in {self.integrate:.1f} s, fail-over {self.failover:.1f} s, "
            f"CIB {self.cib} bytes, scheduler {self.scheduler:.3f} s, "
            f"{self.memory:.1f} MiB a remote"
        )


def note(lab: Lab, name: Time, seconds: float) -> None:
    """Keep how long something took in this lab."""
    file = _times(lab)
    found = json.loads(file.read_text()) if file.exists() else {}
    write_json(file, found | {name: round(seconds, 3)})


def measured(lab: Lab, nodes: list[str], on: str) -> Point:
    """The lab's cluster as a point. CannotRun if its times were not taken."""
    times = json.loads(_times(lab).read_text()) if _times(lab).exists() else {}
    if missing := [name for name in get_args(Time) if name not in times]:
        raise CannotRun(f"{' and '.join(missing)} was not timed in this lab")
    cluster = lab.machine(on).run(_CLUSTER, within=300, check=True).stdout.split()
    memory = on_each(lab, nodes, lambda machine: machine.run(_MEMORY, check=True).stdout)
    if silent := [node for node, text in memory.items() if not text.split()]:
        raise CommandFailed(f"pacemaker-remoted does not run on {', '.join(silent)}")
    total = sum(int(size) for text in memory.values() for size in text.split())
    return Point(
        nodes=len(nodes),
        integrate=times["integrate"],
        failover=times["failover"],
        cib=int(cluster[0]),
        scheduler=round(min(map(int, cluster[1:])) / 1e9, 4),
        memory=round(total / 1024 / len(nodes), 2),
        load=round(os.getloadavg()[1], 1),
        platform=lab.platform.name,
        at=time.time(),
    )


def load(state: Path | None = None) -> list[Point]:
    """Every point so far, from few nodes to many, of a state folder (by default, the one in use).

    CannotRun if the file is damaged.
    """
    file = _file(state)
    if not file.exists():
        return []
    try:
        return [Point(**one) for one in parsed(file.read_bytes())]
    except (ValueError, TypeError) as error:
        raise CannotRun(f"{file} is damaged: {error}", hint="remove it") from error


def add(point: Point, state: Path | None = None) -> list[Point]:
    """Keep a point in place of one with as many nodes; all points of its platform."""
    file = _file(state)
    file.parent.mkdir(parents=True, exist_ok=True)
    with lock.hold(file.with_suffix(".lock"), "what was measured", within=10):
        others = [p for p in load(state) if (p.nodes, p.platform) != (point.nodes, point.platform)]
        points = sorted([*others, point], key=lambda one: (one.platform, one.nodes))
        write_json(file, [asdict(one) for one in points], indent=1)
    return [one for one in points if one.platform == point.platform]


def from_plain(data: dict[str, Any]) -> Point:
    """A point from plain data; what a later version of lab may have added is left out."""
    known = {field.name for field in fields(Point)}
    return Point(**{key: value for key, value in data.items() if key in known})


def _times(lab: Lab) -> Path:
    return lab.folder / "times.json"


def _file(state: Path | None) -> Path:
    return (state or paths.state()) / "growth.json"
