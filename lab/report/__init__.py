"""What a run leaves behind: each report is a listener that is fed the run's events."""

from __future__ import annotations

from typing import Self


class Report:
    """Base of the reports that have an end: as a context manager one is closed in any case."""

    def close(self) -> None:
        """End the report; no event may follow."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_how: object) -> None:
        self.close()
