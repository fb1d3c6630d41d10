"""The broker of the local mode: a nats-server of its own, on the loop-back address, with its store in the
data directory.

It promises: after ``start()`` JetStream answers at ``address``; ``supervise()`` starts a nats-server that ends unasked
(killed, crashed) again, on the same port and store, and one whose disk was full once there is room; whatever keeps it
from running is reported as an EnvironmentFault with the end of its log. Only this user can connect: the password is
made anew at each start and kept in files that nobody else can read.

Readiness is its ports file, which the server writes, named after its process id, once it accepts
connections (JetStream has recovered by then): so another program's listener on the same port can't be taken
for ours.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from jobrun_operator.engine.ending import end
from jobrun_operator.errors import EnvironmentFault
from jobrun_operator.local.binary import check_version, find_nats_server
from jobrun_operator.local.child import Child, tail
from jobrun_operator.local.room import full_and_free_again
from jobrun_worker.ends import describe_exit

READY_SECONDS = 120.0
"""Generous: after a SIGKILL the server reads its store again, however large, before it is ready."""
RESTARTS = 5
"""So many unasked ends within ``RESTART_WINDOW_SECONDS`` are met with a restart; one more is final."""
RESTART_WINDOW_SECONDS = 120.0
_POLL_SECONDS = 0.02
_END_SECONDS = 10.0
"""That a server has to end by itself."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """What a client needs to connect."""

    url: str
    user: str
    password: str


def read_address(data_dir: Path) -> BrokerAddress:
    """Of the broker that runs in ``data_dir``; true only while the directory's lock is held.

    Raises FileNotFoundError where none was ever started, or the last one was stopped.
    """
    return BrokerAddress(**json.loads((data_dir / "broker" / "address.json").read_bytes()))


class EmbeddedBroker:
    """``start()``, then ``supervise()`` beside the work, then ``stop()``."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        binary: Path | None = None,
        on_restart: Callable[[str], None] = lambda message: None,
    ) -> None:
        """``port`` 0: a free one, kept over restarts. ``env``: added to the environment, as the keeper's."""
        self._directory = data_dir / "broker"
        self._log = data_dir / "logs" / "nats-server.log"
        self._output = data_dir / "logs" / "nats-server.out"
        self._port = port
        self._env = dict(env or {})
        self._binary = binary
        self._on_restart = on_restart
        self._password = secrets.token_urlsafe(24)
        self._child: Child | None = None
        self._stopping = False
        self._turn = asyncio.Lock()

    @property
    def address(self) -> BrokerAddress:
        """Final after ``start()``."""
        return BrokerAddress(f"nats://127.0.0.1:{self._port}", "jobrun", self._password)

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Returns when JetStream answers. Raises EnvironmentFault; nothing runs then."""
        binary = self._binary = self._binary or find_nats_server()
        await check_version(binary)
        try:
            for directory in (self._directory, self._log.parent):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._launch(binary)
            _write_private(self._directory / "address.json", json.dumps(asdict(self.address)))
        except OSError as error:
            await self.stop()
            raise EnvironmentFault(f"can't prepare {self._directory}: {error}") from error

    async def supervise(self) -> None:
        """Starts the broker again whenever it ends unasked; returns after ``stop()``.

        Raises EnvironmentFault when it ends, or can't start, again and again.
        """
        ends: list[float] = []
        while self._child is not None and self._binary is not None:
            had_no_room, code = await self._end_of(self._child)
            message = f"nats-server ended by itself ({describe_exit(code)})"
            if had_no_room:
                message = "there is room on the disk again"
                ends.clear()
            started = False
            while not started:
                if self._stopping:
                    return
                now = time.monotonic()
                ends = [at for at in ends if now - at < RESTART_WINDOW_SECONDS] + [now]
                if len(ends) > RESTARTS:
                    raise EnvironmentFault(
                        f"{message}: {len(ends)} times within {RESTART_WINDOW_SECONDS:g} s. "
                        f"Its log ends:\n{tail(self._log)}"
                    )
                self._on_restart(f"{message}; starting it again")
                await asyncio.sleep(0.0 if len(ends) == 1 else min(3.0, 0.1 * 2 ** len(ends)))
                try:
                    await self._launch(self._binary)
                    started = True
                except EnvironmentFault as fault:
                    message = str(fault)

    async def _end_of(self, child: Child) -> tuple[bool, int]:
        """How ``child`` ended; whether it was ended since its disk had been full."""

        def on_full() -> None:
            self._on_restart(f"the disk of {self._directory} is full: nothing goes on until there is room")

        ended = asyncio.create_task(child.wait())
        freed = asyncio.create_task(full_and_free_again(self._directory, on_full))
        try:
            await asyncio.wait({ended, freed}, return_when=asyncio.FIRST_COMPLETED)
            had_no_room = not ended.done()
            if had_no_room:
                child.end(_END_SECONDS)
            return had_no_room, await ended
        finally:
            await end(ended)
            await end(freed)

    async def stop(self, within: float = 10.0) -> None:
        """SIGTERM (it writes its store down), SIGKILL after ``within`` seconds. More than once is fine."""
        self._stopping = True
        async with self._turn:
            if self._child is not None:
                self._child.end(within)
                await self._child.wait()
                (self._directory / "address.json").unlink(missing_ok=True)

    async def _launch(self, binary: Path) -> None:
        async with self._turn:
            if self._stopping:
                return
            for stale in self._directory.glob("*.ports"):
                stale.unlink()
            config = self._directory / "nats-server.conf"
            _write_private(config, self._config())
            log_start = self._log.stat().st_size if self._log.exists() else 0
            self._output.unlink(missing_ok=True)
            child = await Child.start(
                [str(binary), "-c", str(config)], log=self._output, env=dict(os.environ) | self._env
            )
            try:
                self._port = await self._ready(child, log_start)
            except BaseException:
                child.end(0)
                await child.wait()
                raise
            self._child = child

    async def _ready(self, child: Child, log_start: int) -> int:
        """The port it listens on."""
        ended = asyncio.ensure_future(child.wait())
        deadline = time.monotonic() + READY_SECONDS
        try:
            while time.monotonic() < deadline:
                if ended in (await asyncio.wait({ended}, timeout=_POLL_SECONDS))[0]:
                    raise self._start_fault(
                        f"ended at its start ({describe_exit(ended.result())})", log_start
                    )
                if (port := _read_port(self._directory, child.pid)) is not None:
                    return port
            raise self._start_fault(f"was not ready within {READY_SECONDS:g} s", log_start)
        finally:
            ended.cancel()

    def _start_fault(self, what: str, log_start: int) -> EnvironmentFault:
        said = "\n".join(filter(None, (tail(self._log, start=log_start), tail(self._output))))
        if "address already in use" in said:
            return EnvironmentFault(
                f"port {self._port} of 127.0.0.1 is in use by another program: "
                "choose another with --port, or leave the option out for a free one"
            )
        if "no space left" in said:
            return EnvironmentFault(
                f"the disk of {self._directory} is full: make room, or choose another --data-dir"
            )
        return EnvironmentFault(f"nats-server {what}; its log ends:\n{said or '(empty)'}")

    def _config(self) -> str:
        def text(value: object) -> str:
            return json.dumps(str(value), ensure_ascii=False)

        # A log_file of its own, since the server then keeps its size within bounds itself.
        return f"""\
server_name: "jobrun-local"
listen: "127.0.0.1:{self._port or -1}"
ports_file_dir: {text(self._directory.absolute())}
log_file: {text(self._log.absolute())}
logfile_size_limit: 4MB
logfile_max_num: 2
jetstream {{ store_dir: {text(self._directory.absolute())} }}
authorization {{ user: {text(self.address.user)}, password: {text(self._password)} }}
"""


def _read_port(directory: Path, pid: int) -> int | None:
    for file in directory.glob(f"*_{pid}.ports"):
        try:
            return int(json.loads(file.read_bytes())["nats"][0].rpartition(":")[2])
        except json.JSONDecodeError:  # the server is writing it
            return None
    return None


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
