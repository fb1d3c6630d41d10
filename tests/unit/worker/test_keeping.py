"""Results on their way: what an answer means, and what is given up and stored in the patient way. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from nats.aio.msg import Msg

from jobrun_worker.broker import REQUEST_TIMEOUT, Broker
from jobrun_worker.held import Held
from jobrun_worker.keeping import LARGE, Keeping, Kept
from jobrun_worker.parsing import Sink
from jobrun_worker.wire import Names, Outcome
from support.virtual_time import VirtualTimeLoop

NAMES = Names()
STORED = b'{"stream":"out","seq":5}'


class Answering:
    """A broker that is told what to answer."""

    def __init__(self) -> None:
        self.connected = True
        self.asked: list[tuple[str, str, bytes, str]] = []

    def inbox(self) -> str:
        return "_INBOX.x"

    async def take_answers(self, _: str, sink: Sink, cb: Callable[[Msg], Awaitable[None]]) -> None:
        self.sink, self.cb = sink, cb

    def ask(self, subject: str, headers: str, body: bytes, reply: str) -> None:
        self.asked.append((subject, headers, body, reply))

    def answer(self, *answers: tuple[int, bytes]) -> None:
        self.sink([(self.asked[number][3].encode(), answer) for number, answer in answers])


class Rig:
    def __init__(self) -> None:
        self.broker = Answering()
        self.stored: list[int] = []
        self.given_up: list[int] = []
        self.keeping = Keeping(
            cast(Broker, self.broker),
            NAMES,
            "u",
            "worker\r\n1",
            self._note(self.stored),
            self._note(self.given_up),
        )

    def _note(self, where: list[int]) -> Callable[[Kept], None]:
        return lambda kept: where.append(kept.held.index)

    def keep(self, index: int, body: bytes = b"1") -> bool:
        held = Held(index, b"{}", b"reply", 1, 1, 1_500_000_000, index, started_ns=2_500_000_000)
        return self.keeping.keep(held, body, 3, 3_500_000_000, 0.1)


@pytest.mark.parametrize(
    ("answer", "stored"),
    [
        (STORED, True),
        (b'{"stream":"out","seq":5,"duplicate":true}', True),
        (b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 1"},"seq":0}', True),
        (b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"seq":0}', False),
        (b"no JSON", False),
        (b"", False),
    ],
)
async def test_what_an_answer_means(answer: bytes, stored: bool) -> None:
    rig = Rig()
    await rig.keeping.open()
    assert rig.keep(7)
    rig.broker.answer((0, answer))
    assert (rig.stored, rig.given_up) == (([7], []) if stored else ([], [7]))
    rig.keeping.close()


async def test_answers_come_in_any_order_and_count_once() -> None:
    rig = Rig()
    await rig.keeping.open()
    assert all(rig.keep(index) for index in range(3))
    rig.broker.answer((2, STORED), (0, STORED), (2, STORED))
    rig.broker.sink([(b"_INBOX.x.nonsense", STORED)])
    assert rig.stored == [2, 0]
    rig.keeping.close()


async def _given_up_in_time() -> None:
    rig = Rig()
    await rig.keeping.open()
    assert rig.keep(1)
    await asyncio.sleep(REQUEST_TIMEOUT - 1)
    assert rig.keep(2)
    assert rig.given_up == []
    await asyncio.sleep(3)
    assert rig.given_up == [1]
    rig.broker.answer((0, STORED), (1, STORED))
    assert (rig.stored, rig.given_up) == ([2], [1]), "a late answer ends nothing twice"
    await asyncio.sleep(60)
    assert rig.given_up == [1]


def test_what_gets_no_answer_in_time_is_given_up_once() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(_given_up_in_time())


async def test_an_answer_with_headers_is_no_answer() -> None:
    rig = Rig()
    await rig.keeping.open()
    assert rig.keep(1)
    await rig.broker.cb(Msg(None, subject=rig.broker.asked[0][3], headers={"Status": "503"}))  # type: ignore[arg-type]
    assert rig.given_up == [1]
    rig.keeping.close()


async def test_not_in_this_way() -> None:
    rig = Rig()
    assert not rig.keep(1), "there is no inbox yet"
    await rig.keeping.open()
    assert not rig.keep(1, b"x" * (LARGE + 1))
    rig.broker.connected = False
    assert not rig.keep(1)
    assert rig.broker.asked == []


async def test_what_is_stored_is_an_outcome_as_the_contract_has_it() -> None:
    rig = Rig()
    await rig.keeping.open()
    rig.keep(7, b'{"a":1}')
    subject, lines, body, _ = rig.broker.asked[0]
    assert lines.endswith("\r\n")
    headers = dict(line.split(": ", 1) for line in lines.splitlines())
    outcome = Outcome.parse(subject, headers, body)
    assert outcome == Outcome(
        index=7,
        succeeded=True,
        body=b'{"a":1}',
        attempts=3,
        worker="worker 1",
        released_at="1970-01-01T00:00:01.500000Z",
        started_at="1970-01-01T00:00:02.500000Z",
        finished_at="1970-01-01T00:00:03.500000Z",
    )
    assert outcome.headers().items() <= headers.items()
    assert headers["Nats-Expected-Last-Subject-Sequence"] == "0"
    assert headers["Nats-Expected-Last-Subject-Sequence-Subject"] == NAMES.end("u", 7)
    rig.keeping.close()
