"""A command per task: payload on standard input, result on standard output, verdict in the exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping

from jobrun_worker.describe import LONGEST
from jobrun_worker.handlers import AttemptFailed
from jobrun_worker.handlers.results import from_text, too_large
from jobrun_worker.instructions import Retry
from jobrun_worker.settings import ENV_PREFIX
from jobrun_worker.task import Task

EX_TEMPFAIL = 75
"""Exit status that asks for a retry (sysexits.h)."""

_CHUNK = 64 * 1024


class CommandHandler:
    def __init__(
        self, command: tuple[str, ...], *, retain: bool, environ: Mapping[str, str] | None = None
    ) -> None:
        """``environ`` is what commands inherit, without the worker's own settings: they hold credentials."""
        inherited = os.environ if environ is None else environ
        self._command = command
        self._retain = retain
        self._environ = {name: value for name, value in inherited.items() if not name.startswith(ENV_PREFIX)}
        self._limit = sys.maxsize
        self._running: set[Process] = set()

    @property
    def stuck(self) -> int:
        return 0

    def limit_result(self, size: int) -> None:
        self._limit = size

    async def open(self) -> None:
        """Nothing to prepare: each task starts its own process."""

    async def close(self) -> None:
        self.kill()

    def kill(self) -> None:
        for process in self._running:
            _kill(process)

    async def __call__(self, payload: bytes, task: Task) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE if self._retain else DEVNULL,
            stderr=PIPE,
            env=self._environ | _environment(task),
            start_new_session=True,
        )
        self._running.add(process)
        try:
            stdout, stderr = await self._communicate(process, payload)
        finally:
            # Also what a command leaves behind it: its group is the task's, and ends with it.
            _kill(process)
            self._running.discard(process)
            await asyncio.shield(process.wait())
        return self._result(process.returncode or 0, stdout, stderr)

    async def _communicate(self, process: Process, payload: bytes) -> tuple[bytes, bytes]:
        """Both outputs, each bounded, once the command itself has ended."""
        assert process.stdin is not None  # noqa: S101  # for the type checker: all three are pipes
        assert process.stderr is not None  # noqa: S101
        limit = self._limit
        readers = [
            asyncio.create_task(_first(process.stdout, limit + 1)),
            asyncio.create_task(_last(process.stderr, 4 * LONGEST)),
            asyncio.create_task(_feed(process.stdin, payload)),
        ]
        try:
            await process.wait()
            _kill(process)  # a child left in the background would keep the pipes open
            stdout, stderr, _ = await asyncio.gather(*readers)
        finally:
            for reader in readers:
                reader.cancel()
        return stdout or b"", stderr or b""

    def _result(self, status: int, stdout: bytes, stderr: bytes) -> bytes:
        if status == 0:
            if not self._retain:
                return b""
            if len(stdout) > self._limit:
                raise too_large(self._limit)
            return from_text(stdout, self._limit)
        tail = stderr.decode(errors="replace").strip()[-LONGEST // 2 :]
        if status == EX_TEMPFAIL:
            raise Retry(reason=tail or f"exit status {EX_TEMPFAIL} asked for a retry")
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        raise AttemptFailed(f"{how}: {tail}" if tail else how)


def _environment(task: Task) -> dict[str, str]:
    return {
        "JOBRUN_INDEX": str(task.index),
        "JOBRUN_ATTEMPT": str(task.attempt),
        "JOBRUN_IDEMPOTENCY_KEY": task.idempotency_key,
    }


def _kill(process: Process) -> None:
    """The command and its children: all that is in its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nothing of it is left


async def _feed(stdin: asyncio.StreamWriter, payload: bytes) -> bytes:
    """A command need not read its payload, so a closed pipe is no error."""
    try:
        stdin.write(payload)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        stdin.close()
    return b""


async def _first(stream: asyncio.StreamReader | None, size: int) -> bytes:
    """The first ``size`` bytes; the rest is read and dropped, so that the command does not block."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        kept += chunk[: max(0, size - len(kept))]
    return bytes(kept)


async def _last(stream: asyncio.StreamReader, size: int) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(_CHUNK):
        kept += chunk
        del kept[:-size]
    return bytes(kept)
