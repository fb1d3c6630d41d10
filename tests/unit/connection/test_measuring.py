"""Each request to the broker is told of once, with its outcome and the seconds that it took."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import nats.errors
import pytest
from nats.aio.msg import Msg

from jobrun_operator.errors import BrokerUnavailable, JobRunError
from jobrun_operator.jetstream.client import JetStream, NothingThere
from jobrun_worker.client import LastingClient

SUBJECT = "$JS.API.STREAM.INFO.jobrun_0001"


class Answering:
    """A client whose requests take two seconds and then come to this end."""

    def __init__(self, end: BaseException | None) -> None:
        self._end = end

    async def request(self, subject: str, body: bytes, **options: Any) -> Msg:
        await asyncio.sleep(2)
        if self._end is not None:
            raise self._end
        return Msg(cast(LastingClient, self), subject, data=b"{}")

    def why_silent(self, subject: str, since: float) -> str:
        return ""


def measured(client: Answering | None) -> tuple[JetStream, list[tuple[str, str, float]]]:
    told: list[tuple[str, str, float]] = []

    def on_request(subject: str, outcome: str, seconds: float) -> None:
        told.append((subject, outcome, round(seconds, 3)))

    return JetStream(cast(LastingClient, client), on_request), told


async def test_an_answer() -> None:
    js, told = measured(Answering(None))
    assert await js.api("STREAM.INFO.jobrun_0001") == {}
    assert told == [(SUBJECT, "ok", 2.0)]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (nats.errors.NoRespondersError(), NothingThere),
        (nats.errors.TimeoutError(), BrokerUnavailable),
        (OSError("gone"), BrokerUnavailable),
    ],
)
async def test_none(end: Exception, kind: type[JobRunError]) -> None:
    js, told = measured(Answering(end))
    with pytest.raises(kind):
        await js.api("STREAM.INFO.jobrun_0001")
    assert told == [(SUBJECT, kind.__name__, 2.0)]


async def test_no_connection_yet() -> None:
    js, told = measured(None)
    with pytest.raises(BrokerUnavailable, match="no connection to the broker yet"):
        await js.publish("jobrun.work.0001", b"")
    assert told == [("jobrun.work.0001", "BrokerUnavailable", 0.0)]


async def test_what_nobody_waits_for_any_more_says_nothing() -> None:
    js, told = measured(Answering(None))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await js.api("STREAM.INFO.jobrun_0001")
    assert told == []
