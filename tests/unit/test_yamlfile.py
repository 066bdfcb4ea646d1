"""YAML files: what is read as what, and messages that lead to the line that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from lab.errors import BadInput
from lab.yamlfile import Document, load_model


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    size: int = 1
    name: str = ""


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    title: str
    leaves: list[Leaf] = []
    named: dict[str, Leaf] = {}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tree.yaml"


def data(path: Path, text: str) -> object:
    path.write_text(text)
    return Document(path).data


def refused(path: Path, text: str | bytes) -> str:
    """The message without the folder: `tree.yaml:LINE: …`."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(BadInput) as caught:
        load_model(path, Tree)
    assert caught.value.exit_code == 2
    message = caught.value.message
    assert message.startswith(f"{path}:")
    return message.removeprefix(f"{path.parent}/")


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "On", "NO", "True", "y", "n"])
def test_only_true_and_false_are_booleans(path: Path, word: str) -> None:
    assert data(path, f"[{word}, true, false]") == [word, True, False]


@pytest.mark.parametrize(
    "word", ["4.10", "0.10", "1e3", "0750", "08", "1_000", "0x10", "2017-10-09", "12:30:45", ".inf"]
)
def test_what_looks_like_a_number_or_a_date_stays_text(path: Path, word: str) -> None:
    assert data(path, f"key: {word}") == {"key": word}


def test_whole_numbers_and_nothing(path: Path) -> None:
    assert data(path, "[0, 7, -3, 120, null, ~, ]") == [0, 7, -3, 120, None, None]
    assert data(path, "key:\n") == {"key": None}


def test_an_alias_is_what_its_anchor_is(path: Path) -> None:
    assert data(path, "a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


def test_good_file(path: Path) -> None:
    path.write_text("title: T\nleaves: [{size: 3}]\nnamed: {a: {name: b}}\n")
    tree = load_model(path, Tree)
    assert tree.leaves == [Leaf(size=3)]
    assert tree.named == {"a": Leaf(name="b")}


def test_unknown_key_names_line_place_and_choices(path: Path) -> None:
    message = refused(path, "title: T\nleaves:\n  - name: a\n  - name: b\n    sise: 3\n")
    assert message == "tree.yaml:5: leaves [2], sise: unknown key; did you mean 'size'? " + (
        "valid: name, size"
    )


def test_unknown_key_in_a_named_thing(path: Path) -> None:
    message = refused(path, "title: T\nnamed:\n  a:\n    colour: 3\n")
    assert message == "tree.yaml:4: named, a, colour: unknown key; valid: name, size"


def test_misspelt_required_key_is_reported_as_unknown_not_as_missing(path: Path) -> None:
    message = refused(path, "leaves: []\ntitel: T\n")
    assert message.startswith("tree.yaml:2: titel: unknown key; did you mean 'title'? valid: ")
    assert "leaves, named, title" in message
    assert message.endswith("(and 1 more)")


def test_missing_key_is_named(path: Path) -> None:
    assert refused(path, "leaves: []\n") == "tree.yaml:1: title: this key is missing"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title: 4\n", "1: title: should be text (a number: in quotes)"),
        ("title: T\nleaves: 4\n", "2: leaves: should be a list"),
        ("title: T\nleaves:\n- size: big\n", "3: leaves [1], size: should be a whole number"),
        ("title: T\nleaves: [\n4]\n", "3: leaves [1]: should be a mapping of keys"),
        ("title: T\nnamed: [a]\n", "2: named: should be a mapping of keys"),
    ],
)
def test_wrong_kind_of_value(path: Path, text: str, problem: str) -> None:
    assert refused(path, text) == f"tree.yaml:{problem}"


