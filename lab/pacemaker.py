"""Pacemaker by its generations: what lab asks it with, what it calls things, what it answers.

The one place that knows what the book's own Pacemaker, 1.1.16, has otherwise than 2 and 3. Source
for it: that release's tools/crm_mon.c, fencing/admin.c, crmd/te_events.c and lib/common/xml.c.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from lab.condition import holds
from lab.platform import Platform

STATUS = "crm_mon --output-as=xml"
OLD_STATUS = "crm_mon --as-xml --inactive"  # the other lists stopped resources anyway

# A cluster node's processes, of any generation; the kernel keeps 15 characters of a name.
# pacemaker_remote is not the cluster.
PROCESSES = (
    "corosync|pacemakerd|pacemaker-(based|fence|execd|attrd|sched|contr).*"
    "|cib|stonithd|lrmd|attrd|pengine|crmd"
)

_HISTORY = "stonith_admin --history '*' --verbose"  # --verbose: all of them, failed ones too


class NoHistory(ValueError):
    """What came back is no fencing history."""


@dataclass(frozen=True)
class Fencing:
    """An action of the cluster's fencing history. `by`: the node that carried it out, if any did.

    `status` is "success" or "failed"; of one that is not over yet, another word.
    """

    node: str
    status: str
    by: str = ""


def status_command(platform: Platform) -> str:
    """The command whose output `lab.status.parse` reads."""
    return STATUS if _speaks_xml(platform) else OLD_STATUS


def fencing_command(platform: Platform) -> str:
    """The command whose output `fencings` reads. It is about all nodes: asked about one alone, it
    tells of the last action that succeeded only.
    """
    return f"{_HISTORY} --output-as=xml" if _speaks_xml(platform) else _HISTORY


def fencings(text: str, platform: Platform) -> list[Fencing]:
    """The cluster's fencing history, from what `fencing_command` printed on standard output."""
    if not _speaks_xml(platform):
        return _of_sentences(text)
    try:
        events = list(ET.fromstring(text).iter("fence_event"))
    except ET.ParseError as error:
        raise NoHistory(f"stonith_admin did not print XML: {text.strip()[-300:]!r}") from error
    return [
        Fencing(one.get("target", ""), one.get("status", ""), one.get("delegate", ""))
        for one in events
    ]


def controller(platform: Platform) -> str:
    """The daemon that holds the connections, as the kernel has it: 15 characters at most."""
    return "pacemaker-contr" if _is_renamed(platform) else "crmd"


def failure_attribute(platform: Platform, resource: str, operation: str) -> str:
    """The node attribute with the time of the last failure; of 1.1 until .16, of any operation."""
    told_apart = holds("pacemaker >= 1.1.17", platform)
    return f"last-failure-{resource}" + (f"#{operation}_0" if told_apart else "")


def _speaks_xml(platform: Platform) -> bool:
    return holds("pacemaker >= 2.0.3", platform)


def _is_renamed(platform: Platform) -> bool:
    """Since 2.0 every daemon is called pacemaker-SOMETHING."""
    return holds("pacemaker >= 2.0", platform)


# Before 2.0.3 an action is a sentence, with an empty line after it.
_SENTENCE = re.compile(
    r"(?P<by>\S+) (?P<how>was able to|were able to|failed to) (?:turn )?\S+ node (?P<node>\S+) "
    r"on behalf of \S* ?from \S+ at .+"
)
_WISH = re.compile(r"\S+ at \S+ wishes to (?:turn )?\S+ node (?P<node>\S+) - .+")


def _of_sentences(text: str) -> list[Fencing]:
    found: list[Fencing] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if match := _SENTENCE.fullmatch(line):
            by = "" if match["by"] == "We" else match["by"]
            status = "failed" if match["how"] == "failed to" else "success"
            found.append(Fencing(match["node"], status, by))
        elif match := _WISH.fullmatch(line):
            found.append(Fencing(match["node"], "pending"))
        else:
            raise NoHistory(f"stonith_admin printed what is no fencing action: {line!r}")
    # Last of all stands, once more, the last one that succeeded.
    return found[:-1] if any(one.status == "success" for one in found) else found
