"""A real broker, a provisioned run and real worker processes, for tests that wait on states and signals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any

import nats
from nats.aio.client import Client

from jobrun_operator.jetstream import layout
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.wire import CONSUMER, AttemptRecord, Names, Outcome
from support.nats_server import NatsServer

PATIENCE = 60.0
"""Seconds after which a test gives up; no test asserts on how long something takes."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(what: str, holds: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> None:
    """Look again and again until ``holds``."""
    try:
        async with asyncio.timeout(patience):
            while not await holds():  # noqa: ASYNC110  # a broker or a file has no event to wait on
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {patience:g} s: {what}") from None


@dataclass
class Output:
    """The lines that a process has written, as they come."""

    name: str
    lines: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    async def read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.lines.append(line.decode(errors="replace").rstrip("\n"))
            self.changed.set()
        self.ended = True
        self.changed.set()

    async def line(self, pattern: str, after: int = 0, patience: float = PATIENCE) -> int:
        """Wait for a line that matches; returns the number of lines up to it."""
        try:
            async with asyncio.timeout(patience):
                while True:
                    for number in range(after, len(self.lines)):
                        if re.search(pattern, self.lines[number]):
                            return number + 1
                    assert not self.ended, f"{self.name} ended without {pattern!r}:\n{self.text}"
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} never wrote {pattern!r}:\n{self.text}") from None

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Process:
    """A child process whose standard error is read; ended by its id, never by name."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        assert process.stderr is not None
        self.process = process
        self.output = Output(name)
        self.reader = asyncio.create_task(self.output.read(process.stderr))

    @classmethod
    async def start(cls, name: str, *command: str, **options: Any) -> Process:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            **options,
        )
        return cls(process, name)

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def send(self, number: Signals) -> None:
        if self.running:
            self.process.send_signal(number)

    async def wait(self, patience: float = PATIENCE) -> int:
        async with asyncio.timeout(patience):
            status = await self.process.wait()
            await self.reader
            return status

    async def kill(self) -> None:
        self.send(SIGKILL)
        await self.wait()


class Run:
    """One run, provisioned as the operator does it; made of a connection of the test's own."""

    def __init__(self, nc: Client, broker: NatsServer, directory: Path, ack_wait: float = 2.0) -> None:
        self.nc = nc
        self.broker = broker
        self.directory = directory
        self.uid = str(uuid.uuid4())
        self.names = Names()
        self.stream = self.names.work_stream(self.uid)
        self.out = self.names.out_stream(self.uid)
        self.settings = WorkerSettings(
            nats_url=broker.url,
            uid=self.uid,
            run="test",
            namespace="default",
            ack_wait_seconds=ack_wait,
            task_timeout_seconds=30,
            grace_seconds=20,
            retry_initial_delay_seconds=0.2,
            retry_max_delay_seconds=1,
        )
        self.workers: list[Process] = []

    async def api(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = await self.nc.request(f"$JS.API.{subject}", json.dumps(body or {}).encode(), timeout=10)
        value: dict[str, Any] = json.loads(answer.data)
        assert "error" not in value, value["error"]
        return value

    async def provision(self) -> None:
        await self.api(
            f"STREAM.CREATE.{self.stream}",
            {
                "name": self.stream,
                "subjects": [self.names.work_subject(self.uid)],
                "retention": "workqueue",
                "storage": "file",
                "allow_atomic": True,
                "allow_direct": True,
                "discard": "new",
            },
        )
        await self.api(
            f"STREAM.CREATE.{self.out}",
            {
                "name": self.out,
                "subjects": self.names.out_subjects(self.uid),
                "retention": "limits",
                "storage": "file",
                "max_msgs_per_subject": 1,
                "allow_direct": True,
                "discard": "old",
            },
        )
        await self.make_consumer()
        bucket = layout.control_bucket(self.names, 1)
        await self.api(f"STREAM.CREATE.{bucket['name']}", bucket)

    async def make_consumer(self, max_waiting: int = 4096) -> None:
        await self.api(
            f"CONSUMER.CREATE.{self.stream}.{CONSUMER}",
            {
                "stream_name": self.stream,
                "config": {
                    "durable_name": CONSUMER,
                    "name": CONSUMER,
                    "ack_policy": "explicit",
                    "ack_wait": int(self.settings.ack_wait_seconds * 1e9),
                    "max_deliver": -1,
                    "max_ack_pending": -1,
                    "max_waiting": max_waiting,
                    "deliver_policy": "all",
                },
                "action": "create",
            },
        )

    async def release(self, payloads: Sequence[object]) -> None:
        """Tasks of these payloads, in this order."""
        subject = self.names.work_subject(self.uid)
        for payload in payloads[:-1]:
            await self.nc.publish(subject, json.dumps(payload).encode())
        await self.nc.request(subject, json.dumps(payloads[-1]).encode(), timeout=10)

    async def outstanding(self) -> int:
        info = await self.api(f"STREAM.INFO.{self.stream}")
        return int(info["state"]["messages"])

    async def consumer(self) -> dict[str, Any]:
        return await self.api(f"CONSUMER.INFO.{self.stream}.{CONSUMER}")

    async def finished(self) -> None:
        await self.settled_but(0)

    async def settled_but(self, left: int) -> None:
        async def so_many() -> bool:
            return await self.outstanding() == left

        await until(f"all tasks but {left} settled", so_many)

    async def outcomes(self) -> dict[int, Outcome]:
        """Of all tasks that have one, by index."""
        found = {}
        info = await self.api(
            f"STREAM.INFO.{self.out}", {"subjects_filter": f"{self.names.prefix}.out.{self.uid}.end.>"}
        )
        for subject in info["state"].get("subjects") or {}:
            answer = await self.nc.request(f"$JS.API.DIRECT.GET.{self.out}.{subject}", timeout=10)
            outcome = Outcome.parse(subject, answer.headers or {}, answer.data)
            assert outcome.index not in found, "a task has one outcome"
            found[outcome.index] = outcome
        return found

    async def record(self, index: int) -> AttemptRecord:
        answer = await self.nc.request(
            f"$JS.API.DIRECT.GET.{self.out}.{self.names.attempt(self.uid, index)}", timeout=10
        )
        return AttemptRecord.decode(answer.data) if answer.data else AttemptRecord()

    def handler(self, source: str, name: str = "handle") -> None:
        """Write the module of a Python handler and make workers use it."""
        (self.directory / "tasks.py").write_text(source)
        self.configure(handler_python=f"tasks:{name}")

    def configure(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)

    async def worker(self, name: str = "", ready: bool = True) -> Process:
        name = name or f"w{len(self.workers)}"
        environ = {key: value for key, value in os.environ.items() if not key.startswith("JOBRUN_")}
        environ |= replace(self.settings, worker=name).to_env()
        worker = await Process.start(
            name, sys.executable, "-m", "jobrun_worker", cwd=self.directory, env=environ
        )
        self.workers.append(worker)
        if ready:
            await worker.output.line("ready: ")
        return worker

    async def close(self) -> None:
        for worker in self.workers:
            await worker.kill()


async def connect(url: str, **options: Any) -> Client:
    """A connection that is as patient with the broker as the tests are."""

    async def quiet(_: Exception) -> None:
        return None

    return await nats.connect(
        url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=quiet, **options
    )
