"""The short form of ``make faults``: one schedule, with real processes, a real broker and real signals.

Its seed was chosen for what is in it; the long form draws others.
"""

from __future__ import annotations

from pathlib import Path

from faults import trial
from faults.__main__ import told
from faults.schedule import draw

SEED = 6267


async def test_a_run_survives_its_faults(tmp_path: Path) -> None:
    schedule = draw(SEED, seconds=4)
    verdict = await trial.run(schedule, tmp_path)
    assert verdict.holds, told(verdict)
    assert verdict.tasks == schedule.tasks
