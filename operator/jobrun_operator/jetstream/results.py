"""Reads the outcomes of a run in the order of index, in flat memory, whatever their number.

The stream holds them in the order in which they ended. A page of indexes is asked for by subject (a direct get with
``multi_last``; source ADR-31), so each page is sorted by itself and nothing else is held.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.direct import last_of
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
        ends: dict[int, Outcome] = {}
        async for outcome in _page(js, names, uid, indexes):
            if outcome.succeeded or outcome.index not in ends:  # beside a dead letter: it was retried
                ends[outcome.index] = outcome
        for index in sorted(ends):
            yield ends[index]


async def _page(js: JetStream, names: Names, uid: str, indexes: range) -> AsyncIterator[Outcome]:
    subjects = [names.end(uid, index) for index in indexes]
    async for headers, message in last_of(js, names.out_stream(uid), subjects):
        yield Outcome.parse(headers["Nats-Subject"], headers, message.data)
