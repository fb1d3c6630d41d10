"""The ``Holds`` port: the bucket ``<prefix>_control``, read as a whole and only when something may have changed.

A raise is heard as a plain message on the bucket's subject, which only wakes: the bucket is then read, as it is every
few seconds for what was not heard (a connection that was lost). Whatever the number of runs, a look is two requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from nats.aio.msg import Msg

from jobrun_operator.engine.ports import Hold
from jobrun_operator.errors import Conflict, JobRunError
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.direct import END, batched_get
from jobrun_worker import holding, wire
from jobrun_worker.holding import HoldRecord, Wish
from jobrun_worker.wire import Names, format_time

log = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
_PAGE = 1000


class JetStreamHolds:
    """``open`` begins to listen; without it holds are seen at the next look only."""

    def __init__(self, js: JetStream, names: Names) -> None:
        self._js = js
        self._stream = holding.stream(names)
        self._prefix = holding.subject(names, "")
        self._listeners: dict[str, Callable[[], None]] = {}
        self._records: dict[str, HoldRecord] = {}
        self._broker_ns = 0
        """How late it was at the broker at the last look."""
        self._looked = float("-inf")
        self._heard = True
        """Something was raised since the last look."""
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Raises JobRunError where the broker can't be asked."""
        await self._js.client.subscribe(f"{self._prefix}*", cb=self._on_raise)

    def listen(self, uid: str, changed: Callable[[], None]) -> None:
        self._listeners[uid] = changed

    def forget(self, uid: str) -> None:
        self._listeners.pop(uid, None)

    async def read(self, uid: str) -> Hold | None:
        """What is not known for sure, while the broker is away, stays as it was seen last."""
        # Who has just been woken waits for the look that another run has begun.
        if self._is_due or self._lock.locked():
            async with self._lock:
                if self._is_due:
                    try:
                        await self._look()
                    except JobRunError as error:
                        log.debug("holds can't be read: %s", error)
        record = self._records.get(uid)
        left = record.left(self._broker_ns + int((_now() - self._looked) * 1e9)) if record else 0.0
        if record is None or left <= 0:
            return None
        return Hold(left, record.why, record.message, format_time(record.until_ns))

    @property
    def _is_due(self) -> bool:
        return self._heard or _now() - self._looked >= _LOOK_SECONDS

    async def hold(self, uid: str, seconds: float, wish: Wish) -> None:
        subject = f"{self._prefix}{uid}"
        while True:
            known, sequence = await self._stored(subject)
            new = holding.raised(known, await self._now_ns(), seconds, wish)
            if new is None:
                return
            try:
                await self._js.publish(
                    subject, new.encode(), {wire.EXPECTED_LAST_SUBJECT_SEQUENCE: str(sequence)}
                )
            except Conflict:
                continue  # somebody else has raised it meanwhile, perhaps for longer
            self._heard = True
            return

    async def _stored(self, subject: str) -> tuple[HoldRecord | None, int]:
        reply = await self._js.request(f"$JS.API.DIRECT.GET.{self._stream}.{subject}", b"")
        sequence = int((reply.headers or {}).get("Nats-Sequence", "0"))
        try:
            return (HoldRecord.decode(reply.data) if sequence else None), sequence
        except ValueError as error:
            log.warning("%s can't be read and is taken for none: %s", subject, error)
            return None, sequence

    async def _now_ns(self) -> int:
        info = await self._js.api(f"STREAM.INFO.{self._stream}")
        return holding.nanoseconds(info["ts"])

    async def _on_raise(self, message: Msg) -> None:
        self._heard = True
        if (changed := self._listeners.get(message.subject.removeprefix(self._prefix))) is not None:
            changed()

    async def _look(self) -> None:
        self._heard = False
        try:
            found: dict[str, HoldRecord] = {}
            request = {"multi_last": [f"{self._prefix}*"], "batch": _PAGE}
            async for headers, message in batched_get(self._js, self._stream, request):
                if headers.get("Status") == END or not message.data:
                    continue  # what asks for room is stored in this bucket too, and is empty
                uid = headers["Nats-Subject"].removeprefix(self._prefix)
                try:
                    found[uid] = HoldRecord.decode(message.data)
                except ValueError as error:
                    log.warning("the hold of run %s can't be read and is taken for none: %s", uid, error)
            self._broker_ns = await self._now_ns()
        except (JobRunError, KeyError, ValueError) as error:
            self._heard = True
            raise error if isinstance(error, JobRunError) else JobRunError(str(error)) from error
        self._looked, self._records = _now(), found


def _now() -> float:
    return asyncio.get_running_loop().time()
