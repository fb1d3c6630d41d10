"""A partner's outage under a real local run: held, tried, gone on with, and no task given up for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.local_run import LocalRun

HANDLER = """

import pathlib

async def calls_a_partner(payload: Any, task: Task) -> int:
    _log(task)
    await asyncio.sleep(0.01)
    if pathlib.Path("down").exists():
        raise ConnectionError("refused")
    return task.index
"""
SPEC: dict[str, Any] = {
    "tasks": {"count": 400},
    "rate": {"tasks": 100, "periodSeconds": 1},
    "worker": {"python": "handlers:calls_a_partner"},
    # With fewer, a task whose delays happen to be short uses them up before the outage is noticed, half a second later.
    "retry": {"maxAttempts": 10, "initialDelaySeconds": 1, "maxDelaySeconds": 1},
    "circuitBreaker": {"openSeconds": 1},
}


def test_an_outage_uses_up_no_task(tmp_path: Path) -> None:
    with LocalRun(tmp_path / "run", SPEC) as run:
        with (run.folder / "handlers.py").open("a") as handlers:
            handlers.write(HANDLER)
        run.start().until_started(100)
        down = run.folder / "down"
        down.touch()
        held = run.until_status(
            lambda status: [
                one
                for one in status.get("conditions", [])
                if (one["type"], one["status"], one["reason"]) == ("Held", "True", "CircuitBreaker")
            ],
            "condition Held",
        )
        assert "failed" in held[0]["message"]
        assert "ConnectionError: refused" in held[0]["message"]
        begun = len(run.starts())
        run.until(lambda: len(run.starts()) > begun, "a trial")
        down.unlink()
        ended = run.wait()
        assert (ended.code, ended.tasks["failed"], ended.tasks["succeeded"]) == (0, 0, 400)
        assert {one.index for one in run.starts()} == set(range(400))
        assert "Traceback" not in ended.said
