"""From a fault to the recovery, beside the time-outs that the cluster itself was given.

The faults are those of section 5.6. What the cluster must wait anyway is read from its own
configuration: for the connection of a remote node the monitor's interval and time-out, for a
cluster node Corosync's token and consensus. The harness's own share is what its BMC took: from
a request to the power being switched.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench import labs
from bench.rows import Options, Row, Say
from lab import bmc, scenario
from lab.events import Event, FaultInjected, Recovered
from lab.lab import Lab


def run(options: Options, say: Say) -> list[Row]:
    """One pass through the chapter; `--quick` makes no difference."""
    del options
    found: list[tuple[str, Recovered]] = []
    fault = ""

    def listen(event: Event) -> None:
        nonlocal fault
        if isinstance(event, FaultInjected):
            fault = event.text
        elif isinstance(event, Recovered):
            if fault and all(after is not None for after in event.phases.values()):
                found.append((fault, event))
            fault = ""

    file = Path(scenario.find("remote-walkthrough"))
    with labs.fresh("recovery", file) as lab:
        lab.up(say)
        labs.run(lab, labs.sections(lab, "5.6"), say, listeners=[listen])
        connection, member = _connection(lab), _member(lab)
        log = bmc.log(lab)
    rows: list[Row] = []
    for text, event in found:
        waits = member if "power" in text else connection
        total = max(after for after in event.phases.values() if after is not None)
        own = [
            entry["at"] - entry["asked"]
            for entry in log
            if event.began <= entry.get("asked", 0.0) <= event.began + total
        ]
        rows.append(
            Row(
                "" if rows else "recovery",
                f"{text} (baseline: time-outs configured); BMC's own share {sum(own):.2f} s",
                total,
                baseline=waits,
                details={"phases": event.phases, "bmc": own},
            )
        )
    return rows


def _connection(lab: Lab) -> float:
    """Seconds until a dead connection to a remote node is noticed at the latest."""
    path = "//primitive[@id='remote1']/operations/op[@name='monitor']"
    monitor = lab.machine("node1").run(f'cibadmin --query --xpath "{path}"', check=True).stdout
    times = [re.search(rf'{name}="(\d+)s?"', monitor) for name in ("interval", "timeout")]
    return sum(float(found[1]) for found in times if found)


def _member(lab: Lab) -> float:
    """Seconds until a dead cluster node is noticed at the latest."""
    keys = lab.machine("node1").run("corosync-cmapctl runtime.config.totem.").stdout
    times = [re.search(rf"totem\.{name} \(u32\) = (\d+)", keys) for name in ("token", "consensus")]
    return sum(float(found[1]) / 1000 for found in times if found)
