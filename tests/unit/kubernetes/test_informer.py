"""How long an informer waits between two watches, on a virtual clock: exactly as long as it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, cast

from jobrun_operator.kubernetes.api import KubeApi, Object
from jobrun_operator.kubernetes.informer import LASTING_SECONDS, Informer
from support.virtual_time import until

PODS = "/api/v1/pods"


class Cutting:
    """An API with nothing to list, whose watches last for so many seconds each, and the last of them for ever."""

    def __init__(self, lasting: Iterator[float]) -> None:
        self._lasting = lasting
        self.lists = 0
        self.begun: list[float] = []
        self.ended: list[float] = []

    async def get(self, path: str, **query: str) -> Object:
        self.lists += 1
        return {"items": [], "metadata": {"resourceVersion": "1"}}

    async def watch(
        self, path: str, query: Mapping[str, str], *, inactivity: float, on_begin: Callable[[], None]
    ) -> AsyncIterator[dict[str, Any]]:
        on_begin()
        self.begun.append(now())
        await asyncio.sleep(next(self._lasting, 1e9))
        self.ended.append(now())
        return
        yield {}  # makes it an iterator


def now() -> float:
    return asyncio.get_running_loop().time()


async def pauses(*lasting: float) -> tuple[list[float], int]:
    """Seconds from the end of each watch to the begin of the next one, and how often was listed."""
    api = Cutting(iter(lasting))
    following = asyncio.create_task(Informer(cast(KubeApi, api), [PODS], "label").main())
    await until(lambda: len(api.begun) == len(lasting) + 1)
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    return [round(begin - end, 3) for end, begin in zip(api.ended, api.begun[1:], strict=True)], api.lists


async def test_after_a_watch_that_lasted_the_next_one_begins_at_once() -> None:
    assert await pauses(LASTING_SECONDS, LASTING_SECONDS, 60.0) == ([0, 0, 0], 1)


async def test_watches_that_are_cut_at_once_come_at_longer_and_longer_intervals_up_to_five_seconds() -> None:
    waited, lists = await pauses(*[0.0] * 8)
    assert waited == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5]
    assert lists == 1  # each goes on where the last one ended


async def test_after_a_watch_that_lasted_those_that_do_not_begin_with_the_shortest_wait_again() -> None:
    waited, _ = await pauses(0.0, 0.0, 0.0, LASTING_SECONDS, 0.0, 0.0)
    assert waited == [0.2, 0.4, 0.8, 0, 0.2, 0.4]
