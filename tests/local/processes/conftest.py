"""Worker processes without a broker behind them, and what ends them whatever a test does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobrun_operator.local.keeper import Keeper, marked
from jobrun_operator.local.processes import ProcessWorkers
from jobrun_operator.local.worker import WorkerExit
from local.processes.helpers import STUB, settings_for


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    keeper = await Keeper.start()
    yield keeper
    await keeper.aclose()
    assert not list(marked(keeper.marker))


@pytest.fixture
def exits() -> list[WorkerExit]:
    """What was heard of workers that ended unasked."""
    return []


@pytest.fixture
async def processes(keeper: Keeper, tmp_path: Path, exits: list[WorkerExit]) -> AsyncIterator[ProcessWorkers]:
    workers = ProcessWorkers(
        settings_for,
        keeper=keeper,
        logs=tmp_path / "logs",
        cwd=tmp_path,
        max_workers=4,
        command=STUB,
        on_exit=exits.append,
    )
    yield workers
    await workers.aclose(within=0)
