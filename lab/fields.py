"""The kinds of values that scenarios and platform files hold: names, addresses, times.

Each is a type that pydantic validates, with what an editor's JSON Schema says of it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, get_args

from packaging.version import Version
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from lab.deadline import parse_seconds

NAME = r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$"
Family = Literal["debian", "redhat"]
Secret = Literal["hacluster", "bmc"]  # the user that pcs authenticates nodes as; of the BMCs
Role = Literal["cluster", "remote", "none"]
GuestKind = Literal["vm", "container"]
GuestPlace = Literal["inside", "beside"]
GuestRole = Literal["guest", "cluster", "remote"]
Operation = Literal[
    "start",
    "stop",
    "monitor",
    "promote",
    "demote",
    "notify",
    "migrate_to",
    "migrate_from",
    "reload",
    "reload-agent",
]


class _Mark(ABC):
    """Marks a value that has to pass a check, and says the same in JSON Schema."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), **self._schema()}

    @abstractmethod
    def _schema(self) -> dict[str, Any]:
        """What JSON Schema says of it."""

    @abstractmethod
    def _checked(self, value: Any) -> Any:
        """The value. Raises ValueError, which says what is wrong with it."""


@dataclass(frozen=True)
class Shape(_Mark):
    """Marks text that has to match a regular expression, and says in words what it has to be."""

    pattern: str  # with its anchors, as JSON Schema wants it
    what: str

    def _schema(self) -> dict[str, Any]:
        return {"pattern": self.pattern}

    def _checked(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"{value[:60]!r} is not {self.what}")
        return value


@dataclass(frozen=True)
class Between(_Mark):
    """Marks a number that has bounds, both of them included."""

    low: int
    high: int

    @property
    def what(self) -> str:
        """What it has to be, in words."""
        return f"a whole number from {self.low} to {self.high}"

    def _schema(self) -> dict[str, Any]:
        return {"minimum": self.low, "maximum": self.high}

    def _checked(self, value: int) -> int:
        if not self.low <= value <= self.high:
            raise ValueError(f"should be from {self.low} to {self.high}, not {value}")
        return value


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


def _several(value: object) -> object:
    return [value] if isinstance(value, str | int) else value


def _each_once(value: list[Any]) -> list[Any]:
    if twice := [one for one in value if value.count(one) > 1]:
        raise ValueError(f"{twice[0]} stands here twice")
    return value


NodeName = Annotated[
    str,
    Shape(
        NAME,
        "a name that a machine can have, such as node1: write small letters and digits, hyphens "
        "within, 42 characters at most",
    ),
]
SectionNumber = Annotated[
    str,
    Shape(r"^(\d+|[A-Z])(\.\d+)*$", 'the number of a section: write "4.1.2" or "A.1", in quotes'),
]
Where = Annotated[  # one name, or several nodes at once
    list[NodeName],
    BeforeValidator(_several),
    AfterValidator(_each_once),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": NAME},
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": NAME},
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
Numbers = Annotated[  # of commands: one, or several
    list[int],
    Field(min_length=1),
    BeforeValidator(_several),
    AfterValidator(_each_once),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
Address = Annotated[
    str,
    Field(description="an IPv4 address"),
    AfterValidator(_address),
    WithJsonSchema({"type": "string", "format": "ipv4"}),
]
VersionText = Annotated[str, AfterValidator(_version)]


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from error
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _positive(value: float) -> float:
    if not value > 0:
        raise ValueError("should be more than 0")
    return value


Line = Annotated[
    str, AfterValidator(_not_blank), WithJsonSchema({"type": "string", "pattern": r"\S"})
]
Pattern = Annotated[
    str,
    Field(min_length=1, description="a regular expression", json_schema_extra={"format": "regex"}),
    AfterValidator(_pattern),
]
Seconds = Annotated[
    float,
    BeforeValidator(parse_seconds),
    AfterValidator(_positive),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^(?=.*[1-9])\d+(\.\d+)?\s*(ms|s|min)$"},
            ]
        }
    ),
]
MiB = Annotated[int, Between(64, 1_048_576)]
Processors = Annotated[int, Between(1, 512)]
ExitStatus = Annotated[int, Between(0, 255)]
Port = Annotated[
    str,
    Shape(
        r"^([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])/(tcp|udp)$",
        "a port: write 3121/tcp or 5405/udp",
    ),
]
ScenarioName = Annotated[
    str,
    Shape(
        r"^\w[\w.-]*$",
        "a scenario's name: write that of one that comes with lab, or of a file beside this one, "
        "without its .yaml",
    ),
]
NodeState = Annotated[  # as NodeStatus.text has it
    str,
    Shape(
        r"^(absent|(online|offline)( unclean)?( standby)?( maintenance)?( pending)?)$",
        "a node's state: write absent, online or offline, the last two with what else there is of "
        "unclean, standby, maintenance, pending, in this order",
    ),
]
FailedOperation = Annotated[
    str,
    Shape(
        rf"^\S+ ({'|'.join(get_args(Operation))})$",
        f"RESOURCE OPERATION, such as vm monitor; operations: {', '.join(get_args(Operation))}",
    ),
]
Reason = Annotated[  # none, or one worth reading
    str, Shape(r"^$|^[\s\S]{10,}$", "a reason: write a sentence, of 10 characters or more")
]
Sha256 = Annotated[str, Shape(r"^[0-9a-f]{64}$", "a SHA-256: write its 64 digits, 0-9 and a-f")]
