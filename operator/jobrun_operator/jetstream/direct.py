"""Batched direct gets: several messages of a stream for one request (source: ADR-31)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from jobrun_operator.errors import BrokerUnavailable
from jobrun_operator.jetstream.client import REQUEST_TIMEOUT, JetStream
from jobrun_worker.requests import obey_cancellation

END = "204"
"""Status of the message that closes a batch; its headers say what is left to be asked for."""

_NOT_FOUND = "404"


async def batched_get(
    js: JetStream, stream: str, request: Mapping[str, Any]
) -> AsyncIterator[tuple[Mapping[str, str], Msg]]:
    """(headers, message) of each message, the closing one (status 204) included; nothing at all where none matches.

    Raises BrokerUnavailable.
    """
    inbox = js.client.new_inbox()
    subscription = await js.client.subscribe(inbox)
    try:
        subject = f"$JS.API.DIRECT.GET.{stream}"
        await js.client.publish(subject, json.dumps(request).encode(), reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=REQUEST_TIMEOUT)
            obey_cancellation()
            headers = message.headers or {}
            status = headers.get("Status", "")
            if status == _NOT_FOUND:
                return
            if status not in ("", END):
                raise BrokerUnavailable(f"{stream} can't be read: {status} {headers.get('Description', '')}")
            yield headers, message
            if status == END:
                return
    except (TimeoutError, nats.errors.Error, OSError) as error:
        raise BrokerUnavailable(f"{stream} can't be read ({type(error).__name__})") from error
    finally:
        if not js.client.is_closed:
            await subscription.unsubscribe()


async def last_of(
    js: JetStream, stream: str, subjects: Sequence[str]
) -> AsyncIterator[tuple[Mapping[str, str], Msg]]:
    """The last message of each of at most 1024 subjects, in as many answers as the server needs, which sends so many
    bytes at most in each. Raises BrokerUnavailable.
    """
    cursor: dict[str, int] | None = {}
    while cursor is not None:
        request = {"multi_last": list(subjects), "batch": len(subjects), **cursor}
        cursor = None
        async for headers, message in batched_get(js, stream, request):
            if headers.get("Status") != END:
                yield headers, message
            elif int(headers.get("Nats-Num-Pending", "0")):
                last, up_to = headers["Nats-Last-Sequence"], headers["Nats-UpTo-Sequence"]
                cursor = {"seq": int(last) + 1, "up_to_seq": int(up_to)}
