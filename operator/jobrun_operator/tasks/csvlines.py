"""CSV with a header row (RFC 4180): each row is a task, a JSON object of strings named by the header.

Promises: UTF-8, with or without a byte-order mark; rows end with LF or CRLF, the last one also without; fields may
be quoted and then hold commas, quotes (doubled) and newlines. Values stay strings, exactly as they are
written, spaces included. Empty lines are left out. Refused, with the line that the row starts on: too few or
too many fields, a quote inside an unquoted field or never closed, a carriage return alone, NUL, invalid
UTF-8; a header with an empty or a duplicate name; and one of a single name that another separator is in.

Rows are cut by counting quotes (a newline ends a row if the number of quotes before it is even), which is
right for what RFC 4180 allows; what it doesn't allow is refused before Python's csv module splits the rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from json.encoder import encode_basestring as quoted
from typing import TYPE_CHECKING, NoReturn

from jobrun_operator.core.summary import counted
from jobrun_operator.tasks.records import RecordParser, count_lines, excerpt

if TYPE_CHECKING:
    from _csv import Reader

csv.field_size_limit(2**31 - 1)  # process-wide; ours is max_payload, and the module's would refuse 128 KiB

_BLANK = re.compile(rb"\n[\n\r]")

_FIELD_BEGINS = (b"", b",", b"\n")
_FIELD_ENDS = (b",", b"\n", b"\r\n")
_OTHER_SEPARATORS = {";": ";", "\t": "a tab"}
_QUOTE_RULE = 'a field with a quote in it must be quoted as a whole, and the quote doubled ("")'


class CsvLines(RecordParser):
    def __init__(self, name: str, max_payload: int, skip: int = 0, *, validated: bool = False) -> None:
        super().__init__(name, max_payload, skip, validated=validated)
        self._open = False
        """Whether the unfinished record ends inside quotes."""
        self._template = ""
        """``{"name":%s,...}``, made of the header."""
        self._width = 0

    def finish(self) -> Sequence[bytes]:
        # Counted, since a file of less than three bytes was never cut.
        if sum(piece.count(b'"') for piece in self._rest) & 1:
            self._refuse(self._line, "a quote is opened in the row that starts here, and never closed")
        return super().finish()

    def _refuse_unfinished(self) -> NoReturn:
        if self._open:
            within = f"{self._max_payload:,} bytes, the most that a task may have"
            self._refuse(
                self._line, f"a quote is opened in the row that starts here, and not closed within {within}"
            )
        super()._refuse_unfinished()

    def _cut(self, data: bytes) -> int:
        end = data.rfind(b"\n") + 1
        if b'"' not in data:
            return 0 if self._open else end
        open_at_end = self._open ^ (data.count(b'"', 0, end) & 1 == 1)
        while end and open_at_end:
            # All newlines after the last quote before `end` are inside quotes too: go on from before it.
            quote = data.rfind(b'"', 0, end)
            before = data.rfind(b"\n", 0, max(quote, 0)) + 1
            open_at_end ^= data.count(b'"', before, end) & 1 == 1
            end = before
        quotes_left = data.count(b'"', end) & 1 == 1
        self._open = quotes_left if end else self._open ^ quotes_left
        return end

    def _count(self, block: bytes) -> int | None:
        if not self._template or b'"' in block:
            return None
        return count_lines(block, _BLANK)

    def _parse(self, block: bytes) -> Sequence[bytes]:
        """Split at the speed of C, and look at single rows only where something is wrong.

        No row is kept once it is a payload: thousands of lists alive at a time would have the garbage collector
        stop the event loop for 20 ms (measured).
        """
        has_header = not self._template
        skipped = 0
        payloads: list[bytes] = []
        try:
            if b"\0" in block or not _quotes_fit(block):
                self._explain(block, has_header, skipped)
            reader = _reader(block.decode())
            if has_header and not self._read_header(reader):
                return ()
            rows = filter(None, reader)
            skipped = sum(1 for _ in islice(rows, self._skip))
            self._skip -= skipped
            # The template takes exactly as many values as the header has names, else TypeError.
            payloads = [self._payload(row) for row in rows]
        except (csv.Error, TypeError, UnicodeDecodeError):
            self._explain(block, has_header, skipped)
        if max(map(len, payloads), default=0) > self._max_payload:
            self._explain(block, has_header, skipped)
        return payloads

    def _payload(self, row: list[str]) -> bytes:
        return (self._template % tuple(map(quoted, row))).encode()

    def _read_header(self, reader: Reader) -> bool:
        """Take the first row that is not empty; False if there is none in this block."""
        line = self._line
        for names in reader:
            if names:
                self._set_header(names, line)
                return True
            line = self._line + reader.line_num
        return False

    def _set_header(self, names: list[str], line: int) -> None:
        for position, name in enumerate(names, 1):
            if not name:
                self._refuse(line, f"the name of column {position} in the header is empty")
            if name in names[: position - 1]:
                self._refuse(line, f"the header has the name {excerpt(name.encode())} twice")
        if len(names) == 1 and (separator := next((one for one in _OTHER_SEPARATORS if one in names[0]), "")):
            other = _OTHER_SEPARATORS[separator]
            self._refuse(
                line, f"the fields of a row are separated by commas, not by {other}", names[0].encode()
            )
        self._width = len(names)
        members = ",".join(quoted(name).replace("%", "%%") + ":%s" for name in names)
        self._template = "{" + members + "}"

    def _explain(self, block: bytes, has_header: bool, skipped: int) -> NoReturn:
        """Go through the rows one by one and refuse the first bad one."""
        for line, record in _records(block, self._line):
            row = self._checked_row(line, record)
            if not row:
                continue
            if has_header:
                has_header = False
                self._set_header(row, line)
                continue
            if skipped:
                skipped -= 1
                continue
            if len(row) != self._width:
                expected = f"the header has {self._width}"
                self._refuse(line, f"the row has {counted(len(row), 'field')} and {expected}", record)
            size = len(self._payload(row))
            if size > self._max_payload:
                self._refuse_size(line, f"{size:,}", record)
        raise AssertionError("a block was refused, and no row of it")

    def _checked_row(self, line: int, record: bytes) -> list[str]:
        if b"\0" in record:
            self._refuse(line, "a NUL byte: this is not text", record)
        if not _quotes_fit(record):
            self._refuse(line, f"a quote is in the wrong place ({_QUOTE_RULE})", record)
        try:
            return next(_reader(record.decode()), [])
        except UnicodeDecodeError as error:
            shown = record[max(0, error.start - 20) : error.start + 20]
            self._refuse(line, f"not valid UTF-8 ({error.reason}); save the file as UTF-8", shown)
        except csv.Error:
            self._refuse(line, "a carriage return in a field that is not quoted", record)


def _reader(text: str) -> Reader:
    # newline="\n": a carriage return alone is no end of a line.
    return csv.reader(io.StringIO(text, newline="\n"), strict=True)


def _quotes_fit(block: bytes) -> bool:
    """Whether each quote begins or ends a field, or is doubled inside one.

    Split at its quotes, a block's pieces are by turns outside and inside of quotes. A piece outside is empty (a
    doubled quote, or the block's own edge), or begins where a field may end and ends where one may begin.
    """
    if b'"' not in block:
        return True
    first, *between, last = block.split(b'"')[::2]
    return (
        first[-1:] in _FIELD_BEGINS
        and all(not p or (p[-1:] in _FIELD_BEGINS and p.startswith(_FIELD_ENDS)) for p in between)
        and (last in (b"", b"\r") or last.startswith(_FIELD_ENDS))
    )


def _records(block: bytes, line: int) -> Iterator[tuple[int, bytes]]:
    """Each record with the physical line that it starts on; slow."""
    lines: list[bytes] = []
    for content in io.BytesIO(block):
        lines.append(content)
        record = b"".join(lines)
        if record.count(b'"') & 1 == 0:
            yield line, record
            line += len(lines)
            lines = []
    if lines:
        yield line, b"".join(lines)
