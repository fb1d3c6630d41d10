"""The short path for deliveries against the library's own parser: the same operations, however they are cut."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from nats.protocol.parser import Parser

from jobrun_worker.parsing import BulkParser

SINK, OTHER, ANSWERS = 7, 8, 9


class Told:
    """In the place of the library's client."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes, bytes, bytes | None]] = []
        self.rest: list[str] = []

    async def _process_msg(
        self, sid: int, _: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self.messages.append((sid, reply, data, headers))

    async def _process_ping(self) -> None:
        self.rest.append("ping")

    async def _process_pong(self) -> None:
        self.rest.append("pong")

    async def _process_err(self, text: str) -> None:
        self.rest.append(text)

    async def _process_info(self, info: dict[str, str]) -> None:
        self.rest.append(str(info))


def message(sid: int, reply: bytes, headers: bytes, payload: bytes) -> bytes:
    name = b"work %d" % sid + (b" " + reply if reply else b"")
    if not headers:
        return b"MSG %b %d\r\n%b\r\n" % (name, len(payload), payload)
    return b"HMSG %b %d %d\r\n%b%b\r\n" % (
        name,
        len(headers),
        len(headers) + len(payload),
        headers,
        payload,
    )


payloads = st.one_of(
    st.sampled_from([b"", b"{}", b"PING\r\n", b"\r\n", b"MSG work 7 r 1\r\nx\r\n"]), st.binary(max_size=40)
)
operations = st.lists(
    st.one_of(
        st.builds(
            message,
            st.sampled_from([SINK, SINK, SINK, ANSWERS, ANSWERS, OTHER]),
            st.sampled_from([b"$JS.ACK.s.c.1.1.1.1.1", b"", b"x"]),
            st.sampled_from([b"", b"NATS/1.0 100 Idle\r\n\r\n", b"NATS/1.0\r\na: b\r\n\r\n"]),
            payloads,
        ),
        st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'x y'\r\n", b'INFO {"a": 1}\r\n']),
    ),
    max_size=30,
)


@given(operations, st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(0, 10))
def test_nothing_is_lost_or_changed_whatever_is_read_at_once(
    stream: list[bytes], sizes: list[int], before: int
) -> None:
    """``before``: so many reads come before the subscription has its sink."""
    data = b"".join(stream)
    reads, at = [], 0
    while at < len(data):
        size = sizes[len(reads) % len(sizes)]
        reads.append(data[at : at + size])
        at += size
    expected, told, bulk, answers = Told(), Told(), [], []

    async def parse() -> None:
        library, ours = Parser(expected), BulkParser(told)
        for number, read in enumerate(reads):
            if number == before:
                ours.sinks[b"%d" % SINK] = bulk.extend
                ours.answers[b"%d" % ANSWERS] = answers.extend
            await library.parse(read)
            await ours.parse(read)

    asyncio.run(parse())
    assert told.rest == expected.rest
    assert [one for one in told.messages if one[0] == OTHER] == [
        one for one in expected.messages if one[0] == OTHER
    ]
    delivered = [one[1:3] for one in expected.messages if one[0] == SINK and one[1]]
    early = [one[1:3] for one in told.messages if one[0] == SINK and one[1]]
    assert early + bulk == delivered, "in order, none twice"
    assert not early or before > 0
    assert [one for one in told.messages if one[0] == SINK and not one[1]] == [
        one for one in expected.messages if one[0] == SINK and not one[1]
    ], "a status is the library's"
    plain = [data for sid, reply, data, headers in expected.messages if is_answer(sid, reply, headers)]
    early = [data for sid, reply, data, headers in told.messages if is_answer(sid, reply, headers)]
    assert early + [data for _, data in answers] == plain
    assert {subject for subject, _ in answers} <= {b"work"}
    assert not early or before > 0
    assert [one for one in told.messages if one[0] == ANSWERS and not is_answer(*one[:2], one[3])] == [
        one for one in expected.messages if one[0] == ANSWERS and not is_answer(*one[:2], one[3])
    ], "what has headers or a reply subject is the library's"


def is_answer(sid: int, reply: bytes, headers: bytes | None) -> bool:
    return sid == ANSWERS and not reply and not headers


async def test_a_new_connection_begins_with_a_new_operation() -> None:
    told, bulk = Told(), []
    parser = BulkParser(told)
    parser.sinks[b"7"] = bulk.extend
    await parser.parse(message(SINK, b"r", b"", b"one") + b"MSG work 7 r 10\r\nhalf")
    parser.reset()
    await parser.parse(message(SINK, b"r", b"", b"two"))
    assert [payload for _, payload in bulk] == [b"one", b"two"]


async def test_the_short_path_is_taken() -> None:
    told, bulk = Told(), []
    parser = BulkParser(told)
    parser.sinks[b"7"] = bulk.extend
    await parser.parse(b"PING\r\n" + message(SINK, b"r", b"NATS/1.0\r\na: b\r\n\r\n", b"1"))
    assert (told.rest, told.messages, bulk) == (["ping"], [], [(b"r", b"1")])
