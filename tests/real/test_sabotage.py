"""Each thing that can be wrong turns its own section red, and nothing earlier.

One lab, taken through the chapter: before a section something is broken, the section must
fail there and for that reason; then it is mended and the section must pass.
"""

from __future__ import annotations

import os
import re
import signal
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Started, forget, lab, processes_of

from lab import paths
from lab.report import results

pytestmark = [pytest.mark.real, pytest.mark.takes(330)]

# The last words on a guest that is gone; the last of them where it went under a command.
LOST = "connection to guest1 was lost|guest1 cannot be reached|on guest1, this did not end"
Steps = dict[str, Any]
Make = Callable[[Callable[[Steps], None]], Path]


class Sabotaged:
    """A lab on which sections are made to fail."""

    def __init__(self, name: str, altered: Make) -> None:
        self.name = name
        self.altered = altered

    def passes(self, until: str, change: Callable[[Steps], None] = lambda steps: None) -> None:
        """All is well up to a section."""
        done = lab("up", str(self.altered(change)), "--name", self.name, "--until", until)
        assert done.status == 0, done.output

    def fails(self, section: str, reason: str, change: Callable[[Steps], None]) -> list[str]:
        """The section, and no other one, fails, and the reason is the one that was made; what
        became of the cluster meanwhile, in words.
        """
        done = lab("up", str(self.altered(change)), "--name", self.name, "--until", section)
        assert done.status == 1, done.output
        problem, changes = self.failed(section)
        assert reason in problem
        return changes

    def failed(self, section: str) -> tuple[str, list[str]]:
        """Why the last run's only section failed, and the changes of the cluster in that run."""
        events = results.read(paths.results() / self.name / "latest" / "results.jsonl")
        ended = [e for e in events if e["event"] == "StepEnded"]
        assert [(e["section"], e["verdict"]) for e in ended] == [(section, "failed")]
        changed = [e["changes"] for e in events if e["event"] == "ClusterChanged"]
        return ended[0]["problem"], [one for changes in changed for one in changes]

    def evidence(self, section: str, node: str = "example-host") -> dict[str, str]:
        """What was kept of a node when the section failed."""
        folder = paths.results() / self.name / "latest" / f"evidence-{section}" / node
        return {file.name: file.read_text() for file in folder.iterdir()}

    def on(self, node: str, command: str) -> None:
        """Break or mend something by hand."""
        done = lab("exec", node, "--name", self.name, "--", command)
        assert done.status == 0, done.output


