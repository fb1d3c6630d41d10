"""Handlers that end without a wait share an asyncio task, and can't tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from jobrun_worker import runners
from jobrun_worker.held import Held
from jobrun_worker.runners import Runners

VARIABLE = ContextVar("VARIABLE", default="clean")


def held(index: int) -> Held:
    return Held(index, b"", b"", 1, 1, 0, index)


class Rig:
    """Runs ``handler`` for so many tasks; notes who ran them and what they saw."""

    def __init__(self, handler: Callable[[int], Awaitable[None]]) -> None:
        self._handler = handler
        self.tasks: dict[int, asyncio.Task[None] | None] = {}
        self.order: list[int] = []
        self.ended: list[int] = []
        self.runners = Runners(self._process)

    async def _process(self, one: Held) -> None:
        assert one.runner is asyncio.current_task()
        self.tasks[one.index] = one.runner
        self.order.append(one.index)
        await self._handler(one.index)
        self.ended.append(one.index)

    async def run(self, count: int) -> None:
        for index in range(count):
            self.runners.add(held(index))
        async with asyncio.timeout(30):
            while len(self.ended) < count:  # noqa: ASYNC110  # as often as the loop turns
                await asyncio.sleep(0)

    @property
    def used(self) -> int:
        return len(set(self.tasks.values()))


async def test_one_asyncio_task_runs_all_that_never_wait() -> None:
    async def handler(_: int) -> None:
        return None

    rig = Rig(handler)
    await rig.run(500)
    assert rig.order == rig.ended == list(range(500))
    assert rig.used < 10, "one, or a few where the machine is slow"


async def test_tasks_that_wait_run_at_the_same_time() -> None:
    gate = asyncio.Barrier(20)

    async def handler(_: int) -> None:
        await gate.wait()

    rig = Rig(handler)
    await rig.run(20)
    assert rig.used == 20
    assert rig.order == list(range(20))


async def test_one_that_waits_holds_up_none_of_the_others() -> None:
    done = asyncio.Event()

    async def handler(index: int) -> None:
        if index == 0:
            await done.wait()
        if index == 99:
            done.set()

    rig = Rig(handler)
    await rig.run(100)
    assert rig.ended == [*range(1, 100), 0]


async def test_none_sees_the_context_variables_of_another() -> None:
    seen = []

    async def handler(index: int) -> None:
        seen.append(VARIABLE.get())
        if index % 3 == 0:
            VARIABLE.set(f"of {index}")
        if index % 5 == 0:
            await asyncio.sleep(0)

    await Rig(handler).run(50)
    assert seen == ["clean"] * 50


async def test_what_one_does_to_its_asyncio_task_hits_no_other() -> None:
    cancelled = []

    async def handler(index: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        try:
            if index == 3:
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            cancelled.append(index)

    await Rig(handler).run(10)
    assert cancelled == [3]


async def test_timeouts_of_the_handlers_own_work_from_the_first_line() -> None:
    ended = []

    async def handler(index: int) -> None:
        try:
            async with asyncio.timeout(0 if index % 2 else None), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
                await asyncio.sleep(0.001)
        except TimeoutError:
            ended.append(index)

    await Rig(handler).run(10)
    assert sorted(ended) == [1, 3, 5, 7, 9]


async def test_the_loop_has_its_turn_between_handlers_that_take_long() -> None:
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if len(rig.ended) < 20:
            asyncio.get_running_loop().call_soon(turn)

    async def handler(_: int) -> None:
        until = asyncio.get_running_loop().time() + runners.SLICE
        while asyncio.get_running_loop().time() <= until:
            pass

    rig = Rig(handler)
    asyncio.get_running_loop().call_soon(turn)
    await rig.run(20)
    assert turns >= 20
