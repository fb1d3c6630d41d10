"""nats-py as its documentation shows it.

``python plain_nats.py publish|work|results URL STREAM SUBJECT CONSUMER TASKS``
``publish`` prints the seconds from the first publish to the last acknowledgement.
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
            for message in await subscription.fetch(FETCH):
                if what == "results":
                    await js.publish(f"{subject}.{taken}", b'{"done": 1}')
                await message.ack()
                taken += 1
        await nc.flush()
    await nc.close()


if __name__ == "__main__":
    given, url, stream, subject, consumer, tasks = sys.argv[1:]
    asyncio.run(main(given, url, stream, subject, consumer, int(tasks)))
