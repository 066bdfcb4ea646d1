"""What the real tests take for a mount that a container left."""

from __future__ import annotations

import pytest
from leftovers import orphaned

STORAGE = "/var/lib/containers/storage"
HERE, GONE = "a" * 64, "b" * 64
LAYER, OTHER = "c" * 64, "d" * 64
ROOT = f"{STORAGE}/overlay/{LAYER}/merged"


def line(point: str, kind: str = "overlay") -> str:
    """As /proc/self/mountinfo has it."""
    return f"88 22 0:52 / {point} rw,relatime shared:40 - {kind} {kind} rw"


@pytest.mark.parametrize(
    ("point", "left"),
    [
        (ROOT, False),
        (f"{STORAGE}/overlay/{OTHER}/merged", True),
        (f"{STORAGE}/overlay/{LAYER}/merged//deleted", True),
        (f"{STORAGE}/overlay-containers/{HERE}/userdata/shm", False),
        (f"{STORAGE}/overlay-containers/{GONE}/userdata/shm", True),
        (f"{STORAGE}/overlay", False),  # podman's own, while it is in use at all
        ("/run/lab/net", False),
    ],
)
def test_mounts_of_containers_that_are_gone(point: str, left: bool) -> None:
    lines = [line(ROOT), line("/"), line(point)]
    mounted = [HERE[:12], ROOT]  # as the words of `podman mount`
    assert orphaned(lines, [HERE], mounted) == ({point} if left else set())
