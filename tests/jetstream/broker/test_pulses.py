"""What workers tell of their attempts reaches the engine of their run, and nothing else does."""

from __future__ import annotations

import asyncio

from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.pulses import JetStreamPulses
from jobrun_worker.wire import Names, Pulse


async def test_each_engine_hears_its_own(js: JetStream) -> None:
    pulses = JetStreamPulses(js, Names())
    await pulses.open()
    heard: list[tuple[str, Pulse]] = []
    done = asyncio.Event()
    pulses.listen("0001", lambda pulse: heard.append(("0001", pulse)))
    pulses.listen("0002", lambda pulse: (heard.append(("0002", pulse)), done.set()))
    pulses.listen("0003", lambda pulse: heard.append(("0003", pulse)))
    pulses.forget("0003")
    for uid, body in (
        ("0003", Pulse(1, 0, 0).encode()),
        ("0001", b"garbage"),
        ("0001", b"[" * 100_000),
        ("0001", Pulse(1, 2, 1, "no").encode()),
        ("unknown", Pulse(1, 0, 0).encode()),
        ("0002", Pulse(5, 0, 0).encode()),
    ):
        await js.client.publish(Names().pulse(uid), body)
    async with asyncio.timeout(10):
        await done.wait()
    assert heard == [("0001", Pulse(1, 2, 1, "no")), ("0002", Pulse(5, 0, 0))]
