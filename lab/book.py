"""The book's table of contents: which sections there are, kept as data in book.yaml."""

from __future__ import annotations

from pathlib import Path

from lab.model import Frozen
from lab.yamlfile import load_model

FILE = Path(__file__).with_name("book.yaml")


class Section(Frozen):
    """A numbered section. `concepts`: it explains, there is nothing in it to be done."""

    section: str
    title: str
    concepts: bool = False


class Chapter(Frozen):
    """A chapter with those of its sections that have no sections below them."""

    number: str
    title: str
    sections: list[Section]


class Book(Frozen):
    """The whole of it, in its order."""

    title: str
    edition: str
    chapters: list[Chapter]


def load(path: Path = FILE) -> Book:
    """The table of contents; BadInput names what is wrong in the file, and where."""
    return load_model(path, Book)
