"""Cuts a stream of bytes into blocks of whole records: what the parsers of JSON Lines and CSV share.

Promises, whatever the boundaries of the pieces that come in: the same payloads, the same line numbers, and
never more in memory than one piece and one unfinished record, which is refused as soon as it is longer than a
task may be. Work is done a block at a time, so that most of it runs inside C.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NoReturn

from jobrun_operator.errors import SourceError

_EXCERPT = 60
"""Characters of a bad line that a message shows."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_ENCODINGS = {
    b"\xff\xfe": "is UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text; save it as UTF-8",
    b"\x1f\x8b": "is compressed with gzip; decompress it first",
    b"PK": "is a zip or spreadsheet file; unpack it, or export it as CSV, first",
}


def excerpt(data: bytes) -> str:
    """The beginning of ``data`` for a message: on one line, printable, and short."""
    text = data[: 4 * _EXCERPT].decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"


class RecordParser(ABC):
    """Turns pieces of bytes into payloads, without the first ``skip`` of them.

    What is skipped is not validated again: a pass that validated it has been made before. ``validated`` says the same
    of all of it: then payloads that are the bytes as they are written are cut out and not looked into.
    """

    def __init__(self, name: str, max_payload: int, skip: int = 0, *, validated: bool = False) -> None:
        self._name = name
        self._max_payload = max_payload
        """Bytes."""
        self._skip = skip
        self._validated = validated
        self._line = 1
        """The physical line, from 1, that the next block begins with."""
        self._begun = False
        self._rest: list[bytes] = []
        """The unfinished record at the end of what came in so far."""
        self._rest_size = 0

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The payloads of the records that ``data`` completes. Raises SourceError that names the line."""
        if not self._begun:
            data = b"".join(self._rest) + data
            self._rest = []
            if len(data) < len(_BYTE_ORDER_MARK):
                self._rest = [data]
                return ()
            data = self._begin(data)
        payloads: Sequence[bytes] = ()
        if cut := self._cut(data):
            self._rest.append(data[:cut])
            block = b"".join(self._rest)
            self._rest, self._rest_size = [], 0
            payloads = self._take(block)
            data = data[cut:]
        self._rest.append(data)
        self._rest_size += len(data)
        # One more byte than a payload may have is fine: it may be the CR of the line's end.
        if self._rest_size > self._max_payload + 1:
            self._refuse_unfinished()
        return payloads

    def finish(self) -> Sequence[bytes]:
        """The payload of a last record that has no newline, if there is one."""
        block = b"".join(self._rest)
        self._rest = []
        if not self._begun:
            block = self._begin(block)
        return self._take(block) if block else ()

    def _begin(self, data: bytes) -> bytes:
        self._begun = True
        for signature, reason in _OTHER_ENCODINGS.items():
            if data.startswith(signature):
                raise SourceError(self._name, f"{reason}: tasks are read as UTF-8 text")
        return data.removeprefix(_BYTE_ORDER_MARK)

    def _take(self, block: bytes) -> Sequence[bytes]:
        if self._skip and (tasks := self._count(block)) is not None and tasks <= self._skip:
            self._skip -= tasks
            payloads: Sequence[bytes] = ()
        else:
            payloads = self._parse(block)
        self._line += block.count(b"\n")
        return payloads

    def _refuse(self, line: int, reason: str, data: bytes | None = None) -> NoReturn:
        shown = "" if data is None else f": {excerpt(data)}"
        raise SourceError(f"{self._name} line {line}", reason + shown)

    def _refuse_size(self, line: int, size: str, data: bytes | None = None) -> NoReturn:
        limit = f"a task may have at most {self._max_payload:,} bytes, and this one has {size}"
        self._refuse(line, limit + "; put large data elsewhere and its address into the task", data)

    def _refuse_unfinished(self) -> NoReturn:
        self._refuse_size(self._line, f"at least {self._rest_size:,}")

    @abstractmethod
    def _cut(self, data: bytes) -> int:
        """How many bytes of ``data`` end, together with the rest before it, in a whole record; 0: none."""

    @abstractmethod
    def _count(self, block: bytes) -> int | None:
        """How many tasks are in ``block`` if that is cheap to say, else None."""

    @abstractmethod
    def _parse(self, block: bytes) -> Sequence[bytes]:
        """The payloads of a block of whole records, but for those to be skipped."""


def count_lines(block: bytes, blank: re.Pattern[bytes]) -> int | None:
    """The lines of a block; None if one could be blank, for which ``blank`` finds a newline and a character."""
    if blank.match(b"\n" + block[:1]) or blank.search(block):
        return None
    return block.count(b"\n") + (not block.endswith(b"\n"))
