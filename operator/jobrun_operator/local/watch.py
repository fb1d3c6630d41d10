"""Edits of a manifest while its run goes on: the way to change a rate without a cluster.

The directory is watched, not the file, since editors replace files. Every ``POLL_SECONDS`` the content is
compared in any case: that covers an edit before the watch began, symbolic links, and file systems without
notifications.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

from watchfiles import Change, awatch

POLL_SECONDS = 0.4
_DEBOUNCE_MS, _STEP_MS = 100, 20


async def edits(path: Path, known: bytes) -> AsyncGenerator[bytes, None]:
    """The content of ``path`` whenever it is another than the last one (``known`` at first); endless.

    It may be anything, also half of a file in the middle of a save: whoever reads it waits for the next one
    then. While the file is absent nothing is yielded.
    """
    path = Path(os.path.abspath(path))  # noqa: ASYNC240  # asks the disk for nothing

    def concerns(_: Change, name: str) -> bool:
        return Path(name).name == path.name

    async for _ in awatch(
        path.parent,
        watch_filter=concerns,
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        rust_timeout=int(POLL_SECONDS * 1000),
        yield_on_timeout=True,
        recursive=False,
    ):
        try:
            content = path.read_bytes()
        except OSError:  # absent for a moment, as while it is replaced
            continue
        if content != known:
            known = content
            yield content
