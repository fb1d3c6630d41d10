"""nats-py as its documentation shows it.

``python plain_nats.py publish|work|results URL STREAM SUBJECT CONSUMER TASKS``
``publish`` prints the seconds from the first publish to the last acknowledgement. ``results`` publishes one for each
task of a fetch, waits for all their answers, and then acks: a task is not done before its result is kept.
"""

from __future__ import annotations

import asyncio
import sys
import time

import nats

FETCH = 500
PENDING = 4000
"""Unanswered publishes; the library's own limit."""


async def main(what: str, url: str, stream: str, subject: str, consumer: str, tasks: int) -> None:
    nc = await nats.connect(url)
    if what == "publish":
        js = nc.jetstream(publish_async_max_pending=PENDING)
        begun = time.perf_counter()
        answers = [await js.publish_async(subject, b'{"index": %d}' % index) for index in range(tasks)]
        await js.publish_async_completed()
        last = max([(await answer).seq for answer in answers])
        print(time.perf_counter() - begun)
        assert last == tasks
    else:
        js = nc.jetstream()
        subscription = await js.pull_subscribe_bind(consumer=consumer, stream=stream)
        taken = 0
        while taken < tasks:
            fetched = await subscription.fetch(FETCH)
            if what == "results":
                kept = [
                    await js.publish_async(f"{subject}.{index}", b'{"done": 1}')
                    for index, _ in enumerate(fetched, taken)
                ]
                await asyncio.gather(*kept)
            for message in fetched:
                await message.ack()
            taken += len(fetched)
        await nc.flush()
    await nc.close()


if __name__ == "__main__":
    given, url, stream, subject, consumer, tasks = sys.argv[1:]
    asyncio.run(main(given, url, stream, subject, consumer, int(tasks)))
