"""The ``Pulses`` port: one subscription for all runs, whose messages are told to the engine of each."""

from __future__ import annotations

import logging
from collections.abc import Callable

from nats.aio.msg import Msg

from jobrun_operator.jetstream.client import JetStream
from jobrun_worker.wire import Names, Pulse

log = logging.getLogger(__name__)


class JetStreamPulses:
    """``open`` begins to listen."""

    def __init__(self, js: JetStream, names: Names) -> None:
        self._js = js
        self._prefix = names.pulse("")
        self._listeners: dict[str, Callable[[Pulse], None]] = {}

    async def open(self) -> None:
        """Raises JobRunError where the broker can't be asked."""
        await self._js.client.subscribe(f"{self._prefix}*", cb=self._on_pulse)

    def listen(self, uid: str, heard: Callable[[Pulse], None]) -> None:
        self._listeners[uid] = heard

    def forget(self, uid: str) -> None:
        self._listeners.pop(uid, None)

    async def _on_pulse(self, message: Msg) -> None:
        heard = self._listeners.get(message.subject.removeprefix(self._prefix))
        if heard is None:
            return
        try:
            pulse = Pulse.decode(message.data)
        except ValueError as error:
            log.warning("%s can't be read: %s", message.subject, error)
            return
        heard(pulse)
