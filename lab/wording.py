"""Numbers in sentences: one of a thing is said otherwise than several, or none."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """`1 section`, `2 sections`; for things whose plural takes an s, the last word of them."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def be(number: int) -> str:
    """`is` for one, `are` for any other number."""
    return "is" if number == 1 else "are"
