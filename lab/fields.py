"""The kinds of values that scenarios and platform files hold: names, addresses, times.

Each is a type that pydantic validates, with what an editor's JSON Schema says of it.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Annotated, Literal

from packaging.version import Version
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from lab.deadline import parse_seconds

NAME = r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$"
Family = Literal["debian", "redhat"]
Secret = Literal["hacluster", "bmc"]  # the user that pcs authenticates nodes as; of the BMCs
Role = Literal["cluster", "remote", "none"]
GuestKind = Literal["vm", "container"]
GuestPlace = Literal["inside", "beside"]
GuestRole = Literal["guest", "cluster", "remote"]


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
Reason = Annotated[str, Field(pattern=r"^$|^[\s\S]{10,}$")]  # none, or one worth reading
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
