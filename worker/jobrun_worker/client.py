"""The client library's connection, made to last: the same for operator, workers and people's commands.

The library takes most errors that a broker sends for the end: after an expired credential, an account over its
limits or a protocol error the client is closed for good, whatever ``max_reconnect_attempts`` says. Here such a
connection is made again, with the credentials as they are then. And what the broker has denied is remembered, since
a denied request gets no answer: it would look like a broker that is away.
"""

from __future__ import annotations

import re

import nats.errors
from nats.aio.client import Client

_DENIAL = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"')


class LastingClient(Client):
    def __init__(self) -> None:
        super().__init__()
        self.denied: set[str] = set()
        """Subjects that the broker has denied to this user, in lower case as it tells them."""
        self._connected_at = 0.0

    def away(self, now: float) -> float:
        """Seconds for which this has been without a connection, as seen by whoever asks now and then; infinite where it
        is closed. ``now``: of any clock that doesn't go back, always the same one."""
        if self.is_closed:
            return float("inf")
        if self.is_connected or not self._connected_at:
            self._connected_at = now
        return now - self._connected_at

    async def _process_err(self, err_msg: str) -> None:
        """What the library calls for an ``-ERR`` of the broker (nats-py 2.16, ``Client._process_err``)."""
        denial = _DENIAL.search(err_msg.lower())
        if denial is not None:
            self.denied.add(denial[1])
            await super()._process_err(err_msg)
            return
        error = nats.errors.Error(f"nats: {err_msg.strip(chr(39))}")
        await self._error_cb(error)
        await self._process_op_err(error)
