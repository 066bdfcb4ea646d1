"""Words that a scenario can use: a table of functions, each with the arguments it takes.

A check is used as `guest_online: {guest: guest1, host: example-host}`. Its function's
signature is what the loader validates those arguments against, its docstring is its
documentation, and its sentence is what a run prints for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from lab.fleet import named
from lab.yamlfile import in_words


class _IsNode:
    """Marks an argument that names a node of the scenario."""


Node = Annotated[str, _IsNode()]


@dataclass(frozen=True)
class Word:
    """One entry: a function and what is known of it. `remember` is called before a part's
    commands with the same arguments; what it returns the function gets as `before`. `heal`
    undoes what the function did, where that is to be undone.
    """

    name: str
    sentence: str | Callable[..., str]
    function: Callable[..., Any]
    arguments: type[BaseModel]
    remember: Callable[..., Any] | None = None
    heal: Callable[..., Any] | None = None

    @property
    def about(self) -> str:
        """The function's documentation."""
        return inspect.getdoc(self.function) or ""

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
            self.words[name] = Word(name, sentence, function, model, remember, heal)
            return function

        return add

    def use(self, entry: dict[str, Any], nodes: list[str]) -> tuple[Word, dict[str, Any]]:
        """The word and the arguments of an entry in a scenario.

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
            for node in _nodes_in(fields[key].annotation, fields[key].metadata, value):
                if node not in nodes:
                    raise ValueError(
                        f"{name}: {key}: there is no node {node!r}; nodes: {', '.join(nodes)}"
                    )
        return word, given


def _filled(hint: Any) -> Any:
    """The type without its empty value: a check of no nodes, or for no text, is always true."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if bare is str or get_origin(bare) is list:
        return Annotated[hint, Field(min_length=1)]
    return hint


def _nodes_in(annotation: Any, metadata: list[Any], value: Any) -> list[str]:
    """The node names in an argument: it is one, or a list of them, or a list of such lists."""
    if any(isinstance(mark, _IsNode) for mark in metadata):
        return [value]
    if isinstance(value, list):
        inner = [i for i in get_args(annotation) if i is not type(None)]
        return [n for v in value for i in inner[:1] for n in _nodes_in(i, [], v)]
    marks = [m for i in (annotation, *get_args(annotation)) for m in get_args(i)]
    named = isinstance(value, str) and any(isinstance(mark, _IsNode) for mark in marks)
    return [value] if named else []


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        if any(isinstance(v, list | tuple) for v in value):
            return " | ".join(_shown(v) for v in value)
        return named([str(v) for v in value])
    return str(value)
