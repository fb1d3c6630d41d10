"""Commands: their outputs, their environment and what they leave behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from jobrun_worker import Fail, Retry
from jobrun_worker.handlers import AttemptFailed
from jobrun_worker.handlers.command import CommandHandler
from jobrun_worker.task import Task

TASK = Task(7, 2, "run", "namespace", "uid-7")


def shell(script: str, *, retain: bool = True, **environ: str) -> CommandHandler:
    return CommandHandler(("sh", "-c", script), retain=retain, environ={"PATH": os.environ["PATH"]} | environ)


async def call(handler: CommandHandler, payload: bytes = b"{}") -> bytes:
    return await asyncio.wait_for(handler(payload, TASK), 60)


async def test_payload_in_and_result_out() -> None:
    payload = json.dumps({"text": "x" * 500_000}).encode()
    assert await call(shell("cat"), payload) == payload


async def test_a_command_that_does_not_read_its_payload() -> None:
    assert await call(shell("exec 0<&-; echo 1"), b"x" * 1_000_000) == b"1"


async def test_output_that_is_not_kept_is_not_read() -> None:
    assert await call(shell("head -c 3000000 /dev/zero", retain=False)) == b""


async def test_the_environment_tells_the_task_and_keeps_the_worker_s_settings_back() -> None:
    handler = shell("env", JOBRUN_NATS_PASSWORD="secret", OTHER="kept")  # noqa: S106
    seen = dict(line.split("=", 1) for line in json.loads(await call(handler)).splitlines())
    assert {name: value for name, value in seen.items() if name.startswith("JOBRUN_")} == {
        "JOBRUN_INDEX": "7",
        "JOBRUN_ATTEMPT": "2",
        "JOBRUN_IDEMPOTENCY_KEY": "uid-7",
    }
    assert seen["OTHER"] == "kept"


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("echo no >&2; exit 3", AttemptFailed, "^exit status 3: no$"),
        ("exit 3", AttemptFailed, "^exit status 3$"),
        ("kill -9 $$", AttemptFailed, "^killed by SIGKILL$"),
        ("echo later >&2; exit 75", Retry, "^later$"),
        ("exit 75", Retry, "exit status 75"),
        ("head -c 2000 /dev/zero", Fail, "larger than the 1,000 bytes"),
    ],
)
async def test_the_exit_status_is_the_verdict(script: str, kind: type[Exception], said: str) -> None:
    handler = shell(script)
    handler.limit_result(1000)
    with pytest.raises(kind, match=said):
        await call(handler)


async def test_the_end_of_a_long_standard_error_is_kept() -> None:
    with pytest.raises(AttemptFailed) as raised:
        await call(shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1"))
    assert str(raised.value).endswith("xthe end")
    assert len(str(raised.value)) < 2000


async def test_a_child_left_in_the_background_ends_with_its_command(tmp_path: Path) -> None:
    """It holds the pipes open, and would hold the task until its time limit."""
    pid = tmp_path / "pid"
    assert await call(shell(f"sleep 3600 & echo $! > {pid}; echo 1")) == b"1"
    async with asyncio.timeout(60):
        while not ended(pid):  # noqa: ASYNC110  # a process that is nobody's child here has no event
            await asyncio.sleep(0.01)


async def test_a_child_that_left_the_group_does_not_hold_the_task(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    leave = f"setsid sh -c 'echo $$ > {pid}; exec sleep 3600' & while [ ! -s {pid} ]; do :; done; echo 1"
    assert await call(shell(leave)) == b"1"
    os.kill(number(pid), signal.SIGKILL)


def number(pid: Path) -> int:
    return int(pid.read_text())


def ended(pid: Path) -> bool:
    try:
        return Path(f"/proc/{number(pid)}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
