"""What a word takes, in words: each argument, whether it must be given, what it can be."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from lab.fields import Between, Shape
from lab.vocabulary import Word

_PLAIN = {str: "text", int: "a whole number", bool: "true or false"}


def short(word: Word) -> str:
    """Its arguments on a line, those in brackets that may be left out: `{remote, [host]}`."""
    fields = word.arguments.model_fields
    names = [name if field.is_required() else f"[{name}]" for name, field in fields.items()]
    return f"{{{', '.join(names)}}}"


def arguments(word: Word) -> list[tuple[str, str]]:
    """Each argument and what it can be, with what it is where it is not given."""
    return [(name, _argument(field)) for name, field in word.arguments.model_fields.items()]


def _argument(field: FieldInfo) -> str:
    said = field.description or _kind(field.annotation, field.metadata)
    if field.is_required():
        return said
    return f"{said}; {f'by default {field.default}' if field.default else 'may be left out'}"


def _kind(hint: Any, marks: list[Any]) -> str:
    """A type in words."""
    for mark in marks:
        if isinstance(mark, Shape | Between):
            return mark.what
        if said := getattr(mark, "description", None):
            return str(said)
    inner = get_args(hint)
    if get_origin(hint) is Annotated:
        return _kind(inner[0], [*inner[1:], *marks])
    if get_origin(hint) is list:
        return f"a list, each {_kind(inner[0], [])}"
    if get_origin(hint) is Literal:
        return f"one of: {', '.join(inner)}"
    if inner:  # or nothing
        return _kind(next(one for one in inner if one is not NoneType), [])
    return _PLAIN[hint]
