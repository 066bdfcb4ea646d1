"""The command line in this process, as somebody types it."""

from __future__ import annotations

import pytest

from lab import cli


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """`lab …`: its exit status, and what it said on either stream."""
    status = cli.main(arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return status, said.out, said.err
