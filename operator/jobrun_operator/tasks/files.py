"""A data file on this machine, given by ``--tasks``: checked, and read as a stream of bytes.

What takes ``--tasks`` puts these bytes into the broker's object store, and the run reads them from there: it can
be resumed when the file has moved on.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from jobrun_operator.api import Format
from jobrun_operator.errors import InputError
from jobrun_operator.tasks.formats import ENDINGS, format_of

OPTION = "--tasks"

CHUNK = 256 * 1024
"""Bytes read at once."""


@dataclass(frozen=True, slots=True)
class DataFile:
    path: Path
    format: Format
    """As ``spec.tasks.format``."""
    size: int
    """Bytes, when it was looked at."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes from the beginning; reads happen in threads. Raises InputError."""
        try:
            file = await asyncio.to_thread(self.path.open, "rb", 0)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        with file:
            while True:
                try:
                    chunk = await asyncio.to_thread(file.read, CHUNK)
                except OSError as error:
                    raise _unreadable(self.path, error) from error
                if not chunk:
                    return
                yield chunk


def data_file(path: Path, stated_format: Format | None = None) -> DataFile:
    """Look at a file before anything is started. Raises InputError where it can't be what ``--tasks`` wants."""
    found = stated_format or format_of(path.name)
    if found is None:
        endings = ", ".join(ENDINGS)
        raise InputError(OPTION, f"the format of {path} can't be told: its name must end in one of {endings}")
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(OPTION, f"{path} is a directory; give a JSON Lines or CSV file")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(OPTION, f"{path} is not a regular file; write the data into one first")
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from error
    return DataFile(path, found, status.st_size)


def _unreadable(path: Path, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(OPTION, f"there is no file {path}")
    if isinstance(error, PermissionError):
        return InputError(OPTION, f"{path} may not be read; check its permissions")
    return InputError(OPTION, f"{path} can't be read: {error.strerror or error}")
