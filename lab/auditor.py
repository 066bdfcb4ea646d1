"""Audits after each section: looks until all is well, or until it should have been."""

from __future__ import annotations

import time

from lab import audits
from lab.audits import Finding
from lab.deadline import Deadline, wait_for
from lab.events import Audited
from lab.lab import Lab
from lab.model import Announcement
from lab.scene import Core, Failure, Scene, found_cores, recorded_failures
from lab.survey import Surveyor

GRACE = 15.0  # seconds for a cluster that is on its way when the section ends


class Auditor:
    """Audits one lab, section after section.

    What was there when it was made, or after the last section, is known: failed actions and
    cores that are older are nobody's surprise.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._surveyor = Surveyor(lab)
        self._failures: frozenset[Failure] = frozenset()
        self._cores: frozenset[Core] = frozenset()
        self._remember(self._look(Announcement(), expects_cluster=False))

    def audit(
        self, section: str, announce: Announcement, *, expects_cluster: bool
    ) -> list[Audited]:
        """Every audit's verdict. One that is violated is looked at again for GRACE, or for as
        long as the section announced; `expects_cluster`: a cluster was seen, and not stopped.
        """
        started = time.monotonic()
        scene: Scene

        def look() -> list[Finding]:
            nonlocal scene
            scene = self._look(announce, expects_cluster=expects_cluster)
            return audits.judge(scene)

        def settled(finding: Finding) -> bool:
            patience = announce.violated.get(finding.audit, GRACE)
            late = time.monotonic() - started > patience
            return finding.verdict == "passed" or late

        findings = wait_for(
            look,
            lambda found: all(map(settled, found)),
            Deadline(max([GRACE, *announce.violated.values()])),
        )
        self._remember(scene)
        return [
            Audited(
                section=section,
                audit=finding.audit,
                verdict=finding.verdict,
                seen=finding.seen,
                announced=finding.audit in announce.violated,
            )
            for finding in findings
        ]

    def _look(self, announce: Announcement, *, expects_cluster: bool) -> Scene:
        on = self._lab.with_power()
        return Scene(
            surveys=self._surveyor.look(on),
            machines_on=frozenset(on),
            cluster_nodes=tuple(self._lab.scenario.cluster_nodes),
            expected_nodes=announce.nodes,
            announced_failures=tuple(announce.failed),
            announced_crashes=tuple(announce.crashes),
            known_failures=self._failures,
            known_cores=self._cores,
            expects_cluster=expects_cluster,
        )

    def _remember(self, scene: Scene) -> None:
        self._failures = recorded_failures(scene.surveys)
        self._cores = found_cores(scene.surveys)
        self._surveyor.forget()
