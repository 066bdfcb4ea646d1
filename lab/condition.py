"""`when:` of an adaptation: what must be true of a platform for it to apply.

    pcs >= 0.10
    family == debian
    family == debian and pacemaker < 3.0

    guests == beside

Names are `family`, `platform`, the software in the platform's `versions:`, and `guests`: whether
virtual machines run inside their host, or beside it (see lab.siblings).
"""

from __future__ import annotations

import operator
import re
from typing import get_args

from packaging.version import InvalidVersion, Version

from lab import platforms
from lab.fields import Family, GuestPlace
from lab.platform import Platform

_COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_TERM = re.compile(r"([a-z][a-z-]*)\s*(==|!=|>=|<=|>|<)\s*([\w.-]+)")


def holds(condition: str, platform: Platform) -> bool:
    """Whether the condition is true of the platform. Raises ValueError if it cannot be read."""
    terms = [_term(term.strip(), platform) for term in condition.split(" and ")]
    return all(terms)  # each one was read, also after a false one


def _term(term: str, platform: Platform) -> bool:
    match = _TERM.fullmatch(term)
    if not match:
        raise ValueError(
            f"{term!r} is not a condition: write NAME OPERATOR VALUE, such as pcs >= 0.10, "
            "joined by `and`"
        )
    name, sign, value = match.groups()
    words = {"family": platform.family, "guests": platform.guests, "platform": platform.name}
    if name in words:
        if sign not in ("==", "!="):
            raise ValueError(f"{term!r}: {name} can be compared with == and != only")
        valid_values = {
            "family": get_args(Family),
            "guests": get_args(GuestPlace),
            "platform": platforms.names(),
        }
        if value not in (words[name], *valid_values[name]):
            raise ValueError(f"{term!r}: {name} is one of: {', '.join(valid_values[name])}")
        return bool(_COMPARE[sign](words[name], value))
    if name not in platform.versions:
        valid = ", ".join([*words, *platform.versions])
        raise ValueError(f"{term!r}: {name} is not known of {platform.name}; valid: {valid}")
    try:
        wanted = Version(value)
    except InvalidVersion as error:
        raise ValueError(f"{term!r}: {value} is not a version") from error
    return bool(_COMPARE[sign](Version(platform.versions[name]), wanted))
