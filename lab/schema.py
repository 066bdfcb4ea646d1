"""The JSON Schema of scenarios, so that an editor completes and explains them.

It says what can be said of one file's shape. `lab check` says the rest: names of nodes that
there are not, numbers of commands that the book does not have.
"""

from __future__ import annotations

from typing import Any

from lab import actions, checks, faults
from lab.model import Scenario
from lab.vocabulary import Vocabulary, Word

DRAFT = "https://json-schema.org/draft/2020-12/schema"
USE = "x-lab-use"  # stands in the model's schema where an entry of a vocabulary goes


def scenario_schema() -> dict[str, Any]:
    """The whole schema, as plain data."""
    made = Scenario.model_json_schema()
    definitions = made["$defs"]
    # A command without options is written as its text alone.
    definitions["Command"] = {"anyOf": [{"type": "string"}, definitions["Command"]]}
    condition = {key: definitions["Part"]["properties"][key] for key in ("when", "why")}
    for vocabulary in (checks.load(), actions.action, faults.load()):
        definitions[vocabulary.kind] = _entry(vocabulary, condition)
    return {"$schema": DRAFT, **_resolved(made)}


def _entry(vocabulary: Vocabulary, condition: dict[str, Any]) -> dict[str, Any]:
    """An entry: one word of the vocabulary, with its arguments; where it is for some platforms
    only, the condition and its reason.
    """
    words = {name: _word(word) for name, word in sorted(vocabulary.words.items())}
    return {
        "type": "object",
        "additionalProperties": False,
        "if": {"anyOf": [{"required": [key]} for key in condition]},
        "then": {"required": list(condition), "minProperties": 3, "maxProperties": 3},
        "else": {"minProperties": 1, "maxProperties": 1},
        "properties": condition | words,
    }


def _word(word: Word) -> dict[str, Any]:
    """A word's arguments by name; or its first one alone, or none, where that is enough."""
    arguments = word.arguments.model_json_schema()
    arguments.pop("title", None)
    fields: dict[str, dict[str, Any]] = arguments.get("properties", {})
    for field in fields.values():
        field.pop("title", None)
    ways = [arguments]
    required = arguments.get("required", [])
    if fields and required in ([], [next(iter(fields))]):
        ways.append(next(iter(fields.values())))
    if not required:
        ways.append({"type": "null"})
    return {"description": word.about, "anyOf": ways}


def _resolved(part: Any) -> Any:
    """The schema with each place of a vocabulary's entry pointing to its definition."""
    if isinstance(part, dict):
        if USE in part:
            return {"$ref": f"#/$defs/{part[USE]}"}
        return {key: _resolved(value) for key, value in part.items()}
    return [_resolved(value) for value in part] if isinstance(part, list) else part
