"""The same command again: after Ctrl-C it goes on, after the end it repeats the outcome."""

from __future__ import annotations

import re
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accept.bound import Bound, at_most, same, true
from accept.complete import completed, worker
from support.local_run import LocalRun

STOP_SECONDS = 12.0
"""Running tasks may take up to 10 of them."""


def interrupted(folder: Path, *, count: int, rate: int) -> Iterator[Bound]:
    """Ctrl-C stops, says what to type, and that goes on to the end."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "rate": {"tasks": rate, "periodSeconds": 1},
        "worker": worker("slow"),
    }
    with LocalRun(folder, spec, env={"HANDLER_SECONDS": "0.1"}) as run:
        run.start().until_started(count // 3)
        began = time.monotonic()
        run.send(signal.SIGINT)
        stopped = run.wait(within=60)
        yield same("exit code after Ctrl-C", stopped.code, 130)
        yield at_most("ended after", time.monotonic() - began, STOP_SECONDS, " s", of_speed=True)
        yield at_most("left running, gone after", run.seconds_until_gone(), 1.0, " s", of_speed=True)
        yield true("no traceback", "Traceback" not in stopped.said, stopped.said[-300:])
        told = re.search(r"go on with: jobrun (.*)", stopped.said)
        yield true("it says how to resume", told is not None, stopped.said[-300:])
        words = shlex.split(told[1]) if told else run.command
        yield same("which is the same command", words, run.command)
        ended = run.start(words).wait(within=60 + 3 * count / rate)
        yield from completed(run, ended, count)
        yield same("starts of handlers: none twice", len(run.starts()), count)


_SLOW_IMPORT = "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(60)\n"
_HANDLER = "def call(payload):\n    return payload\n"


def interrupted_at_start(folder: Path) -> Iterator[Bound]:
    """Ctrl-C before the run has begun: while the handler is imported, and as soon as the broker is there."""
    spec: dict[str, Any] = {"tasks": {"count": 50}, "worker": {"python": "slowly:call"}}
    for what, slow, file in (
        ("while the handler is imported", _SLOW_IMPORT, "importing"),
        ("as soon as the broker is there", "", "data/broker/address.json"),
    ):
        with LocalRun(folder / what.replace(" ", "-"), spec) as run:
            handler = run.folder / "slowly.py"
            handler.write_text(slow + _HANDLER)
            run.start().until((run.folder / file).exists, file)
            run.send(signal.SIGINT)
            stopped = run.wait(within=60)
            yield same(f"exit code after Ctrl-C {what}", stopped.code, 130)
            yield true("no traceback", "Traceback" not in stopped.said, stopped.said[-300:])
            yield at_most("left running, gone after", run.seconds_until_gone(), 5.0, " s", of_speed=True)
            handler.write_text(_HANDLER)
            yield from completed(run, run.run(), 50)


def finished(folder: Path, *, count: int) -> Iterator[Bound]:
    """The command of a finished run repeats outcome and results, and runs nothing."""
    spec: dict[str, Any] = {
        "tasks": {"count": count},
        "worker": worker("fails_each_seventh"),
        "retry": {"maxAttempts": 1},
    }
    with LocalRun(folder, spec) as run:
        first = run.run()
        yield from completed(run, first, count, failed=count // 7)
        lines, starts = run.results(), len(run.starts())
        (folder / "results.jsonl").unlink()
        (folder / "handlers.py").unlink()  # not even asked whether it can be used
        again = run.run()
        yield same("exit code again", again.code, first.code)
        yield true("the same results", run.results() == lines)
        yield true(
            "the same status", again.jobrun["status"] == first.jobrun["status"], again.jobrun["status"]
        )
        yield same("handlers started again", len(run.starts()) - starts, 0)
        yield at_most("left running, gone after", run.seconds_until_gone(), 5.0, " s", of_speed=True)
