"""One tethered process of the local mode with its log file: the broker, or a worker.

Output goes straight to the file and never through this process: a handler that prints much must neither
slow the engine nor mix with the progress on the terminal, and nobody gets SIGPIPE. Files are kept small by
cutting: the end moves to ``<name>.log.1`` and the file starts anew (what is written in that very moment is
lost).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobrun_operator.local.tether import tethered

LOG_BYTES = 4 * 1024 * 1024
"""A larger log is cut."""
LOGS_KEPT = 100
"""Log files of ended workers beyond these are removed, oldest first."""


class Child:
    """A running process. It is in a session of its own: a Ctrl-C of the terminal does not reach it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._kill: asyncio.TimerHandle | None = None

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        nice: int = 0,
    ) -> Child:
        """Both outputs are appended to ``log``. Raises OSError."""
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *tethered(command, nice=nice),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        finally:
            os.close(output)
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Its exit code; minus the number of the signal that ended it."""
        code = await self._process.wait()
        if self._kill is not None:
            self._kill.cancel()
        return code

    def end(self, within: float) -> None:
        """SIGTERM now and SIGKILL after ``within`` seconds; asked again, the kill can only come earlier."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        if self._kill is None:
            self._send(signal.SIGTERM)
        elif self._kill.when() <= deadline:
            return
        else:
            self._kill.cancel()
        self._kill = loop.call_at(deadline, self._send, signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended: what was wanted
            self._process.send_signal(number)


def tail(path: Path, *, lines: int = 15, start: int = 0) -> str:
    """The last lines of a log, of what was written from byte ``start`` on; empty where there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - 16384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(line.rstrip() for line in text.splitlines()[-lines:]).strip()


def cut_log(path: Path, limit: int = LOG_BYTES) -> None:
    """Where the file is over ``limit``: keep its end as ``<name>.1`` and empty it."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    if size <= limit:
        return
    with path.open("r+b") as file:
        file.seek(size - limit)
        end = file.read(limit)
        file.truncate(0)  # writers append: they go on at the new end
    path.with_name(path.name + ".1").write_bytes(end)


def prune_logs(directory: Path, in_use: set[Path], keep: int = LOGS_KEPT) -> None:
    """Remove the oldest worker logs beyond ``keep``, with what was cut off them."""
    logs = [
        (path.stat().st_mtime_ns, path)
        for path in directory.iterdir()
        if re.search(r"-\d+\.log$", path.name) and path not in in_use
    ]
    for _, path in sorted(logs)[: max(0, len(logs) - keep)]:
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".1").unlink(missing_ok=True)
