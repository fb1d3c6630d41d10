"""Reads the outcomes of a run in the order of index, in flat memory, whatever their number.

The stream holds them in the order in which they ended. A page of indexes is asked for by subject (a direct get with
``multi_last``; source ADR-31), so each page is sorted by itself and nothing else is held.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import nats.errors

from jobrun_operator.errors import BrokerUnavailable
from jobrun_operator.jetstream.client import REQUEST_TIMEOUT, JetStream
from jobrun_worker.wire import Names, Outcome

_PAGE = 500
"""Indexes asked for at a time; the server takes at most 1024 subjects."""


def result_line(outcome: Outcome) -> dict[str, Any]:
    """One line of results, as users read it."""
    return {
        "index": outcome.index,
        "outcome": "Succeeded" if outcome.succeeded else "Failed",
        "output": json.loads(outcome.body) if outcome.succeeded and outcome.body else None,
        "error": outcome.error or None,
        "attempts": outcome.attempts,
        "worker": outcome.worker,
        "releasedAt": outcome.released_at,
        "startedAt": outcome.started_at,
        "finishedAt": outcome.finished_at,
    }


async def read_outcomes(js: JetStream, names: Names, uid: str, total: int) -> AsyncIterator[Outcome]:
    """Every stored outcome of indexes 0 to ``total - 1``; an index without one is passed over."""
    for start in range(0, total, _PAGE):
        indexes = range(start, min(start + _PAGE, total))
        page = [outcome async for outcome in _page(js, names, uid, indexes)]
        page.sort(key=lambda outcome: outcome.index)
        for outcome in page:
            yield outcome


async def _page(js: JetStream, names: Names, uid: str, indexes: range) -> AsyncIterator[Outcome]:
    subjects = [names.end(uid, index) for index in indexes]
    cursor: dict[str, int] = {}
    inbox = js.client.new_inbox()
    subscription = await js.client.subscribe(inbox)
    try:
        while True:
            request = {"multi_last": subjects, "batch": len(subjects), **cursor}
            await js.client.publish(
                f"$JS.API.DIRECT.GET.{names.out_stream(uid)}", json.dumps(request).encode(), reply=inbox
            )
            while True:
                message = await subscription.next_msg(timeout=REQUEST_TIMEOUT)
                headers = message.headers or {}
                status = headers.get("Status")
                if status == "404":
                    return
                if status == "204":
                    break
                if status:
                    raise BrokerUnavailable(f"reading results: {status} {headers.get('Description', '')}")
                yield Outcome.parse(headers["Nats-Subject"], headers, message.data)
            if int(headers.get("Nats-Num-Pending", "0")) == 0:
                return
            cursor = {
                "seq": int(headers["Nats-Last-Sequence"]) + 1,
                "up_to_seq": int(headers["Nats-UpTo-Sequence"]),
            }
    except (TimeoutError, nats.errors.Error, OSError) as error:
        raise BrokerUnavailable(f"reading results stopped ({type(error).__name__})") from error
    finally:
        if not js.client.is_closed:
            await subscription.unsubscribe()
