"""The kinds of values that checks, actions and faults take, beside plain texts.

Each is validated when a scenario is loaded, and an editor's JSON Schema has it. What names a node
of the scenario, or a command of the part, is in lab.vocabulary.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lab.fields import Between, Port, Shape

PortNumber = Annotated[int, Between(1, 65535)]
Ports = Annotated[list[Port], Field(min_length=1)]
Count = Annotated[int, Between(0, 1_000_000)]
Number = Annotated[int, Between(1, 1_000_000)]  # of times, of seconds
Bytes = Annotated[int, Between(0, 1_000_000_000_000)]
Percent = Annotated[int, Between(1, 100)]
Milliseconds = Annotated[int, Between(1, 60_000)]
Mode = Annotated[str, Shape(r"^[0-7]{4}$", "an octal mode: write four digits, such as 0750")]
Socket = Annotated[
    str,
    Shape(
        r"^((tcp|udp)://([^\s/]+:)?\d{1,5}|unix:///\S+)$",
        "a socket: write tcp://3121, udp://5405, tcp://127.0.0.1:80 or unix:///run/name",
    ),
]

# crm_mon's words: promoted resources have others since Pacemaker 2.1.
ResourceRole = Literal[
    "Started",
    "Stopped",
    "Starting",
    "Stopping",
    "Migrating",
    "Promoted",
    "Unpromoted",
    "Promoting",
    "Demoting",
    "Master",
    "Slave",
]
CibSection = Literal["nodes", "status"]
# As lab.guests has libvirt's states.
DomainState = Literal[
    "running",
    "idle",
    "paused",
    "in shutdown",
    "shut off",
    "crashed",
    "pmsuspended",
    "undefined",
]
# What platforms have under `versions:` and `agents:`.
Software = Literal["pacemaker", "pcs", "corosync", "libvirt", "qemu", "openssh", "systemd"]
FenceAgent = Literal["fence_ipmilan", "fence_virsh"]
