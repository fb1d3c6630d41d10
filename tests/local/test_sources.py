"""A large source is read in flat memory."""

from __future__ import annotations

from pathlib import Path

from accept import sources
from local.held import assert_all_hold


def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    assert_all_hold(sources.many_lines(tmp_path, count=200_000, mebibytes=64))
