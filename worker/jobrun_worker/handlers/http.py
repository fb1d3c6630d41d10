"""A POST per task, for handlers in any language: the verdict is in the status code."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from jobrun_worker.describe import shorten
from jobrun_worker.handlers import AttemptFailed
from jobrun_worker.handlers.results import from_text, too_large
from jobrun_worker.instructions import Fail, Throttled
from jobrun_worker.task import Task

_TEXT = 500
"""Bytes of an answer that an error text quotes."""
_REPEATABLE = {408, 425, 429}
"""Answers of the kind "not now" (RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4): failed attempts, unlike other 4xx."""
_PAUSING = {429, 503}
"""Statuses whose ``Retry-After`` holds the worker (RFC 9110 10.2.3)."""


class HttpHandler:
    wants_task = True

    def __init__(self, url: str, *, slots: int, retain: bool) -> None:
        self._url = url
        self._slots = slots
        self._retain = retain
        self._limit = sys.maxsize
        self._session: aiohttp.ClientSession | None = None

    @property
    def stuck(self) -> int:
        return 0

    def limit_result(self, size: int) -> None:
        self._limit = size

    async def open(self) -> None:
        # The worker's own time limit is the only one: aiohttp's default of 5 minutes would undercut a longer one.
        # Nor are cookies of one task another's business.
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            connector=aiohttp.TCPConnector(limit=self._slots),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def kill(self) -> None:
        """Nothing of this worker runs outside of its process."""

    async def __call__(self, payload: bytes, task: Task) -> bytes:
        assert self._session is not None, "open() comes first"  # noqa: S101
        headers = {
            "Content-Type": "application/json",
            "Jobrun-Index": str(task.index),
            "Jobrun-Attempt": str(task.attempt),
            "Jobrun-Idempotency-Key": task.idempotency_key,
        }
        async with self._session.post(
            self._url, data=payload, headers=headers, allow_redirects=False
        ) as answer:
            if 200 <= answer.status < 300:
                return await self._result(answer)
            text = (await _up_to(answer, _TEXT)).decode(errors="replace")
            reason = shorten(
                f"HTTP {answer.status} {answer.reason or ''}".strip() + (f": {text}" if text else "")
            )
            retry_after = answer.headers.get("Retry-After")
            if answer.status in _PAUSING and retry_after is not None:
                seconds = seconds_of(retry_after, datetime.now(UTC))
                if seconds is not None:
                    raise Throttled(seconds, reason)
            if 400 <= answer.status < 500 and answer.status not in _REPEATABLE:
                raise Fail(reason)
            raise AttemptFailed(reason)

    async def _result(self, answer: aiohttp.ClientResponse) -> bytes:
        if not self._retain:
            async for _ in answer.content.iter_any():
                continue  # read to its end, so that the connection can be used again
            return b""
        body = await _up_to(answer, self._limit + 1)
        if len(body) > self._limit:
            raise too_large(self._limit)
        return from_text(body, self._limit)


def seconds_of(retry_after: str, now: datetime) -> float | None:
    """``Retry-After`` as seconds from ``now``: a number of them, or an HTTP date. None where it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


async def _up_to(answer: aiohttp.ClientResponse, size: int) -> bytes:
    """The first ``size`` bytes of an answer."""
    kept = bytearray()
    async for chunk in answer.content.iter_any():
        kept += chunk[: size - len(kept)]
        if len(kept) >= size:
            break
    return bytes(kept)
