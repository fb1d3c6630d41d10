"""How processes end, in words, and how soon another may take the place of one that ended by itself. Pure."""

from __future__ import annotations

import signal

UNUSABLE = 2
"""A worker's exit status for settings or a handler that can't be used: another would fare no better."""
QUICK_SECONDS = 10.0
"""A process that ended sooner than this ended quickly: its successor's successor has to wait."""
BACKOFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Wait before a replacement, by how many in a row ended quickly; the last one stays."""


def backoff(quick_ends: int) -> float:
    """Seconds before the replacement of a process that was the ``quick_ends``-th in a row to end quickly; 0: none."""
    return BACKOFF_SECONDS[min(max(0, quick_ends - 1), len(BACKOFF_SECONDS) - 1)]


def describe_exit(code: int) -> str:
    """``code``, as ``subprocess`` has it, in words: "exit code 1", "SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def exit_status(code: int) -> int:
    """``code`` as a process hands it on: 128 and the number where a signal ended the other."""
    return code if code >= 0 else 128 - code
