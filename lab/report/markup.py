"""Writing HTML and SVG: everything that is not Html already is made plain and escaped.

What comes out is well-formed XML too: every element is closed, every attribute has a value.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from lab.report.text import plain

_VOID = frozenset({"meta", "br", "col"})  # those of HTML's elements without an end that are used


class Html(str):
    """Text that is markup, with all of its content escaped."""

    __slots__ = ()


def escaped(value: str) -> Html:
    """`value` as it may stand in markup; Html stays what it is."""
    return value if isinstance(value, Html) else Html(html.escape(plain(value)))


def joined(parts: Iterable[str], between: str = "") -> Html:
    """The parts, each escaped, one after the other."""
    return Html(escaped(between).join(escaped(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Html:
    """An element. `class_` gives class, `data_at` data-at; an attribute of None is left out.

    Numbers are written with two digits after the point at most: hundredths of a pixel.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def _value(value: str | float) -> Html:
    if isinstance(value, str):
        return escaped(value)
    return Html(f"{value:.2f}".rstrip("0").rstrip("."))