def test_sabotage(name: str, altered: Make) -> None:
    """Six ways to break chapter 4, a reboot that does not happen, and a guest that dies."""
    sabotaged = Sabotaged(name, altered)
    host, guest = "example-host", "guest1"

    # A host that is told to reboot, and does not.
    def no_reboot(steps: Steps) -> None:
        steps["4.1.7"]["parts"][1] |= {"act": [], "within": "2s"}

    def second_part_only(steps: Steps) -> None:
        del steps["4.1.7"]["parts"][0]

    sabotaged.passes("4.1.6")
    sabotaged.fails("4.1.7", "was rebooted and is up again; seen: still the same boot", no_reboot)
    sabotaged.passes("4.2.1", second_part_only)

    # The firewall service is not added in the guest, though the command said success.
    def no_service(steps: Steps) -> None:
        steps["4.2.2"]["book"][0] = "echo success"

    sabotaged.fails("4.2.2", "guest1's firewall lets", no_service)
    sabotaged.passes("4.2.3")

    # Another key in the guest than on the host.
    def other_key(steps: Steps) -> None:
        steps["4.2.4"]["book"][4] = "dd if=/dev/urandom of=/etc/pacemaker/authkey bs=4096 count=1"

    def installed_already(steps: Steps) -> None:
        step = steps["4.2.4"]
        step["before"] = []
        step["book"][0] = "true"
        step["adapt"] = []

    sabotaged.fails("4.2.4", "authkey is the same on example-host, guest1", other_key)

    # pacemaker_remote is masked.
    sabotaged.on(guest, "systemctl stop pacemaker_remote; systemctl mask pacemaker_remote")
    sabotaged.fails("4.2.4", "systemctl enable pacemaker_remote.service", installed_already)
    sabotaged.on(guest, "systemctl unmask pacemaker_remote")
    sabotaged.passes("4.2.4", installed_already)

    # A daemon that was stopped is not started again.
    def not_restarted(steps: Steps) -> None:
        part = steps["4.2.5"]["parts"][-2]
        part |= {"act": [], "within": "3s"}

    sabotaged.fails("4.2.5", "port 3121 is accepted; seen: refused", not_restarted)
    sabotaged.on(host, "sed -i /guest1/d /etc/hosts")
    sabotaged.on(guest, "systemctl start pacemaker_remote")
    sabotaged.passes("4.3.1")

    # The guest's disk is missing.
    def soon(steps: Steps) -> None:
        steps["4.3.2"]["within"] = "60s"

    disk = "/var/lib/libvirt/images/guest1.qcow2"
    sabotaged.on(host, f"mv {disk} {disk}.away")
    changes = sabotaged.fails("4.3.2", "libvirt says that guest1 is running", soon)
    # It is no slow machine: the cluster tried, and could not.
    assert any(one.startswith("failed: vm-guest1_start_0 on example-host") for one in changes)
    _tell(sabotaged.evidence("4.3.2"))
    assert "cannot be reached" in sabotaged.evidence("4.3.2", guest)["unreachable.txt"]
    # What it said before it was gone is all that there is of it.
    assert "lab boot " in sabotaged.evidence("4.3.2", guest)["console.txt"]
    sabotaged.on(host, f"mv {disk}.away {disk}")
    sabotaged.on(host, "pcs resource delete vm-guest1 --force")
    sabotaged.on(host, "virsh define /etc/pacemaker/guest1.xml")
    sabotaged.passes("4.3.2")

    # FAKE3 is not told to prefer guest1.
    def no_constraint(steps: Steps) -> None:
        steps["4.3.3"]["parts"][1]["book"] = ["true"]
        steps["4.3.3"]["parts"][1]["within"] = "5s"

    sabotaged.fails("4.3.3", "resource FAKE3 is started on guest1", no_constraint)
    _tell(sabotaged.evidence("4.3.3"))
    there = sabotaged.evidence("4.3.3", guest)
    assert "pacemaker-remoted" in there["journal.txt"]
    assert "pacemaker-remoted" in there["processes.txt"]
    assert ":3121" in there["sockets.txt"]
    assert "high-availability" in there["firewall.txt"]
    assert there["console.txt"].count("lab boot ") > 1  # of each time that it was started
    assert "unreachable.txt" not in there

    _killed(sabotaged)


def _tell(evidence: dict[str, str]) -> None:
    """What is kept of the host tells what was going on there."""
    assert len(evidence["journal.txt"].splitlines()) > 100
    assert ET.fromstring(evidence["crm_mon.xml"]).find(".//node[@name='example-host']") is not None
    assert ET.fromstring(evidence["cib.xml"]).find(".//primitive[@id='vm-guest1']") is not None
    for file, text in {
        "crm_mon.txt": "vm-guest1",
        "corosync.conf": "cluster_name: mycluster",
        "corosync.log": "[TOTEM ]",
        "pacemaker.log": "vm-guest1",
        "libvirt.txt": "guest1",
        "sockets.txt": ":2224",
        "firewall.txt": "high-availability",
        "processes.txt": "pacemaker-controld",
        "units.txt": "corosync.service",
    }.items():
        assert text in evidence[file], (file, evidence[file][:500])


def _killed(sabotaged: Sabotaged) -> None:
    """The guest's process is killed from outside while a section waits for something in it."""
    name = sabotaged.name
    sabotaged.on("example-host", "pcs property set maintenance-mode=true")  # it stays dead
    forget(name, "4.2.4")

    def in_vain(steps: Steps) -> None:
        key = {"node": "guest1", "path": "/etc/pacemaker/authkey"}
        waits = {"book": ["true"], "expect": [{"no_file": key}], "within": "15s"}
        steps["4.2.4"] |= {"before": [], "adapt": [], **waits}

    (guest,) = [pid for pid, line in processes_of(name).items() if "guest=guest1" in line]
    started = Started("up", str(sabotaged.altered(in_vain)), "--name", name, "--until", "4.2.4")
    started.until("waiting until")
    os.kill(guest, signal.SIGKILL)
    output, _ = started.process.communicate(timeout=180)
    assert started.process.returncode == 1, output
    assert "Traceback" not in output
    assert output.count("4.2.4  failed: ") == 1, output
    problem, _ = sabotaged.failed("4.2.4")
    assert re.search(LOST, problem), problem
    assert lab("down", name).status == 0
