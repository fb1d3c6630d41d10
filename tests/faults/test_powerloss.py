"""The model of a power cut, on calls written out here: what was not synced is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.powerloss import disk_after
from faults.strace import calls

ROOT = Path("/store")


def hexed(text: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def opened(path: str, number: int, flags: str = "O_RDWR|O_CREAT") -> str:
    return f"openat(AT_FDCWD</>, {hexed(path)}, {flags}, 0600) = {number}<{path}>"


def found(place: Path, *lines: str, written_back: float = 0.0) -> dict[str, str]:
    """Files and their content after these calls, one a second from second 1 on."""
    trace = [f"7 {second}.0 {line}" for second, line in enumerate(lines, start=1)]
    disk_after(calls(trace), ROOT, written_back=written_back).write_to(place)
    return {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()}


FILE = opened("/store/1.blk", 5)
SYNC = "fsync(5</store/1.blk>) = 0"
SYNC_NAMES = "fsync(6</store>) = 0"


def put(text: str, offset: int) -> str:
    return f"pwrite64(5</store/1.blk>, {hexed(text)}, {len(text)}, {offset}) = {len(text)}"


def test_what_was_never_synced_is_not_there(tmp_path: Path) -> None:
    assert found(tmp_path, FILE, put("one", 0)) == {}
    assert found(tmp_path, FILE, SYNC_NAMES, put("one", 0)) == {"1.blk": ""}


def test_what_was_synced_is_there_and_no_more(tmp_path: Path) -> None:
    assert found(tmp_path, FILE, put("one", 0), SYNC, put("two", 3)) == {"1.blk": "one"}
    assert found(tmp_path, FILE, put("one", 0), put("two", 3), SYNC) == {"1.blk": "onetwo"}


def test_a_write_through_is_there_at_once(tmp_path: Path) -> None:
    through = opened("/store/o.dat", 5, "O_WRONLY|O_CREAT|O_TRUNC|O_SYNC")
    write = f"write(5</store/o.dat>, {hexed('state')}, 5) = 5"
    assert found(tmp_path, through, write) == {"o.dat": "state"}


RENAME = f"renameat(AT_FDCWD</>, {hexed('/store/1.blk')}, AT_FDCWD</>, {hexed('/store/2.blk')}) = 0"
UNLINK = f"unlinkat(AT_FDCWD</>, {hexed('/store/1.blk')}, 0) = 0"


@pytest.mark.parametrize(("change", "after"), [(RENAME, {"2.blk": "one"}), (UNLINK, {})])
def test_names_change_when_their_directory_is_synced(
    tmp_path: Path, change: str, after: dict[str, str]
) -> None:
    begin = (FILE, put("one", 0), SYNC)
    assert found(tmp_path / "before", *begin, change) == {"1.blk": "one"}
    assert found(tmp_path / "after", *begin, change, SYNC_NAMES) == after


def test_the_kernel_writes_back_what_is_old_enough(tmp_path: Path) -> None:
    assert found(tmp_path, FILE, put("one", 0), put("two", 3), written_back=2.5) == {"1.blk": "one"}


def test_calls_that_another_thread_has_split_are_put_together(tmp_path: Path) -> None:
    write = put("one", 0)
    start, end = write.split(") = ")
    trace = [
        f"7 1.0 {FILE}",
        f"7 2.0 {start} <unfinished ...>",
        f"8 2.1 {SYNC}",
        f"7 2.2 <... pwrite64 resumed>) = {end}",
    ]
    found = list(calls(trace))
    assert [call.name for call in found] == ["openat", "fsync", "pwrite64"]
    assert [call.time for call in found] == [1.0, 2.1, 2.0]


def test_calls_that_failed_changed_nothing(tmp_path: Path) -> None:
    failed = UNLINK.removesuffix("0") + "-1 ENOENT (No such file or directory)"
    assert list(calls([f"7 1.0 {failed}"])) == []
