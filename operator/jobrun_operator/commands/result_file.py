"""Where lines of results go, for ``--results`` and ``--output``.

A regular file, also at the end of symbolic links, is replaced when the new one is whole. What is something else, a
device or a FIFO, is written to and stays what it is. ``-`` is standard output, and so is a path that leads there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from jobrun_operator.errors import EnvironmentFault, InputError
from jobrun_operator.jetstream.results import result_line
from jobrun_worker.wire import Outcome

_DASH = Path("-")
_POLL_SECONDS = 0.1
_OWN_FILES = ("jobrun.json", "jobrun.new", "installation", "installation.new", "lock", ".gitignore")
_OWN_FOLDERS = ("broker", "logs")
"""Of a data directory; anything else in it is the user's."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """``path`` as ``option`` names it."""

    option: str
    path: Path

    @property
    def is_standard_output(self) -> bool:
        """Then nothing else may be written there."""
        if self.path == _DASH:
            return True
        try:
            there, output = self.path.stat(), os.fstat(sys.stdout.fileno())
        except (OSError, ValueError):
            return False
        # A terminal and /dev/null may be both: what is written to them can't be hurt.
        return os.path.samestat(there, output) and not stat.S_ISCHR(there.st_mode)

    @property
    def name(self) -> str:
        """What messages call it: "in results.jsonl"."""
        return "on standard output" if self.is_standard_output else f"in {self.path}"

    @property
    def _target(self) -> Path:
        """At the end of symbolic links."""
        return Path(os.path.realpath(self.path))

    def check(self) -> None:
        """Better now than at the end of a long run. Raises InputError."""
        if self.is_standard_output:
            return
        path, target = self.path, self._target
        if path.is_dir():
            raise InputError(self.option, f"{path} is a directory; name a file")
        if path.exists() and not os.access(path, os.W_OK):
            raise InputError(self.option, f"{path} can't be written; check its permissions")
        if path.exists() and not path.is_file():
            return
        if not target.parent.is_dir():
            raise InputError(self.option, f"there is no directory {_shown(path, target)}; make it first")
        if not path.exists() and not os.access(target.parent, os.W_OK):
            raise InputError(self.option, f"{path} can't be written; check its permissions")

    def check_is_none_of(self, inputs: Mapping[str, Iterable[Path]], data_dir: Path | None) -> None:
        """Raises InputError where writing would overwrite what the command reads. ``inputs``: by what they are."""
        if self.path == _DASH:
            return
        for what, paths in inputs.items():
            if any(_is_same(self.path, path) for path in paths):
                raise InputError(
                    self.option, f"{self.path} is {what}, and would be overwritten; name another file"
                )
        if data_dir is not None and _is_own(self._target, data_dir):
            raise InputError(
                self.option, f"{self.path} is a part of the data directory {data_dir}; name another file"
            )

    async def write(
        self, outcomes: AsyncIterator[Outcome], on_wait: Callable[[str], None] = lambda message: None
    ) -> int:
        """A line for each; returns their number. ``on_wait`` is told what is waited for.

        Raises EnvironmentFault, and BrokenPipeError where standard output has no reader any more.
        """
        if self.is_standard_output:
            return await _write_lines(outcomes, sys.stdout)
        try:
            if self.path.exists() and not self.path.is_file():
                with os.fdopen(await self._open_in_place(on_wait), "w", encoding="utf-8") as file:
                    return await _write_lines(outcomes, file)
            return await _replace(self._target, outcomes)
        except OSError as error:
            raise EnvironmentFault(
                f"{self.option}: {self.path} can't be written: {error.strerror}"
            ) from error

    async def _open_in_place(self, on_wait: Callable[[str], None]) -> int:
        """A FIFO opens when it has a reader, which is waited for in a way that can be cancelled."""
        told = False
        while True:
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO or not self.path.is_fifo():
                    raise
            else:
                os.set_blocking(descriptor, True)
                return descriptor
            if not told:
                on_wait(f"waiting for a reader of {self.path}")
            told = True
            await asyncio.sleep(_POLL_SECONDS)


async def _replace(target: Path, outcomes: AsyncIterator[Outcome]) -> int:
    new = target.with_name(f".{target.name}.new")
    try:
        with new.open("w", encoding="utf-8") as file:
            lines = await _write_lines(outcomes, file)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
    return lines


async def _write_lines(outcomes: AsyncIterator[Outcome], file: TextIO) -> int:
    lines = 0
    async for outcome in outcomes:
        file.write(json.dumps(result_line(outcome), ensure_ascii=False) + "\n")
        lines += 1
    file.flush()
    return lines


def _shown(path: Path, target: Path) -> Path:
    """The directory that is missing: as it was typed, or where a link leads."""
    return target.parent if path.is_symlink() else path.parent


def _is_same(path: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):  # one of them is not there
        return os.path.samefile(path, other)
    return False


def _is_own(target: Path, data_dir: Path) -> bool:
    root = Path(os.path.realpath(data_dir))
    if not target.is_relative_to(root):
        return False
    first, *deeper = target.relative_to(root).parts or (".",)
    return first in _OWN_FOLDERS or (not deeper and first in _OWN_FILES)
