"""Steps the clock of a process, as NTP or a resumed virtual machine does: python imports this module at its start.

The file named by ``FAULTS_CLOCK`` holds the step in seconds; it is read again at each look at the time. Only the time
of day is stepped: monotonic clocks never are.
"""

from __future__ import annotations

import os
import time

_FILE = os.environ.get("FAULTS_CLOCK", "")
_real = time.time_ns


def _step() -> int:
    """In nanoseconds."""
    try:
        with open(_FILE, encoding="ascii") as file:
            return int(float(file.read() or 0) * 1e9)
    except (OSError, ValueError):  # not stepped so far
        return 0


if _FILE:
    time.time_ns = lambda: _real() + _step()
    time.time = lambda: time.time_ns() / 1e9
