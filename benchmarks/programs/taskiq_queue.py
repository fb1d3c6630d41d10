"""taskiq with NATS JetStream: the broker with its tasks, and what sends (run as a program)."""

from __future__ import annotations

import asyncio
import os

import marks
import sending
from taskiq_nats import NATSObjectStoreResultBackend, PullBasedJetStreamBroker

_URL = os.environ["BENCH_URL"]
_NAME = os.environ["BENCH_NAME"]
_FETCH = int(os.environ.get("BENCH_FETCH", "1"))
"""1 is the library's default: a larger fetch waits until it is full or its time is over."""

broker = PullBasedJetStreamBroker(
    _URL,
    subject=_NAME,
    stream_name=_NAME,
    durable=_NAME,
    pull_consume_batch=_FETCH,
    pull_consume_timeout=0.2,
)
if os.environ.get("BENCH_RESULTS") == "1":
    broker = broker.with_result_backend(NATSObjectStoreResultBackend(_URL, bucket_name=f"{_NAME}-results"))


@broker.task(task_name="count")
async def count(index: int) -> dict[str, int]:
    marks.count()
    return {"done": 1}


@broker.task(task_name="mark")
async def mark(index: int) -> None:
    marks.mark(index)


async def main() -> None:
    tasks = {"count": count, "mark": mark}
    await broker.startup()
    try:
        await sending.send_async(lambda what, index: tasks[what].kiq(index))
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
