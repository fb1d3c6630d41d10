"""SIGINT, SIGTERM and SIGHUP, from the start of the command to its end.

The first one asks to stop in good order. What comes within a second of it is the same wish: ``timeout`` signals a
process, and then its group. A later one insists: the process ends at once, and the keeper ends what is left.

These are no handlers of the event loop: they hold before there is one and after it, and while it waits for a reader.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

INSIST_SECONDS = 1.0


class Interrupts:
    """Made once, in the main thread."""

    def __init__(self) -> None:
        self.number = 0
        """Of the first signal; 0 before there is any."""
        self.act: Callable[[], object] = self._leave
        """What the first one does, called between any two steps of the program; at first it raises SystemExit."""
        self._at = 0.0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    @property
    def exit_code(self) -> int:
        """As a shell has it."""
        return 128 + self.number

    def _leave(self) -> None:
        os.write(2, b"interrupted before the run began\n")
        raise SystemExit(self.exit_code)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.number:
            self.number, self._at = number, now
            self.act()
        elif now - self._at >= INSIST_SECONDS:
            os.write(2, b"interrupted again: running tasks are not waited for\n")
            os._exit(self.exit_code)
