"""The shape of a scenario and of a platform: what YAML files are turned into.

Everything is frozen and strict: an unknown key is an error, nothing is coerced.
A scenario is a chapter of the book, a step one of its numbered sections.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

from packaging.version import Version
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from lab.deadline import parse_seconds

NAME = r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$"
Family = Literal["debian", "redhat"]
Secret = Literal["hacluster", "bmc"]  # the user that pcs authenticates nodes as; of the BMCs
Role = Literal["cluster", "remote"]


def _address(value: str) -> str:
    try:
        return str(IPv4Address(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IPv4 address") from error


def _version(value: str) -> str:
    try:
        Version(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a version") from error
    return value


def _names(value: object) -> object:
    return [value] if isinstance(value, str) else value


NodeName = Annotated[str, Field(pattern=NAME)]
Where = Annotated[  # one name, or several nodes at once
    list[NodeName],
    BeforeValidator(_names),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": NAME},
                {"type": "array", "items": {"type": "string", "pattern": NAME}},
            ]
        }
    ),
]
Address = Annotated[
    str, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "ipv4"})
]
VersionText = Annotated[str, AfterValidator(_version)]


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from error
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
Seconds = Annotated[
    float,
    BeforeValidator(parse_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|min)$"},
            ]
        }
    ),
]
MiB = Annotated[int, Field(ge=64)]
# One entry: the name of a check, an action or a fault -> its arguments. What the editor's schema
# says of them is put together in lab.schema.
Checks = list[Annotated[dict[str, Any], WithJsonSchema({"x-lab-use": "check"})]]
Actions = list[Annotated[dict[str, Any], WithJsonSchema({"x-lab-use": "action"})]]
Faults = list[Annotated[dict[str, Any], WithJsonSchema({"x-lab-use": "fault"})]]


class Frozen(BaseModel):
    """Base of every model here: immutable, and no key that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Machine(Frozen):
    """A machine that the provider brings up (in the book: physical host, node)."""

    address: Address
    role: Role = "cluster"  # becomes a cluster node, or a remote node
    hypervisor: bool = False  # runs guests: its network card sits in a bridge, br0
    memory: MiB = 1024  # for virtual machines; containers share the machine's
    cpus: int = 2
    slim: bool = False  # a container whose first process is pacemaker-remoted: no systemd, no BMC

    @model_validator(mode="after")
    def _slim_is_remote(self) -> Machine:
        if self.slim and (self.role != "remote" or self.hypervisor):
            raise ValueError("slim: such a machine can only be a remote node (role: remote)")
        return self


class Fleet(Frozen):
    """Many machines alike: PREFIX1, PREFIX2 … PREFIXn, at addresses from the first one upwards.

    `count` is how many there are unless `lab up --remotes` says otherwise. In a list of nodes
    the word `fleet` stands for all of them. `lab.fleet` puts them among the scenario's nodes.
    """

    prefix: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z])?$")]
    address: Address
    count: Annotated[int, Field(ge=1)]
    role: Role = "remote"
    slim: bool = False

    @property
    def names(self) -> list[str]:
        """Every machine's name."""
        return [f"{self.prefix}{number}" for number in range(1, self.count + 1)]


class Guest(Frozen):
    """A virtual machine that runs on one of the machines (in the book: guest node)."""

    host: NodeName
    address: Address
    memory: MiB = 512
    cpus: int = 2


class Command(Frozen):
    """A command as typed at the root prompt of a node, or of several nodes at once."""

    run: str
    where: Where = []
    exit: tuple[int, ...] = (0,)
    stdin: Secret | None = None  # name of a secret of the lab that the command reads

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return {"run": value}
        if isinstance(value, dict) and isinstance(value.get("exit"), list):
            return value | {"exit": tuple(value["exit"])}
        return value


