"""Section 6.2: a virtual machine as a remote node, fenced by the hypervisor it runs on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import OFFLINE, forget, lab, no_secret

from lab import paths
from lab.report import results

pytestmark = [pytest.mark.nightly, pytest.mark.takes(900)]

Steps = dict[str, Any]
Make = Callable[[Callable[[Steps], None]], Path]
VERY_LONG = 1800.0  # seconds: what is installed in an emulated machine takes its time

# An agent that says of every deed that it is done, and does none.
LIAR = r"""cd /usr/sbin && mv fence_virsh fence_virsh.true && cat > fence_virsh <<'EOF'
#!/bin/sh
given=$(cat)
case "$given" in *action=reboot*|*action=off*|*action=on*) exit 0 ;; esac
printf '%s\n' "$given" | exec /usr/sbin/fence_virsh.true "$@"
EOF
chmod +x fence_virsh"""


@pytest.mark.parametrize("altered", ["vm-remote-nodes"], indirect=True)
def test_vm_remote_nodes(name: str, altered: Make) -> None:
    """All of section 6.2; then fencing that is only pretended, which must not pass."""
    done = lab("up", "vm-remote-nodes", "--name", name, prefix=OFFLINE, within=VERY_LONG)
    assert done.status == 0, done.output
    assert re.search(r"^6\.2 .*\bPASS\b", done.output, re.M), done.output
    latest = paths.results() / name / "latest"
    no_secret(name, latest)
    events = results.read(latest / "results.jsonl")
    lines = [e["phases"] for e in events if e["event"] == "Recovered" and e["section"] == "6.2"]
    whole = [line for line in lines if None not in line.values()]
    assert len(whole) >= 2
    for line in whole:
        assert line["fenced"] < line["reintegrated"]
    switched = [e["action"] for e in events if e["event"] == "PowerSwitched"]
    assert "off" in switched  # what stood still was destroyed
    _pretended(name, altered)


def _pretended(name: str, altered: Make) -> None:
    """The agent says that it fenced, and so does the cluster; libvirtd's log does not."""

    def lie(steps: Steps) -> None:
        steps["6.2"]["parts"] = [
            {
                "fault": [{"freeze": {"node": "remote1", "process": "pacemaker-remoted"}}],
                "within": "90s",
                "expect": [{"node_lost": "remote1"}, {"fenced": "remote1"}],
            }
        ]

    for node in ("node1", "node2"):
        assert lab("exec", node, "--name", name, "--", LIAR).status == 0
    forget(name, "6.2")
    done = lab("up", str(altered(lie)), "--name", name)
    assert done.status == 1, done.output
    events = results.read(paths.results() / name / "latest" / "results.jsonl")
    (ended,) = [e for e in events if e["event"] == "StepEnded"]
    assert (ended["section"], ended["verdict"]) == ("6.2", "failed")
    assert "remote1 was fenced; seen: its hypervisor did nothing" in ended["problem"]
    assert re.search(r"in the cluster's history node[12].* fenced it", ended["problem"])
