"""The file of ``--tasks``: which are taken, and what is said about the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobrun_operator.api import Format
from jobrun_operator.errors import InputError
from jobrun_operator.tasks.files import CHUNK, data_file


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ids.csv", Format.CSV),
        ("IDS.CSV", Format.CSV),
        ("a.b.jsonl", Format.JSON_LINES),
        ("x.ndjson", Format.JSON_LINES),
    ],
)
def test_the_ending_says_the_format(tmp_path: Path, name: str, expected: Format) -> None:
    (tmp_path / name).write_bytes(b"12345")
    found = data_file(tmp_path / name)
    assert (found.format, found.size, found.name) == (expected, 5, name)


def test_a_stated_format_wins(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_bytes(b"1\n")
    assert data_file(path, Format.JSON_LINES).format is Format.JSON_LINES


@pytest.mark.parametrize("size", [0, 1, CHUNK, 2 * CHUNK + 1])
async def test_its_bytes_come_in_pieces(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(os.urandom(size))
    pieces = [piece async for piece in data_file(path).chunks()]
    assert b"".join(pieces) == path.read_bytes()
    assert max(map(len, pieces), default=0) <= CHUNK


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.csv", "there is no file"),
        ("folder.csv", "is a directory"),
        ("data.json", r"can't be told: its name must end in one of \.jsonl, \.ndjson, \.csv"),
        ("data", "can't be told"),
        ("data.csv.gz", "can't be told"),
        ("fifo.csv", "is not a regular file"),
        ("data.json/x.csv", "can't be read: Not a directory"),
    ],
)
def test_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "data.json").write_bytes(b"[]")
    os.mkfifo(tmp_path / "fifo.csv")
    with pytest.raises(InputError, match=reason) as caught:
        data_file(tmp_path / name)
    assert caught.value.where == "--tasks"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.csv"
    path.write_bytes(b"id\n1\n")

    def refuse(*args: object) -> None:  # root, who runs tests in containers, may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="check its permissions"):
        data_file(path)


async def test_a_file_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id\n1\n")
    found = data_file(path)
    path.unlink()
    with pytest.raises(InputError, match="there is no file"):
        await anext(found.chunks())
