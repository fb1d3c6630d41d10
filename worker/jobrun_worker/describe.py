"""A user's error in one line: its type, its message, and where in the user's own code it was raised."""

from __future__ import annotations

import os
import sysconfig
import traceback

LONGEST = 2000
"""Characters of an error text that are kept."""

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARIES = tuple(
    {
        os.path.realpath(path) + os.sep
        for key in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_path(key))
    }
)


def describe(error: BaseException) -> str:
    """``ValueError: bad id (at push.py:12)``."""
    message = " ".join(str(error).split())
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return shorten(text, raised_at(error))


def raised_at(error: BaseException) -> str:
    """`` (at file:line)`` of the innermost frame of the user's own code, or nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = os.path.realpath(frame.filename)
        if path.startswith((_OURS, "<")) or path.startswith(_LIBRARIES) or not os.path.isabs(frame.filename):
            continue
        return f" (at {os.path.basename(path)}:{frame.lineno})"
    return ""


def shorten(text: str, ending: str = "", longest: int = LONGEST) -> str:
    """``text`` and ``ending`` in at most ``longest`` characters; of the text, the beginning is kept."""
    text = text.encode(errors="backslashreplace").decode()  # half a surrogate pair can't be written anywhere
    room = longest - len(ending)
    if len(text) > room:
        text = text[: room - 1] + "…"
    return text + ending
