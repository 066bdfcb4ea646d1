"""YAML files as models, with messages that name the file, the line and the key.

Stricter than PyYAML by itself: only `true` and `false` are booleans, `4.10` is text, a key
that stands twice is an error.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lab.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's booleans and without dates and floats."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?\d+$"), list("-0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(null|~|)$"), ["n", "~", ""])


class Document:
    """A parsed YAML file that still knows on which line each value stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[Place, int] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{path}: cannot be read: {error}") from error
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            self.data: Any = None if node is None else loader.construct_document(node)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 1
            problem = getattr(error, "problem", None) or "is not YAML"
            raise BadInput(f"{path}:{line}: {problem}") from error
        finally:
            loader.dispose()
        if node is not None:
            self._walk(node, ())

    def where(self, place: Place) -> str:
        """`file:line` of the value at `place`, or of the nearest thing around it."""
        while place and place not in self._lines:
            place = place[:-1]
        return f"{self.path}:{self._lines.get(place, 1)}"

    def _walk(self, node: yaml.Node, place: Place) -> None:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._walk(item, (*place, number))
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                line = key.start_mark.line + 1
                if name in seen:
                    raise BadInput(f"{self.path}:{line}: the key {name!r} stands here twice")
                seen.add(name)
                self._lines[(*place, name)] = line
                self._walk(value, (*place, name))


def load_model(path: Path, model: type[Model]) -> Model:
    """The file as `model`; BadInput says what is wrong with it, and where."""
    return parse(Document(path), model)


def parse(document: Document, model: type[Model]) -> Model:
    """As load_model, for a file that was read already."""
    if not isinstance(document.data, dict):
        raise BadInput(f"{document.path}:1: a {model.__name__.lower()} is a mapping of keys")
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place: Place = first["loc"]
        more = error.error_count() - 1
        also = f" (and {more} more)" if more else ""
        raise BadInput(
            f"{document.where(place)}: {_named(document.data, place)}{_reason(first, model)}{also}"
        ) from error


def _named(data: Any, place: Place) -> str:
    """The place in words, with the section a step has: `section 4.1.1, within: `."""
    words = []
    for depth, part in enumerate(place):
        here = data
        for key in place[: depth + 1]:
            here = here[key] if _has(here, key) else None
        if isinstance(here, dict) and "section" in here:
            words = [f"section {here['section']}"]
        else:
            words.append(f"[{part}]" if isinstance(part, int) else str(part))
    return ", ".join(words).replace(", [", " [") + ": " if words else ""


def _has(here: Any, key: str | int) -> bool:
    if isinstance(here, dict):
        return key in here
    return isinstance(here, list) and isinstance(key, int) and key < len(here)


def _reason(error: Any, model: type[BaseModel]) -> str:
    kind, message = error["type"], str(error["msg"])
    if kind == "extra_forbidden":
        key = str(error["loc"][-1])
        valid = _keys_at(model, error["loc"][:-1])
        near = get_close_matches(key, valid, n=1)
        return f"unknown key; {f'did you mean {near[0]!r}? ' if near else ''}valid: {', '.join(valid)}"
    if kind == "missing":
        return "this key is missing"
    return message.removeprefix("Value error, ")


def _keys_at(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that a mapping at `place` may have."""
    found: Any = model
    for key in place:
        fields = getattr(found, "model_fields", {})
        if isinstance(key, str) and key in fields:
            found = _model_in(fields[key].annotation) or found
    return sorted(getattr(found, "model_fields", {}))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _model_in(inner):
            return found
    return None
