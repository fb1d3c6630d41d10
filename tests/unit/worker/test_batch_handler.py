"""What a batch handler is called with, and what becomes of each entry that it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from jobrun_worker import Fail
from jobrun_worker.handlers import AttemptFailed
from jobrun_worker.handlers.batch import BatchHandler
from jobrun_worker.task import NO_TASK, Task


def tasks(number: int) -> list[Task]:
    return [Task(index, 1, "run", "namespace", f"uid-{index}") for index in range(number)]


def shown(ended: Sequence[bytes | BaseException]) -> list[Any]:
    return [one if isinstance(one, bytes) else type(one) for one in ended]


async def numbered(payloads: list[Any], known: list[Task]) -> list[Any]:
    return [[payload, task.index] for payload, task in zip(payloads, known, strict=True)]


@pytest.mark.parametrize(
    ("payloads", "ended"),
    [
        ([b"5", b"6"], [b"[5,0]", b"[6,1]"]),
        ([b"{", b"6", b"]", b"8", b"\xff"], [Fail, b"[6,1]", Fail, b"[8,3]", Fail]),
        ([b"5", b"{", b"", b"8"], [b"[5,0]", Fail, Fail, b"[8,3]"]),
        ([b"{", b"}"], [Fail, Fail]),
        ([b"null"], [b"[null,0]"]),
    ],
)
async def test_what_is_not_json_has_its_own_place(payloads: list[bytes], ended: list[Any]) -> None:
    handler = BatchHandler(numbered, threads=1, retain=True)
    assert handler.wants_task
    assert shown(await handler.call_with(payloads, tasks(len(payloads)))) == ended


async def test_a_function_without_tasks_is_called_with_payloads_alone() -> None:
    async def doubled(payloads: list[int]) -> list[int]:
        return [2 * payload for payload in payloads]

    handler = BatchHandler(doubled, threads=1, retain=True)
    assert not handler.wants_task
    assert shown(await handler.call_with([b"1", b"{", b"3"], [NO_TASK] * 3)) == [b"2", Fail, b"6"]


async def test_what_a_function_does_to_its_lists_is_its_own_affair() -> None:
    async def emptied(payloads: list[Any], known: list[Task]) -> list[Any]:
        found = [payloads.pop() for _ in range(len(payloads))]
        known.clear()
        return found

    handler = BatchHandler(emptied, threads=1, retain=True)
    assert shown(await handler.call_with([b"1", b"2"], tasks(2))) == [b"2", b"1"]


@pytest.mark.parametrize("retain", [False, True])
async def test_an_entry_that_was_cancelled_is_no_result(retain: bool) -> None:
    """As ``asyncio.gather(..., return_exceptions=True)`` has it for a call that was cancelled."""

    async def call(payload: int) -> int:
        if payload == 2:
            raise asyncio.CancelledError
        return payload

    async def gathered(payloads: list[int]) -> list[Any]:
        return await asyncio.gather(*map(call, payloads), return_exceptions=True)

    handler = BatchHandler(gathered, threads=1, retain=retain)
    first, second = await handler.call_with([b"1", b"2"], tasks(2))
    assert isinstance(first, bytes)
    assert isinstance(second, asyncio.CancelledError)


@pytest.mark.parametrize("returned", [[], [1], [1, 2, 3], {1: 1, 2: 2}, "ab", None])
async def test_anything_but_an_entry_for_each_task_fails_them_all(returned: Any) -> None:
    async def wrong(payloads: list[Any]) -> Any:
        return returned

    handler = BatchHandler(wrong, threads=1, retain=False)
    with pytest.raises(AttemptFailed, match="a batch handler returns"):
        await handler.call_with([b"1", b"2"], tasks(2))
