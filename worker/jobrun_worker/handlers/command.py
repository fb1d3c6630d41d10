"""A command per task: payload on standard input, result on standard output, verdict in the exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping

from jobrun_worker.describe import LONGEST
from jobrun_worker.handlers import AttemptFailed
from jobrun_worker.handlers.results import from_text, too_large
from jobrun_worker.instructions import Retry
from jobrun_worker.settings import ENV_PREFIX
from jobrun_worker.task import Task

EX_TEMPFAIL = 75
"""Exit status that asks for a retry (sysexits.h)."""

_STDERR = 4 * LONGEST
"""Bytes of standard error that are kept."""
_LEFTOVER = 1.0
"""Seconds to wait for output that a child outside of the command's process group may hold back."""


class CommandHandler:
    wants_task = True

    def __init__(
        self, command: tuple[str, ...], *, retain: bool, environ: Mapping[str, str] | None = None
    ) -> None:
        """``environ`` is what commands inherit, without the worker's own settings: they hold credentials."""
        inherited = os.environ if environ is None else environ
        self._command = command
        self._retain = retain
        self._environ = {name: value for name, value in inherited.items() if not name.startswith(ENV_PREFIX)}
        self._limit = sys.maxsize
        self._running: set[int] = set()

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
        for pid in self._running:
            _kill(pid)

    async def __call__(self, payload: bytes, task: Task) -> bytes:
        loop = asyncio.get_running_loop()
        transport, child = await loop.subprocess_exec(
            lambda: _Child(self._limit + 1),
            *self._command,
            stdin=PIPE,
            stdout=PIPE if self._retain else DEVNULL,
            stderr=PIPE,
            env=self._environ | _environment(task),
            start_new_session=True,
        )
        pid = transport.get_pid()
        self._running.add(pid)
        try:
            _feed(transport, payload)
            await child.exited
            # What it leaves behind in its group ends with it; then nobody holds its pipes open.
            _kill(pid)
            await asyncio.wait({child.closed}, timeout=_LEFTOVER)
        finally:
            _kill(pid)
            self._running.discard(pid)
            transport.close()
        return self._result(transport.get_returncode() or 0, bytes(child.stdout), bytes(child.stderr))

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


def _kill(pid: int) -> None:
    """The command and its children: all that is in its process group, which has its id."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nothing of it is left


def _feed(transport: asyncio.SubprocessTransport, payload: bytes) -> None:
    stdin = transport.get_pipe_transport(0)
    assert isinstance(stdin, asyncio.WriteTransport)  # noqa: S101  # for the type checker
    stdin.write(payload)
    stdin.close()  # after what is written; a command that does not read it is no error


class _Child(asyncio.SubprocessProtocol):
    """Collects both outputs, each bounded: of the result the beginning, of the errors the end.

    asyncio's ``Process.wait()`` would wait for the pipes as well, which children left in the background hold open.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.stdout = bytearray()
        self.stderr = bytearray()
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.stdout += data[: max(0, self._most - len(self.stdout))]
        else:
            self.stderr += data
            del self.stderr[:-_STDERR]

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
