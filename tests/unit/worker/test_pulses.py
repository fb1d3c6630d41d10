"""What a worker tells of its attempts, and when."""

from __future__ import annotations

import asyncio

import pytest

from jobrun_worker.pulses import EVERY_SECONDS, Pulses
from jobrun_worker.wire import Pulse


async def test_what_ended_since_the_last_one_is_told_twice_a_second() -> None:
    told: list[Pulse] = []
    pulses = Pulses(lambda body: told.append(Pulse.decode(body)))
    pulses.failed("a")
    pulses.succeeded()
    pulses.failed("b")
    pulses.failed("c")
    assert not told
    await asyncio.sleep(EVERY_SECONDS + 0.05)
    assert told == [Pulse(1, 3, 2, "c")]
    await asyncio.sleep(EVERY_SECONDS + 0.05)
    assert len(told) == 1  # nothing ended, so nothing is told
    pulses.succeeded()
    pulses.close()
    assert told[1:] == [Pulse(1, 0, 0)]
    pulses.close()
    assert len(told) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"succeeded": 1, "failed": 1}', b'{"succeeded": true, "failed": 1, "tail": 1}',
     b'{"succeeded": -1, "failed": 1, "tail": 1}', b'{"succeeded": 1, "failed": 1, "tail": 1, "error": 5}'],
)  # fmt: skip
def test_what_is_no_pulse(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Pulse.decode(body)


def test_a_tail_is_part_of_what_failed() -> None:
    assert Pulse.decode(Pulse(1, 2, 7, "x").encode()) == Pulse(1, 2, 2, "x")
