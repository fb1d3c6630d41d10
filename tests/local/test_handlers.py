"""Each kind of handler as a whole run."""

from __future__ import annotations

from pathlib import Path

from accept import handlers
from local.held import assert_all_hold


def test_python_sync_and_async(tmp_path: Path) -> None:
    assert_all_hold(handlers.python_handlers(tmp_path, count=50))


def test_a_command(tmp_path: Path) -> None:
    assert_all_hold(handlers.command_handler(tmp_path, count=20))


def test_an_endpoint(tmp_path: Path) -> None:
    assert_all_hold(handlers.http_handler(tmp_path, count=50))


def test_several_processes_in_a_worker(tmp_path: Path) -> None:
    assert_all_hold(handlers.several_processes(tmp_path, count=200))