class Adaptation(Frozen):
    """What a platform needs instead of, before or after a command of the book, and why.

    `replaces` holds numbers of the book's commands in this part, counted from 1; with an
    empty `run` they are left out. `before`/`after` add commands beside one that stays.
    """

    when: str
    run: list[Command]
    why: str = Field(min_length=10)
    replaces: int | Annotated[list[int], Field(min_length=1)] | None = None
    before: int | None = None
    after: int | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Adaptation:
        places = [p for p in (self.replaces, self.before, self.after) if p is not None]
        if len(places) != 1:
            raise ValueError("give exactly one of: replaces, before, after")
        return self

    @property
    def numbers(self) -> list[int]:
        """The book's commands that this adaptation is about."""
        if isinstance(self.replaces, list):
            return self.replaces
        return [n for n in (self.replaces, self.before, self.after) if n is not None]


class Part(Frozen):
    """Commands of a section together with what must hold before and after them.

    Order: `before` is checked, `book` (adapted) is typed, `act` is done (what the book
    asks for in words), the `fault`s are injected, `expect` is awaited in its order, all of it
    `within` one deadline; then the faults are healed, and `healed` is awaited, `within` too.
    """

    where: Where = []
    before: Checks = []
    book: list[Command] = []
    adapt: list[Adaptation] = []
    act: Actions = []
    fault: Faults = []
    expect: Checks = []
    healed: Checks = []
    within: Seconds = 30.0

    @model_validator(mode="after")
    def _healed_of_fault(self) -> Part:
        if self.healed and not self.fault:
            raise ValueError("healed: there is no fault here that could be healed")
        return self


class Announcement(Frozen):
    """What the audits after a section are to expect, beyond that all is well.

    `nodes`: a node's state in words where it is not online ("offline", "absent"). `failed`:
    failed actions that may be on record, each "RESOURCE OPERATION". `crashes`: regular expressions
    of what the journal may say of a daemon that crashed. `violated`: audits that may be violated,
    and for how long after the section.
    """

    nodes: dict[NodeName, str] = {}
    failed: list[str] = []
    crashes: list[Pattern] = []
    violated: dict[str, Seconds] = {}


class Step(Part):
    """A numbered section. Either it is one part itself, or it has `parts`."""

    section: str = Field(pattern=r"^(\d+|[A-Z])(\.\d+)*$")
    title: str
    parts: list[Part] = []
    announce: Announcement = Announcement()

    @model_validator(mode="after")
    def _parts_or_part(self) -> Step:
        own = self.before or self.book or self.adapt or self.act or self.fault or self.expect
        if self.parts and own:
            raise ValueError(
                "a section has either parts or its own book/act/fault/expect, not both"
            )
        if not self.parts and not own:
            raise ValueError("a section needs book, act, fault, expect or parts")
        return self


class Scenario(Frozen):
    """A chapter of the book as a list of steps on named machines."""

    title: str
    about: str
    chapter: str
    nodes: dict[NodeName, Machine]
    guests: dict[NodeName, Guest] = {}
    fleet: Fleet | None = None
    steps: list[Step]

    @property
    def names(self) -> list[str]:
        """Every node's name: machines first, then guests."""
        return [*self.nodes, *self.guests]

    @property
    def cluster_nodes(self) -> list[str]:
        """The machines that run the full stack."""
        return [name for name, machine in self.nodes.items() if machine.role == "cluster"]

    def address(self, node: str) -> str:
        """A node's address on the lab's network."""
        found = self.nodes.get(node) or self.guests[node]
        return found.address


class Repository(Frozen):
    """The local package repository: what nodes can install without a network."""

    groups: list[list[str]]  # each group must be installable as a whole


class Platform(Frozen):
    """An operating system that nodes run, with the versions that adaptations ask for."""

    name: NodeName
    title: str
    family: Family
    suite: str
    versions: dict[str, VersionText]  # software -> version, as `when:` compares it
    packages: dict[str, str]  # software -> the package that carries that version
    base: list[str] = []
    guest: list[str] = []
    repository: Repository = Repository(groups=[])

    @model_validator(mode="after")
    def _versions_of_packages(self) -> Platform:
        if unknown := [name for name in self.packages if name not in self.versions]:
            raise ValueError(f"packages: {', '.join(unknown)} has no entry in versions")
        return self
