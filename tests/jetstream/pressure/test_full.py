"""Storage at its limits, each by its own name: what is refused waits, is told, and goes on when there is room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from faults.disk import SmallDisk
from jetstream.worker.rig import Run, until
from jobrun_operator.core.pacing import Limits
from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.engine.releaser import Releaser
from jobrun_operator.errors import BrokerBusy, BrokerUnavailable
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_worker.address import BrokerAddress
from jobrun_worker.wire import Outcome
from support.jetstream_bench import JetStreamBench
from support.nats_server import NatsServer

_BYTES = 3 << 20
_ACCOUNT = f"accounts {{ A {{ jetstream: {{ max_file: {_BYTES} }}, users: [{{ user: a, password: a }}] }} }}"
_RUN = RunRef("shop", "backfill", "0001")
_PAYLOAD = b'"%s"' % (b"x" * 20_000)
_COUNT = 200


class _Impatient(JetStream):
    """A batch that is stored in part gets no answer, and the test need not wait for it as long as others do."""

    async def request(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None, timeout: float = 1.0
    ) -> Msg:
        return await super().request(subject, body, headers, timeout)


class _Payloads:
    """Four megabytes of tasks, which don't fit."""

    async def scan(self) -> SourceSummary:
        return SourceSummary(_COUNT, "none")

    async def is_unchanged(self, summary: SourceSummary) -> bool:
        return True

    async def read(self, start: int) -> AsyncIterator[list[bytes]]:
        for index in range(start, _COUNT, 20):
            yield [_PAYLOAD] * min(20, _COUNT - index)


@pytest.fixture(params=["account", "server"])
async def small(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JetStreamBench]:
    """A broker that has room for three megabytes: the account, or the server as a whole."""
    account = request.param == "account"
    server = NatsServer(
        tmp_path / "nats",
        _ACCOUNT if account else "",
        jetstream="" if account else f"max_file_store: {_BYTES}",
    )
    async with server:
        client = await connect(BrokerAddress(server.url, *(("a", "a") if account else ())), "test")
        bench = JetStreamBench(_Impatient(client), reserves=False)
        await bench.streams.provision_installation()
        await bench.streams.provision(_RUN, SourceSummary(_COUNT, "none"))
        yield bench
        await close(client)


async def test_releasing_says_what_is_full_and_goes_on_with_the_room_that_is_made(
    small: JetStreamBench,
) -> None:
    depth, flow = await small.observer.depth(_RUN.uid), await small.observer.flow(_RUN.uid)
    assert depth is not None
    assert flow is not None
    releaser = Releaser(_RUN, _Payloads(), small.publisher, small.observer, depth=depth, flow=flow)
    releaser.limit(Limits(total=_COUNT, rate=None, max_waiting=_COUNT, max_outstanding=_COUNT))
    running = asyncio.create_task(releaser.run())
    try:
        async with asyncio.timeout(60):
            await until("the broker's reason", _says(releaser, "the broker holds back: "))
            assert await small.observer.refusal(_RUN.uid)
            assert releaser.released < _COUNT
            while releaser.released < _COUNT:
                for task in await small.take(_RUN.uid, 50):
                    assert task.body == _PAYLOAD
                    await small.ack(task)
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait({running})
    final = await small.observer.depth(_RUN.uid)
    assert final is not None
    assert final.last_seq == _COUNT


@pytest.mark.parametrize("size", [1, 2])
async def test_what_could_not_be_written_takes_no_index(tmp_path: Path, size: int) -> None:
    """The first tasks of a run, on a full disk: a plain message would count in ``last_seq`` and be gone."""
    server = NatsServer(tmp_path / "nats")
    disk = SmallDisk(server.store)
    try:
        if not disk.is_small:
            pytest.skip("a file system in memory can't be mounted here")
        async with server:
            client = await connect(BrokerAddress(server.url), "test")
            bench = JetStreamBench(_Impatient(client), reserves=False)
            await bench.streams.provision_installation()
            await bench.streams.provision(_RUN, SourceSummary(_COUNT, "none"))
            await asyncio.to_thread(disk.fill)
            with pytest.raises((BrokerBusy, BrokerUnavailable)):
                await bench.publisher.release(_RUN.uid, 0, [_PAYLOAD] * size)
            disk.free()
            await server.restart()
            assert await _until_released(bench, [_PAYLOAD] * size) == size
            depth = await bench.observer.depth(_RUN.uid)
            assert depth is not None
            assert (depth.last_seq, depth.messages) == (size, size)
            await close(client)
    finally:
        disk.close()


async def _until_released(bench: JetStreamBench, payloads: list[bytes]) -> int:
    """The client needs a moment to notice that its broker has been started again."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await bench.publisher.release(_RUN.uid, 0, payloads)
            except BrokerUnavailable:
                await asyncio.sleep(0.05)


async def test_a_stream_of_outcomes_at_its_limit_is_seen(small: JetStreamBench) -> None:
    out = small.names.out_stream(_RUN.uid)
    config = (await small.js.api(f"STREAM.INFO.{out}"))["config"]
    await small.js.api(f"STREAM.UPDATE.{out}", config | {"max_bytes": 50_000})
    assert await small.observer.refusal(_RUN.uid) == ""
    for index in range(2):
        assert await small.store_outcome(_RUN.uid, _dead(index))
    assert "may have; raise its max_bytes" in await small.observer.refusal(_RUN.uid)
    await small.js.api(f"STREAM.UPDATE.{out}", config)
    assert await small.observer.refusal(_RUN.uid) == ""


async def test_no_ack_before_the_outcome_is_stored(run: Run) -> None:
    """Workers keep what they can't store the outcome of, begin nothing more, and go on when there is room."""
    run.configure(concurrency=4)
    run.handler("""
from jobrun_worker import Fail
def handle(payload, task):
    with open("began", "a") as file:
        print(task.index, file=file)
    raise Fail("x" * 1000)
""")
    config = (await run.api(f"STREAM.INFO.{run.out}"))["config"]
    config |= {"discard": "new", "max_bytes": 20_000}
    await run.api(f"STREAM.UPDATE.{run.out}", config)
    await run.release([{"text": "x" * 1000}] * 40)
    worker = await run.worker()
    for _ in range(run.settings.concurrency):
        await worker.output.line(r"storing its outcome: maximum bytes exceeded \(error 10077\); trying again")
    stored = len(await run.outcomes())
    assert 0 < stored < 20
    assert await run.outstanding() == 40 - stored
    began = (run.directory / "began").read_text().split()
    assert len(began) <= stored + run.settings.concurrency
    await run.api(f"STREAM.UPDATE.{run.out}", config | {"max_bytes": -1})
    await run.finished()
    assert set(await run.outcomes()) == set(range(40))
    assert sorted(map(int, (run.directory / "began").read_text().split())) == list(range(40))


def _says(releaser: Releaser, text: str) -> Callable[[], Awaitable[bool]]:
    async def says() -> bool:
        return releaser.trouble is not None and text in releaser.trouble.message

    return says


def _dead(index: int) -> Outcome:
    return Outcome(
        index=index,
        succeeded=False,
        body=_PAYLOAD,
        attempts=1,
        worker="w",
        released_at="",
        started_at="",
        finished_at="",
        reason="HandlerFailed",
        error="no",
    )
