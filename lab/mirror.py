"""Where packages come from, where that is said: LAB_MIRROR_DEBIAN_12, or LAB_MIRROR for all."""

from __future__ import annotations

import os

ALL = "LAB_MIRROR"


def of(platform: str) -> str:
    """The address for the platform of that name, '' where none is said.

    For Debian a mirror's; for Red Hat's family the folder that has the releases in it.
    """
    return os.environ.get(setting(platform)) or os.environ.get(ALL, "")


def setting(platform: str) -> str:
    """The setting for this platform alone, which goes before that for all."""
    return f"{ALL}_{platform.upper().replace('-', '_')}"
