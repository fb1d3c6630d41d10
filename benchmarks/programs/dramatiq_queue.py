"""Dramatiq with Redis: the actors, and what sends (run as a program)."""

from __future__ import annotations

import os

import dramatiq
import marks
import sending
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

_URL = os.environ["BENCH_URL"]
_RESULTS = os.environ.get("BENCH_RESULTS") == "1"

broker = RedisBroker(url=_URL)
if _RESULTS:
    broker.add_middleware(Results(backend=RedisBackend(url=_URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True) if _RESULTS else dramatiq.actor
def count(index: int) -> dict[str, int] | None:
    marks.count()
    return {"done": 1} if _RESULTS else None


@dramatiq.actor
def mark(index: int) -> None:
    marks.mark(index)


if __name__ == "__main__":
    actors = {"count": count, "mark": mark}
    sending.send(lambda what, index: actors[what].send(index))
