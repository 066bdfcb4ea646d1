"""YAML files as models, with messages that name the file, the line and the key.

Stricter than PyYAML by itself: only `true` and `false` are booleans, `4.10` and `0750` are
text, a key that stands twice is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lab.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]


# Nobody types these, a terminal may obey them, and no file can hold half a surrogate pair.
_NO_TEXT = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MANY = 100_000  # values in a file, counted wherever an alias stands for them


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's booleans and without dates and floats."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # What constructors raise for a value that is not what its tag says.
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2]
            said = f"{str(node.value)[:40]!r} cannot be read as {kind}"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from error


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^-?(0|[1-9]\d*)$"), list("-0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(null|~|)$"), ["n", "~", ""])


class Document:
    """A parsed YAML file that still knows on which line each value stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{path}: cannot be read: {error}") from error
        try:
            loader = _Loader(text)
            self._root = loader.get_single_node()
            self.data: Any = None
            if self._root is not None:
                _weigh(self._root, {})
                self.data = loader.construct_document(self._root)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            at = error.character if isinstance(error.character, int) else ord(error.character)
            raise BadInput(f"{path}:{line}: no text: it has the character {chr(at)!r}") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise BadInput(f"{path}:{line}: {error.problem or 'is not YAML'}") from error
        except RecursionError as error:
            raise BadInput(f"{path}:1: is nested too deeply") from error

    def where(self, place: Place) -> str:
        """`file:line` of the value at `place`, or of the nearest thing around it."""
        node, line = self._root, 1 if self._root is None else self._root.start_mark.line + 1
        for key in place:
            if isinstance(node, yaml.MappingNode):
                found = [pair for pair in node.value if pair[0].value == str(key)]
                if not found:
                    break
                ((named, node),) = found
                line = named.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and _has(node.value, key):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                break
        return f"{self.path}:{line}"

    def named(self, place: Place) -> str:
        """The place in words, with the section a step has: `section 4.1.1, within: `."""
        words: list[str] = []
        here = self.data
        for key in place:
            numbered = isinstance(key, int) and isinstance(here, list)
            here = here[key] if _has(here, key) else None
            if isinstance(here, dict) and "section" in here:
                words = [f"section {here['section']}"]
            elif numbered and words:
                words[-1] += f" [{int(key) + 1}]"
            else:
                words.append(str(key))
        return ", ".join(words) + ": " if words else ""

    def says(self, place: Place, problem: str) -> str:
        """What is wrong at `place`, as every message has it: file, line, place, problem."""
        return f"{self.where(place)}: {self.named(place)}{problem}"


@dataclass(frozen=True)
class Spot:
    """Where something stands. All are equal: it is no part of what stands there."""

    document: Document = field(compare=False)
    place: Place = field(compare=False)

    def says(self, place: Place, problem: str) -> str:
        """As Document.says; `place` counts from here."""
        return self.document.says((*self.place, *place), problem)


def _weigh(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values are in a node, those that aliases stand for counted each time.

    Each node is looked at once. Raises MarkedYAMLError for what no file can have: a key twice, too
    many values, one that holds itself.
    """

    def refuse(problem: str, node: yaml.Node) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)

    if id(node) in known:
        return known[id(node)] or refuse("this value holds itself", node)
    known[id(node)] = 0  # until it is known
    weight = 1
    if isinstance(node, yaml.ScalarNode) and (found := _NO_TEXT.search(node.value)):
        refuse(f"no text: it has the character {found[0]!r}", node)
    if isinstance(node, yaml.SequenceNode):
        weight += sum(_weigh(item, known) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                refuse("a key should be text", key)
            _weigh(key, known)
            if key.value in seen:
                refuse(f"the key {key.value!r} stands here twice", key)
            seen.add(key.value)
            weight += _weigh(value, known)
    if weight > MANY:
        refuse(f"more than {MANY} values: aliases of aliases stand for them", node)
    known[id(node)] = weight
    return weight


def load_model(path: Path, model: type[Model]) -> Model:
    """The file as `model`; BadInput says what is wrong with it, and where."""
    return parse(Document(path), model)


def parse(document: Document, model: type[Model]) -> Model:
    """As load_model, for a file that was read already."""
    if not isinstance(document.data, dict):
        raise BadInput(
            f"{document.path}:1: a {model.__name__.lower()} is a mapping; "
            f"its keys: {', '.join(sorted(model.model_fields))}"
        )
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        # A misspelt key is two errors: the unknown one is the cause of the missing one.
        errors = sorted(
            error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden"
        )
        first, more = errors[0], len(errors) - 1
        place = _written(document.data, first["loc"], first["type"])
        also = f" (and {more} more)" if more else ""
        raise BadInput(document.says(place, f"{_reason(first, model)}{also}")) from error


def _written(data: Any, place: Place, kind: str) -> Place:
    """The place without what pydantic adds to it: which type of a union, `[key]`."""
    for depth, key in enumerate(place):
        if not _has(data, key):
            return place[: depth + 1] if kind == "missing" else place[:depth]
        data = data[key]
    return place


def _has(here: Any, key: str | int) -> bool:
    if isinstance(here, dict):
        return key in here
    return isinstance(here, list) and isinstance(key, int) and key < len(here)


_KINDS = {
    "bool_type": "should be true or false",
    "dict_type": "should be a mapping of keys",
    "int_type": "should be a whole number",
    "invalid_key": "a key should be text (a number: in quotes)",
    "list_type": "should be a list",
    "missing": "this key is missing",
    "model_type": "should be a mapping of keys",
    "string_type": "should be text (a number: in quotes)",
    "tuple_type": "should be a list",
}


def in_words(error: Any) -> str:
    """What pydantic found wrong with a value."""
    if error["type"] == "literal_error":
        valid = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return f"should be one of: {', '.join(valid)}"
    if error["type"] in ("string_too_short", "too_short"):
        least = error["ctx"]["min_length"]
        of_what = "characters" if error["type"] == "string_too_short" else "entries"
        return "must not be empty" if least == 1 else f"needs at least {least} {of_what}"
    return _KINDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")


def _reason(error: Any, model: type[BaseModel]) -> str:
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])
        valid = _keys_at(model, error["loc"][:-1])
        near = get_close_matches(key, valid, n=1)
        mean = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown key; {mean}valid: {', '.join(valid)}"
    return in_words(error)


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
