"""Celery with Redis: the application, and what sends (run as a program)."""

from __future__ import annotations

import os

import marks
import sending
from celery import Celery

_URL = os.environ["BENCH_URL"]
_RESULTS = os.environ.get("BENCH_RESULTS") == "1"

app = Celery("bench", broker=_URL, backend=_URL if _RESULTS else None)
# By "Optimizing" of its documentation: short tasks want a high prefetch multiplier, and no result that nobody reads.
app.conf.update(
    task_ignore_result=not _RESULTS,
    worker_prefetch_multiplier=1000,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
)


@app.task(name="count")
def count(index: int) -> dict[str, int]:
    marks.count()
    return {"done": 1}


@app.task(name="mark")
def mark(index: int) -> None:
    marks.mark(index)


if __name__ == "__main__":
    tasks = {"count": count, "mark": mark}
    with app.producer_pool.acquire(block=True) as producer:
        sending.send(lambda what, index: tasks[what].apply_async((index,), producer=producer))
