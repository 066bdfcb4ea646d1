"""Printing on a terminal or into a log: hanging lines, and one live line at the bottom."""

from __future__ import annotations

import os
from collections.abc import Callable

from rich.console import Console as Screen
from rich.console import ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab.events import Waiting
from lab.report.text import one_line

_QUIET = 1.0  # a command that ends sooner is not worth a line that flickers


class Lasting(Screen):
    """rich's, for what goes on when nobody looks any more; that one would exit with 1 by itself."""

    def on_broken_pipe(self) -> None:
        """The reader (head, less) is gone: from here on nothing is printed."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())  # what is still in a buffer goes there at the end
        os.close(nowhere)


def is_terminal(screen: Screen) -> bool:
    """Whether a person's terminal is at the other end, where lines can be taken back."""
    # Rich takes a pipe for a terminal if FORCE_COLOR is set, as it is in some CI systems:
    # colours are fine there, moving the cursor is not.
    return screen.is_interactive and screen.file.isatty()


def say(screen: Screen, lead: str, body: str, style: str = "", lead_style: str = "") -> None:
    """Print `body` after `lead`; on a terminal, further rows stand under its beginning.

    Text objects only: what a machine prints is never taken for rich's markup.
    """
    first, rest = Text(lead, style=lead_style or style), Text(body, style=style)
    if not is_terminal(screen):
        screen.print(Text.assemble(first, rest), soft_wrap=True)
    elif not lead or not body:
        screen.print(Text.assemble(first, rest), overflow="fold")
    else:
        row = Table.grid()
        row.add_column(no_wrap=True, width=first.cell_len)
        row.add_column(overflow="fold")
        row.add_row(first, rest)
        screen.print(row)


class _Running:
    """For how long something goes on already."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._began = clock()

    def __rich_console__(self, screen: Screen, options: ConsoleOptions) -> RenderResult:
        took = self._clock() - self._began
        tail = f" · {took:.0f} s" if took >= _QUIET else ""
        yield _fit(self._what if tail else "", "", tail, options.max_width)


class _Awaited:
    """What is awaited, the last value seen, and the time left as of now."""

    def __init__(self, event: Waiting, clock: Callable[[], float]) -> None:
        self._event = event
        self._clock = clock
        self._until = clock() + event.left

    def __rich_console__(self, screen: Screen, options: ConsoleOptions) -> RenderResult:
        seen = one_line(self._event.seen)
        yield _fit(
            f"waiting until {one_line(self._event.what)}",
            f" · seen: {seen}" if seen else "",
            f" · {max(0.0, self._until - self._clock()):.0f} s left",
            options.max_width,
        )


class LiveLine:
    """Shows one line below everything printed; `stop` removes it.

    Does nothing on a screen that is no terminal, where lines cannot be taken back.
    """

    def __init__(self, screen: Screen, clock: Callable[[], float]) -> None:
        self._screen = screen
        self._clock = clock
        self._live: Live | None = None
        self.possible = is_terminal(screen)

    def running(self, what: str) -> None:
        """Say that `what` goes on, and for how long already."""
        self._show(_Running(what, self._clock))

    def waiting(self, event: Waiting) -> None:
        """Say what is awaited."""
        self._show(_Awaited(event, self._clock))

    def stop(self) -> None:
        """Take the line away and leave the terminal as it was."""
        live, self._live = self._live, None
        if live:
            live.stop()

    def _show(self, line: _Running | _Awaited) -> None:
        if not self.possible:
            return
        if self._live:
            self._live.update(line)
            return
        # Kept before it starts: a Ctrl-C in between must still find it to stop it.
        self._live = Live(line, console=self._screen, transient=True, refresh_per_second=2)
        self._live.start()


def _fit(what: str, seen: str, tail: str, width: int) -> Text:
    """The three on one line: `tail` always whole, the others shortened as need be."""
    # Less than the width: a terminal echoes Ctrl-C as ^C behind it, and if that flowed over to
    # the next row, the line could not be taken away any more.
    room = max(0, width - 3 - Text(tail).cell_len)
    first, second = Text(what, style="cyan"), Text(seen, style="dim")
    first.truncate(max(room - second.cell_len, room * 6 // 10), overflow="ellipsis")
    second.truncate(room - first.cell_len, overflow="ellipsis")
    return Text.assemble(first, second, (tail, "cyan"))
