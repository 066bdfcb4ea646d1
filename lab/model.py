"""The shape of a scenario: what its YAML file is turned into. (A platform's is in lab.platform.)

Everything is frozen and strict: an unknown key is an error, nothing is coerced.
A scenario is a chapter of the book, a step one of its numbered sections.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from lab.fields import (
    Address,
    Between,
    ExitStatus,
    FailedOperation,
    GuestKind,
    GuestRole,
    Line,
    MiB,
    NodeName,
    NodeState,
    Numbers,
    Pattern,
    Processors,
    Reason,
    Role,
    ScenarioName,
    Seconds,
    Secret,
    SectionNumber,
    Shape,
    Where,
)
from lab.yamlfile import Place, Spot


class Frozen(BaseModel):
    """Base of every model here: immutable, and no key that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Conditional(Frozen):
    """What may be there only on platforms of which `when` is true; `why` says the reason."""

    when: str = ""
    why: Reason = ""

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if bool(self.when) != bool(self.why):
            raise ValueError("give both of: when, why")
        return self


class Entry(Conditional):
    """One use of a check, an action or a fault: its name -> its arguments."""

    use: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _from_mapping(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError(
                "should be a word, a colon and its arguments, such as remote_online: remote1 or "
                "quorum: (see lab words)"
            )
        own = {key: value[key] for key in ("when", "why") if key in value}
        return own | {"use": {key: value[key] for key in value if key not in own}}


# What the editor's schema says of the entries is put together in lab.schema.
Checks = list[Annotated[Entry, WithJsonSchema({"x-lab-use": "check"})]]
Actions = list[Annotated[Entry, WithJsonSchema({"x-lab-use": "action"})]]
Faults = list[Annotated[Entry, WithJsonSchema({"x-lab-use": "fault"})]]


class Machine(Frozen):
    """A machine that the provider brings up (in the book: physical host, node)."""

    address: Address
    role: Role = "cluster"  # becomes a cluster node, or a remote node, or neither
    hypervisor: bool = False  # runs guests: its network card sits in a bridge, br0
    memory: MiB = 1024  # for virtual machines; containers share the machine's
    cpus: Processors = 2
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

    prefix: Annotated[
        str,
        Shape(
            r"^[a-z]([a-z0-9-]{0,30}[a-z])?$",
            "the beginning of names, such as remote: write small letters, digits and hyphens "
            "within, 32 characters at most",
        ),
    ]
    address: Address
    count: Annotated[int, Between(1, 1000)]
    role: Role = "remote"
    slim: bool = False

    @property
    def names(self) -> list[str]:
        """Every machine's name."""
        return [f"{self.prefix}{number}" for number in range(1, self.count + 1)]


class Guest(Frozen):
    """A virtual machine, or a container of libvirt's, on one of the machines.

    In the book it becomes a guest node; chapter 6 makes cluster nodes and remote nodes of some.
    """

    host: NodeName
    address: Address
    kind: GuestKind = "vm"
    role: GuestRole = "guest"
    memory: MiB = 512
    cpus: Processors = 2

    @model_validator(mode="after")
    def _node_is_a_vm(self) -> Guest:
        if self.kind != "vm" and self.role != "guest":
            raise ValueError(
                f"role: a {self.kind} can only be a guest; role: {self.role} needs kind: vm"
            )
        return self


class Command(Frozen):
    """A command as typed at the root prompt of a node, or of several nodes at once."""

    run: Line
    where: Where = []
    exit: Annotated[tuple[ExitStatus, ...], Field(min_length=1)] = (0,)
    stdin: Secret | None = None  # name of a secret of the lab that the command reads

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return {"run": value}
        if isinstance(value, dict) and isinstance(value.get("exit"), list):
            return value | {"exit": tuple(value["exit"])}
        if not isinstance(value, dict | Command):
            raise ValueError(
                "should be a command: write its text, or {run: …, where: …, exit: […], stdin: …}"
            )
        return value


class Adaptation(Frozen):
    """What a platform needs instead of, before or after a command of the book, and why.

    `replaces` holds numbers of the book's commands in this part, counted from 1; with an
    empty `run` they are left out. `before`/`after` add commands beside one that stays.
    """

    when: Annotated[str, Field(min_length=1)]
    run: list[Command]
    why: Annotated[str, Field(min_length=10)]
    replaces: Numbers | None = None
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
        return self.replaces or [n for n in (self.before, self.after) if n is not None]


class Departure(Frozen):
    """Where today's software does otherwise than the book, though the command is the same.

    `book`: what the book says of it, `now`: what happens instead, in words; `shown_by`: the
    check that proves it, awaited with what the part expects. `when`: on which platforms.
    """

    kind: Literal["output", "behaviour"]
    book: Annotated[str, Field(min_length=10)]
    now: Annotated[str, Field(min_length=10)]
    shown_by: Annotated[dict[str, Any], WithJsonSchema({"x-lab-use": "check"})]
    when: str = ""


class Part(Conditional):
    """Commands of a section together with what must hold before and after them.

    Order: `before` is checked, `book` (adapted) is typed, `act` is done (what the book
    asks for in words), the `fault`s are injected, `expect` is awaited in its order, and then what
    shows each of `departs`, all of it `within` one deadline; then the faults are healed, and
    `healed` is awaited, `within` too. With `when` it is all left out on other platforms.
    """

    where: Where = []
    before: Checks = []
    book: list[Command] = []
    adapt: list[Adaptation] = []
    act: Actions = []
    fault: Faults = []
    expect: Checks = []
    healed: Checks = []
    departs: list[Departure] = []
    within: Seconds = 30.0

    @model_validator(mode="after")
    def _consistent(self) -> Part:
        if self.healed and not self.fault:
            raise ValueError("healed: there is no fault here that could be healed")
        if self.when and self.book:
            raise ValueError("when: commands of the book are never left out unsaid; use adapt")
        return self

    @property
    def filled(self) -> bool:
        """Whether there is anything in it to do or to look at."""
        doing = self.book or self.adapt or self.act or self.fault
        return bool(self.before or doing or self.expect or self.departs)


class Announcement(Frozen):
    """What the audits after a section are to expect, beyond that all is well.

    `nodes`: a node's state in words where it is not online ("offline", "absent"). `failed`:
    failed actions that may be on record, each "RESOURCE OPERATION". `crashes`: regular expressions
    of what the journal may say of a daemon that crashed. `violated`: audits that may be violated,
    and for how long after the section.
    """

    nodes: dict[NodeName, NodeState] = {}
    failed: list[FailedOperation] = []
    crashes: list[Pattern] = []
    violated: dict[str, Seconds] = {}


class Step(Part):
    """A numbered section. Either it is one part itself, or it has `parts`."""

    section: SectionNumber
    title: Line
    parts: list[Part] = []
    announce: Announcement = Announcement()
    _spot: Spot | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _parts_or_part(self) -> Step:
        if self.when:
            raise ValueError("when: a section is never left out; its parts may be")
        if self.parts and self.filled:
            raise ValueError(
                "a section has either parts or its own book/act/fault/expect, not both"
            )
        if not self.parts and not self.filled:
            raise ValueError("a section needs book, act, fault, expect or parts")
        return self

    def stands(self, spot: Spot | None) -> None:
        """Note where it stands."""
        self._spot = spot

    @property
    def spot(self) -> Spot | None:
        """Where it stands, if it stands in a file."""
        return self._spot

    def says(self, place: Place, problem: str) -> str:
        """What is wrong at `place`, which counts from the section; with file and line, if known."""
        return self.spot.says(place, problem) if self.spot else f"section {self.section}: {problem}"


class BorrowedStep(Step):
    """A section of another scenario that this one begins with; `origin` is that one's name."""

    origin: str


class Preparation(Frozen):
    """Sections of another scenario that come first: those named, or all `until` one.

    `after` is one of this scenario's own sections, where they have to wait for that one.
    """

    scenario: ScenarioName
    sections: list[str] = []
    until: str = ""
    after: str = ""

    @model_validator(mode="after")
    def _one_choice(self) -> Preparation:
        if bool(self.sections) == bool(self.until):
            raise ValueError("give exactly one of: sections, until")
        return self

    @property
    def key(self) -> str:
        """The key that says which sections."""
        return "sections" if self.sections else "until"


class Scenario(Frozen):
    """A chapter of the book as a list of steps on named machines."""

    title: Line
    about: Line
    chapter: Line
    nodes: dict[NodeName, Machine]
    guests: dict[NodeName, Guest] = {}
    fleet: Fleet | None = None
    prepare: list[Preparation] = []
    steps: Annotated[
        list[Step], Field(min_length=1)
    ]  # once loaded with what `prepare` borrows before its own

    @property
    def names(self) -> list[str]:
        """Every node's name: machines first, then guests."""
        return [*self.nodes, *self.guests]

    @property
    def cluster_nodes(self) -> list[str]:
        """The nodes that run the full stack; virtual machines may be among them."""
        everybody: list[tuple[str, Machine | Guest]] = [*self.nodes.items(), *self.guests.items()]
        return [name for name, node in everybody if node.role == "cluster"]

    def address(self, node: str) -> str:
        """A node's address on the lab's network."""
        found = self.nodes.get(node) or self.guests[node]
        return found.address

    @property
    def managed(self) -> list[str]:
        """The machines that have a BMC: all but slim ones."""
        return [name for name, machine in self.nodes.items() if not machine.slim]

    def is_slim(self, node: str) -> bool:
        """Whether it is a slim machine; no guest is one."""
        return node in self.nodes and self.nodes[node].slim
