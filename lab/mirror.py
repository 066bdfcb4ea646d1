"""Where packages come from, where that is said: LAB_MIRROR_DEBIAN_12, or LAB_MIRROR for all."""

from __future__ import annotations

import os
import re

from lab.errors import BadInput

ALL = "LAB_MIRROR"
_ADDRESS = r"https?://[^/\s]\S*|(file|copy):/\S*"


def of(platform: str) -> str:
    """The address for the platform of that name, '' where none is said.

    For Debian a mirror's; for Red Hat's family the folder that has the releases in it. Raises
    BadInput for what is no address.
    """
    for name in (setting(platform), ALL):
        if said := os.environ.get(name):
            if not re.fullmatch(_ADDRESS, said):
                raise BadInput(
                    f"{name}={said} is no address of a mirror: those begin with http://, https:// "
                    "or file:/"
                )
            return said
    return ""


def setting(platform: str) -> str:
    """The setting for this platform alone, which goes before that for all."""
    return f"{ALL}_{platform.upper().replace('-', '_')}"
