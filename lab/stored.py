"""What lab wrote down and reads again: JSON that may be damaged, or a later version's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from lab.yamlfile import in_words

T = TypeVar("T")
_REASONS = {
    "missing": "is missing",
    "unexpected_keyword_argument": "is nothing that this version of lab knows",
}
# Seconds since 1970, to the year 9999: a time that can be told.
Moment = Annotated[float, Field(ge=0, le=253370764800, allow_inf_nan=False)]


def parsed(text: bytes) -> Any:
    """What is written there in JSON. Raises ValueError, however it is damaged."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read(file: Path, kind: type[T], **known: Any) -> T:
    """What a file holds, an object of a dataclass; `known` are fields that it does not.

    Raises FileNotFoundError; ValueError, which says what is wrong first, for one that cannot be
    read, that is no JSON, or that has other fields than the class or wrong ones.
    """
    try:
        data = parsed(file.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(error.strerror) from error
    if not isinstance(data, dict):
        raise ValueError("it should be a mapping")
    return checked(data | known, kind)


def checked(data: dict[str, Any], kind: type[T]) -> T:
    """An object of that class. Raises ValueError, which says what is wrong first."""
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {_REASONS.get(first['type']) or in_words(first)}") from error
