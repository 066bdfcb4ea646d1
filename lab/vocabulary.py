"""Words that a scenario can use: a table of functions, each with the arguments it takes.

A check is used as `guest_online: {guest: guest1, host: example-host}`. Its function's
signature is what the loader validates those arguments against, its docstring is its
documentation, and its sentence is what a run prints for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from lab.fields import Between
from lab.fleet import named
from lab.yamlfile import in_words

OUTSIDE = "outside"  # a place on the lab's network that is none of its machines


@dataclass(frozen=True)
class _Names:
    """Marks an argument that names a node of the scenario: one of its guests, or any; or `also`."""

    guest: bool = False
    also: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """What such an argument is, in words."""
        return " or ".join(["a guest's name" if self.guest else "a node's name", *self.also])


class _Counts:
    """Marks an argument that is the number of a command that was typed in the same part."""

    description = "the number of a command of this part"


Node = Annotated[str, _Names()]
NodeOrOutside = Annotated[str, _Names(also=(OUTSIDE,))]
GuestName = Annotated[str, _Names(guest=True)]
CommandNumber = Annotated[int, _Counts(), Between(1, 1000)]


@dataclass(frozen=True)
class Word:
    """One entry: a function and what is known of it. `remember` is called before a part's
    commands with the same arguments; what it returns the function gets as `before`. `heal`
    undoes what the function did, where that is to be undone. `types`: it adds a command to those
    that checks know by their number.
    """

    name: str
    sentence: str | Callable[..., str]
    function: Callable[..., Any]
    arguments: type[BaseModel]
    remember: Callable[..., Any] | None = None
    heal: Callable[..., Any] | None = None
    types: bool = False

    @property
    def about(self) -> str:
        """The function's documentation."""
        return inspect.getdoc(self.function) or ""

    def commands(self, values: dict[str, Any]) -> list[int]:
        """The numbers of the commands that it is about, with these arguments."""
        return [
            values.get(name, field.default)
            for name, field in self.arguments.model_fields.items()
            if any(isinstance(mark, _Counts) for mark in field.metadata)
        ]

    def say(self, values: dict[str, Any]) -> str:
        """The sentence with these arguments in it."""
        defaults = {n: f.default for n, f in self.arguments.model_fields.items()}
        full = {**defaults, **values}
        if callable(self.sentence):
            return self.sentence(**full)
        return self.sentence.format_map({n: _shown(v) for n, v in full.items()})


class Vocabulary:
    """A table of words of one kind: checks, actions, or faults."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.words: dict[str, Word] = {}

    def __call__(
        self,
        sentence: str | Callable[..., str],
        *,
        remember: Callable[..., Any] | None = None,
        heal: Callable[..., Any] | None = None,
        types: bool = False,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: adds a function `f(context, **arguments)` to the table."""

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            name = function.__name__
            hints = get_type_hints(function, include_extras=True)
            fields: dict[str, Any] = {}
            for parameter in list(inspect.signature(function).parameters.values())[1:]:
                if parameter.name == "before":
                    continue
                empty = parameter.default is inspect.Parameter.empty
                default = ... if empty else parameter.default
                fields[parameter.name] = (_filled(hints[parameter.name]), default)
            model = create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields)
            self.words[name] = Word(name, sentence, function, model, remember, heal, types)
            return function

        return add

    def use(
        self, entry: dict[str, Any], nodes: list[str], guests: Collection[str] = ()
    ) -> tuple[Word, dict[str, Any]]:
        """The word and the arguments of an entry in a scenario with these nodes, some of them
        guests.

        Raises ValueError, which says what the entry should be.
        """
        if len(entry) != 1:
            raise ValueError(f"one {self.kind} an entry, this one has {len(entry)} keys")
        name, given = next(iter(entry.items()))
        if name not in self.words:
            near = get_close_matches(name, self.words, n=1)
            mean = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"unknown {self.kind} {name!r}; {mean}valid: {', '.join(sorted(self.words))}"
            )
        word = self.words[name]
        fields = word.arguments.model_fields
        if not isinstance(given, dict):
            given = {} if given is None else {next(iter(fields), "value"): given}
        try:
            word.arguments.model_validate(given)
        except ValidationError as error:
            # A misspelt argument is two errors: the unknown one, and one that is missing.
            first = min(
                error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden"
            )
            place = str(first["loc"][0])
            reason = {
                "missing": "is missing",
                "extra_forbidden": "is no argument of it",
            }.get(first["type"], in_words(first))
            takes = ", ".join(fields) or "none"
            raise ValueError(f"{name}: {place} {reason}; arguments: {takes}") from error
        for key, value in given.items():
            for mark, node in _named(fields[key].annotation, fields[key].metadata, value):
                if node not in (*nodes, *mark.also):
                    valid = ", ".join([*nodes, *mark.also])
                    raise ValueError(f"{name}: {key}: there is no node {node!r}; nodes: {valid}")
                if mark.guest and node not in guests:
                    valid = ", ".join(guests) or "none"
                    raise ValueError(f"{name}: {key}: {node} is no guest; guests: {valid}")
        return word, given


def _filled(hint: Any) -> Any:
    """The type without its empty values: a check of no nodes, or for no text, is always true.

    A type that is marked as more than text or a list says itself what it can be.
    """
    inner = get_args(hint)
    if hint is str or (get_origin(hint) is Annotated and isinstance(inner[1], _Names)):
        return Annotated[hint, Field(min_length=1)]
    if get_origin(hint) is list:
        return Annotated[list[_filled(inner[0])], Field(min_length=1)]  # type: ignore[misc]
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(_filled(one) for one in inner)]  # noqa: UP007
    return hint


def _named(hint: Any, marks: list[Any], value: Any) -> Iterator[tuple[_Names, str]]:
    """The node names in an argument of this type, each with what marks it as one."""
    if get_origin(hint) is Annotated:
        yield from _named(get_args(hint)[0], [*get_args(hint)[1:], *marks], value)
    elif get_origin(hint) is list and isinstance(value, list):
        for one in value:
            yield from _named(get_args(hint)[0], [], one)
    elif get_origin(hint) in (Union, UnionType):
        for one in get_args(hint):
            yield from _named(one, [], value)
    elif isinstance(value, str):
        yield from ((mark, value) for mark in marks if isinstance(mark, _Names))


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        if any(isinstance(v, list | tuple) for v in value):
            return " | ".join(_shown(v) for v in value)
        return named([str(v) for v in value])
    return str(value)
