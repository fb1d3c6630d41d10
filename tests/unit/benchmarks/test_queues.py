"""What the benchmark says of when handlers begin, and of contenders that can't be set up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import redis
from benchmarks.contenders.queues import PROGRAMS, CeleryRedis, Queue, TaskiqNats
from benchmarks.marks import Marks, latencies
from benchmarks.program import Failed


def test_latencies_are_of_each_task_from_its_own_sending() -> None:
    sent = [1_000_000 * index for index in range(100)]
    began = {7 + index: at + (90_000_000 if index == 50 else 2_000_000) for index, at in enumerate(sent)}
    assert latencies(sent, began, first=7) == (2.0, 90.0)
    with pytest.raises(KeyError):
        latencies(sent, began, first=8)


def test_handlers_write_the_first_and_the_last_and_a_task_begun_twice_counts_once(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks", 5)
    code = "import marks\nfor _ in range(7): marks.count()\nmarks.mark(3); marks.mark(3)"
    env = os.environ | {"PYTHONPATH": str(PROGRAMS), **marks.environment}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=30)
    found = marks.read()
    assert sorted(found) == [0, 1, 3]
    assert found[0] < found[1] < found[3]
    assert len((tmp_path / "marks").read_text().splitlines()) == 4
    marks.clear()
    assert marks.read() == {}


async def test_a_worker_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    def check() -> None:
        raise Failed("ended with 1")

    with pytest.raises(Failed):
        await Marks(tmp_path / "marks", 1).until(1, check)


def test_what_sends_keeps_to_its_rate_and_says_when() -> None:
    code = "import sending; sending.send(lambda what, index: None)"
    env = os.environ | {"PYTHONPATH": str(PROGRAMS)}
    done = subprocess.run(
        [sys.executable, "-c", code, "mark", "5", "100"], env=env, check=True, timeout=30, capture_output=True
    )
    told = json.loads(done.stdout)
    assert len(told["sent"]) == 5
    assert told["sent"] == sorted(told["sent"])
    assert told["seconds"] >= 4 / 100


async def test_what_is_not_there_is_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    queue = Queue("")
    monkeypatch.setattr(queue, "packages", {"no-such-queue": "no_such_queue"})
    assert await queue.prepare(tmp_path) == "pip install '.[bench]' (no-such-queue)"
    monkeypatch.setattr(CeleryRedis, "packages", {})
    monkeypatch.setattr(TaskiqNats, "packages", {})
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert redis.missing() == "apt-get install redis-server"
    assert await CeleryRedis("").prepare(tmp_path) == "apt-get install redis-server"
    assert await TaskiqNats("").prepare(tmp_path) == ""
