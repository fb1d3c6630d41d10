"""Waits for a disk that is full to have room again.

nats-server closes a stream that it could not write: what is sent to it goes unanswered until the server is started
again, whatever room there is by then. Its log can't be counted on to say so, since it is on the same disk.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

FULL_BYTES = 8 << 20
"""With less than that the disk counts as full: the server writes up to so much at once."""
ROOM_BYTES = 64 << 20
"""With so much there is room again."""
_POLL_SECONDS = 0.5


async def full_and_free_again(directory: Path, on_full: Callable[[], None]) -> None:
    """Return when the disk of ``directory`` was full and has room again; ``on_full`` is called in between."""
    while _free_bytes(directory) >= FULL_BYTES:  # noqa: ASYNC110  # a disk has no event
        await asyncio.sleep(_POLL_SECONDS)
    on_full()
    while _free_bytes(directory) < ROOM_BYTES:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


def _free_bytes(directory: Path) -> int:
    """What this user can still write."""
    try:
        disk = os.statvfs(directory)
    except OSError:  # it was removed: there is nothing to wait for
        return ROOM_BYTES
    return disk.f_bavail * disk.f_frsize
