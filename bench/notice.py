"""From a change in the cluster to the end of a wait for it.

A resource is stopped and started. When the cluster knew that it was, says the cluster: an alert
has the time at which its controller had the operation's result, whenever the agent ran that wrote
it down. (The CIB has it some milliseconds later; these count as the wait's.) When the wait ended,
says the runner. Machines that are containers have the clock of this machine, so the two compare.
"""

from __future__ import annotations

import random
import shlex
import statistics
import tempfile
from pathlib import Path

from bench import labs
from bench.plain import Plain
from bench.rows import Options, Row, Say, p95, summary
from lab import checks, command
from lab.deadline import Deadline, wait_for
from lab.errors import LabError
from lab.events import Checked, Event
from lab.lab import Lab
from lab.plan import PlannedCommand, PlannedPart, PlannedStep, Use
from lab.runner import Runner

SAMPLES = 24
WITHIN = 30.0
RESOURCE = "BENCH"
# An agent of alerts is run as hacluster, who must be able to read it, and to write there.
SEEN = "/run/bench-alerts"
AGENT = "/usr/local/bin/bench-alert"
_AGENT = f"""#!/bin/bash
[ "$CRM_alert_kind" = resource ] || exit 0
at=$CRM_alert_timestamp_epoch.$CRM_alert_timestamp_usec
echo "$at $CRM_alert_rsc $CRM_alert_task $CRM_alert_rc" >> {SEEN}
"""
_PREPARE = (
    "pcs property set stonith-enabled=false",
    f"install --owner=hacluster /dev/null {SEEN}",
    f"pcs alert create path={AGENT}",
    f"pcs resource create {RESOURCE} ocf:pacemaker:Dummy op monitor interval=1h",
    "crm_resource --wait --timeout=30",  # it is started, before it is stopped
)


def run(options: Options, say: Say) -> list[Row]:
    """Lab's wait and a shell loop over ssh take turns."""
    ours: list[float] = []
    theirs: list[float] = []
    with labs.fresh("notice") as lab, tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        lab.up(say)
        labs.run(lab, labs.sections(lab, "4.1.5"), say)
        node = lab.machine(labs.HOST)
        node.put(_AGENT.encode(), AGENT, mode=0o755)
        for line in _PREPARE:
            node.run(line, within=60, check=True)
        plain = Plain(lab, Path(folder))
        for number in range(2 * (4 if options.quick else SAMPLES)):
            role = ("Stopped", "Started")[number % 2]
            turn = number % 4 in (0, 3)  # so that each sees as many stops as starts
            if turn:
                ours.append(_by_lab(lab, role))
            else:
                theirs.append(_by_shell(lab, plain, role))
            say(f"{role}: {'lab' if turn else 'plain'} {(ours if turn else theirs)[-1]:.3f} s")
    details = {"lab": summary(ours), "plain": summary(theirs)}
    return [
        Row(
            "notice",
            f"from a change, as the cluster dates it, to the end of a wait, median of {len(ours)} "
            "(baseline: a shell loop)",
            statistics.median(ours),
            baseline=statistics.median(theirs),
            aim=0.3,
            details=details,
        ),
        Row("", "the same, 95th percentile", p95(ours), baseline=p95(theirs)),
    ]


def _by_lab(lab: Lab, role: str) -> float:
    """A section of one command and one expectation, by the runner."""
    wanted = {"resource_role": {"resource": RESOURCE, "role": role}}
    use = Use(*checks.load().use(wanted, lab.scenario.names, lab.scenario.guests))
    change = PlannedCommand(
        nodes=(labs.HOST,), text=_later(role), exit=(0,), secret="", adapted=False, book=(), why=""
    )
    part = PlannedPart(book=0, before=(), commands=(change,), acts=(), expect=(use,), within=WITHIN)
    ended: list[Checked] = []

    def listen(event: Event) -> None:
        if isinstance(event, Checked):
            ended.append(event)

    since = _lines(lab)
    Runner(lab, [listen]).step(PlannedStep("notice", "Notice a change", (part,)))
    if not ended or ended[-1].verdict != "passed":
        raise LabError(f"{RESOURCE} was not seen {role}: {ended}")
    return _delay(ended[-1].at, _known(lab, role, since))


def _by_shell(lab: Lab, plain: Plain, role: str) -> float:
    """The same command and wait by a shell script."""
    condition = f"started {RESOURCE} {labs.HOST}" if role == "Started" else f"stopped {RESOURCE}"
    change = f"typed 0 {labs.HOST} {shlex.quote(_later(role))}"
    since = _lines(lab)
    argv = plain.write("change", [change, f"try {WITHIN:.0f} {condition}", "mark end"])
    output = command.run(argv, within=2 * WITHIN).stdout
    return _delay(float(output.split()[-2]), _known(lab, role, since))


def _delay(ended: float, known: float) -> float:
    """LabError where the wait ended before there was anything to notice."""
    if ended < known:
        raise LabError(f"{RESOURCE} was seen {known - ended:.3f} s before the cluster knew")
    return ended - known


def _later(role: str) -> str:
    """Changes the resource's role in a while, when the wait has begun."""
    change = (
        f"crm_resource --resource {RESOURCE} --meta --set-parameter target-role "
        f"--parameter-value {role}"
    )
    return f"(sleep {random.uniform(0.6, 1.2):.3f}; {change}) < /dev/null > /dev/null 2>&1 &"


def _lines(lab: Lab) -> int:
    return len(lab.machine(labs.HOST).run(f"cat {SEEN}", check=True).stdout.splitlines())


def _known(lab: Lab, role: str, since: int) -> float:
    """When the cluster knew that the operation had succeeded, by an alert after that many lines."""
    task = {"Stopped": "stop", "Started": "start"}[role]

    def look() -> list[str]:
        text = lab.machine(labs.HOST).run(f"cat {SEEN}", check=True).stdout
        return [
            line for line in text.splitlines()[since:] if line.split()[1:] == [RESOURCE, task, "0"]
        ]

    if found := wait_for(look, bool, Deadline(WITHIN)):
        return float(found[0].split()[0])
    raise LabError(f"no alert on {labs.HOST} told of the {task} of {RESOURCE}")