def test_duplicate_key(path: Path) -> None:
    message = refused(path, "title: T\nleaves:\n  - size: 1\n    size: 2\n")
    assert message == "tree.yaml:4: the key 'size' stands here twice"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("title: [T\nleaves: 3\n", 2),
        ("title: T\n\tleaves: 3\n", 2),
        ("title: *nowhere\n", 1),
        ("title: T\n---\ntitle: U\n", 2),
        ("title: T\nleaves: !!python/object/apply:os.getcwd []\n", 2),
        ("title: T\n? [a]\n: b\n", 2),
        ("title: T\nleaves:\n  - \x07\n", 3),
    ],
)
def test_malformed(path: Path, text: str, line: int) -> None:
    assert refused(path, text).startswith(f"tree.yaml:{line}: ")


@pytest.mark.parametrize("code", [0x1B, 0, 0x0D, 0x7F, 0x9B, 0xD800])
@pytest.mark.parametrize("line", ['"a CHAR"', '["b", "a CHAR"]', '{"a CHAR": b}'])
def test_what_is_no_text(path: Path, code: int, line: str) -> None:
    escaped = f"\\u{code:04x}"
    message = refused(path, f"leaves: []\ntitle: {line.replace('CHAR', escaped)}\n")
    assert message == f"tree.yaml:2: no text: it has the character {chr(code)!r}"


def test_text_of_every_script_and_lines_of_it(path: Path) -> None:
    text = "Ž ü 漢字 🐧 tab\tand\nlines"
    assert data(path, f'title: "{text}"'.replace("\n", "\\n")) == {"title": text}


def test_a_list_that_holds_itself_ends_in_a_message(path: Path) -> None:
    assert refused(path, "leaves: []\ntitle: &a [*a]\n") == "tree.yaml:2: this value holds itself"


def test_what_is_nested_too_deeply(path: Path) -> None:
    assert "nested too deeply" in refused(path, f"title: {'[' * 5000}{']' * 5000}\n")


@pytest.mark.parametrize(
    "value",
    ["!!int abc", "!!int ''", "!!float x", "!!bool maybe", "!!timestamp 2020-99-99",
     "!!timestamp soon", "1" * 5000],
)  # fmt: skip
def test_a_value_that_is_not_what_its_tag_says(path: Path, value: str) -> None:
    message = refused(path, f"leaves: []\ntitle: {value}\n")
    assert re.fullmatch(r"tree\.yaml:2: '.{0,40}' cannot be read as \w+", message)


BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]" for n in range(9))


def test_aliases_of_aliases_are_counted_and_not_followed(path: Path) -> None:
    message = refused(path, f"title: T\n{BOMB}\n")
    assert message == "tree.yaml:7: more than 100000 values: aliases of aliases stand for them"
    keys = refused(path, f"title: T\n{BOMB.splitlines()[0]}\n? *a0\n: b\n")
    assert keys == "tree.yaml:2: a key should be text"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "- title: T\n", "words\n"])
def test_no_mapping_at_all(path: Path, text: str) -> None:
    assert refused(path, text) == "tree.yaml:1: a tree is a mapping; its keys: leaves, named, title"


def test_binary_file(path: Path) -> None:
    assert "cannot be read" in refused(path, b"\x7fELF\x02\x01\xff\xfe")
    assert refused(path, b"title: T\n\x00\x00").startswith("tree.yaml:2: ")


def test_missing_file_and_folder(path: Path) -> None:
    for wrong in (path, path.parent):
        with pytest.raises(BadInput, match="cannot be read") as caught:
            load_model(wrong, Tree)
        assert str(wrong) in caught.value.message


def test_where_falls_back_to_what_is_around(path: Path) -> None:
    path.write_text("a:\n  b:\n    - 1\n    - 2\n")
    document = Document(path)
    assert document.where(("a", "b", 1)).endswith(":4")
    assert document.where(("a", "b", 7, "c")).endswith(":2")
    assert document.where(("z",)).endswith(":1")


def test_a_section_takes_the_place_of_the_path_to_it(path: Path) -> None:
    path.write_text('steps:\n  - section: "4.1"\n    adapt: [{why: a}, {why: b}]\n')
    named = Document(path).named(("steps", 0, "adapt", 1, "why"))
    assert named == "section 4.1, adapt [2], why: "
