"""A page: one HTML file that needs nothing beside itself. No script, no file that it refers to."""

from __future__ import annotations

from importlib.resources import files

from lab.report.markup import Html, tag
from lab.report.text import one_line

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # what a machine printed stays text


def document(title: str, *body: Html) -> str:
    """The whole of an HTML file, in the style of all reports."""
    style = (files("lab.report") / "page.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", one_line(title)),
        tag("style", Html(style)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', tag('main', *body)), lang='en')}\n"
