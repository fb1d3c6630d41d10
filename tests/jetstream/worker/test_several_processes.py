"""A worker of several processes, as it is seen from outside: one worker, whatever happens to one of them."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from jetstream.worker.rig import Process, Run, free_port, until

HELD = """
import asyncio, os, pathlib
async def handle(payload, task):
    with open("began", "a") as began:
        print(task.index, os.getpid(), file=began)
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
"""
"""Tasks run until there is a file ``go``."""


@pytest.fixture
def run_of_two(run: Run) -> Run:
    """A worker of two processes, each with one call at a time."""
    run.handler(HELD)
    run.configure(processes=2, concurrency=1, host="127.0.0.1", port=free_port())
    return run


def began(run: Run) -> list[tuple[int, int]]:
    """Index of the task and id of the process, in the order of their beginnings."""
    path = run.directory / "began"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(index), int(pid)) for index, pid in map(str.split, lines)]


async def begun(run: Run, number: int) -> set[int]:
    """Wait until so many have begun; the processes that they are in."""

    async def enough() -> bool:
        return len(began(run)) >= number

    await until(f"{number} begun", enough)
    return {pid for _, pid in began(run)}


def left(processes: set[int]) -> bool:
    return any(Path(f"/proc/{pid}").exists() for pid in processes)


async def page(run: Run, path: str) -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{run.settings.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except urllib.error.URLError:
            return 0, "nobody listens yet"

    return await asyncio.to_thread(get)


async def shows(run: Run, path: str, *wanted: str) -> None:
    async def shown() -> bool:
        text = (await page(run, path))[1]
        return all(one in text for one in wanted)

    await until(f"{wanted} on {path}", shown)


async def ready(worker: Process) -> None:
    """Both processes have said so, and so the worker can be asked."""
    await worker.output.line("ready: ", after=await worker.output.line("ready: "))


async def test_processes_share_the_tasks_and_are_one_worker_to_probes_and_metrics(run_of_two: Run) -> None:
    run = run_of_two
    run.configure(retain_results=True)
    worker = await run.worker("one")
    await ready(worker)
    await shows(run, "/readyz", "ok")
    assert await page(run, "/healthz") == (200, "ok\n")
    await run.release([{}] * 20)
    assert len(await begun(run, 2)) == 2
    await shows(
        run, "/metrics", "jobrun_worker_running 2.0", "jobrun_worker_slots 2.0", "jobrun_worker_connected 2.0"
    )
    (run.directory / "go").touch()
    await run.finished()
    await shows(
        run, "/metrics", 'jobrun_task_attempts_total{outcome="succeeded"} 20.0', "jobrun_worker_running 0.0"
    )
    outcomes = (await run.outcomes()).values()
    assert len(outcomes) == 20
    assert {outcome.worker for outcome in outcomes} == {"one-1", "one-2"}
    assert {outcome.attempts for outcome in outcomes} == {1}


async def test_a_process_that_was_killed_is_replaced_and_the_others_go_on(run_of_two: Run) -> None:
    run = run_of_two
    worker = await run.worker("one")
    await ready(worker)
    await run.release([{}] * 6)
    await begun(run, 2)
    (lost, killed), (kept, _) = began(run)
    os.kill(killed, signal.SIGKILL)
    await worker.output.line(r"one-\d ended with SIGKILL; another takes its place in 0 s")
    (run.directory / "go").touch()
    await run.finished()
    tasks = [index for index, _ in began(run)]
    assert sorted(tasks) == sorted([*range(6), lost]), "only what the killed one had began twice"
    assert tasks.count(kept) == 1
    await shows(run, "/metrics", "jobrun_worker_processes_replaced_total 1.0", "jobrun_worker_connected 2.0")
    assert await page(run, "/healthz") == (200, "ok\n")


async def test_sigterm_finishes_what_runs_hands_back_the_rest_and_leaves_no_process(run_of_two: Run) -> None:
    run = run_of_two
    worker = await run.worker()
    await ready(worker)
    await run.release([{}] * 10)
    processes = await begun(run, 2)
    worker.send(signal.SIGTERM)
    await worker.output.line("draining 2 processes: SIGTERM")
    assert await page(run, "/readyz") == (503, "draining\n")
    (run.directory / "go").touch()
    assert await worker.wait() == 0
    assert len(began(run)) == 2
    assert await run.outstanding() == 8
    assert not left(processes)


async def test_a_second_signal_ends_all_processes_at_once(run_of_two: Run) -> None:
    run = run_of_two
    worker = await run.worker()
    await ready(worker)
    await run.release([{}] * 2)
    processes = await begun(run, 2)
    worker.send(signal.SIGINT)
    await worker.output.line("draining: SIGTERM", after=await worker.output.line("draining: SIGTERM"))
    worker.send(signal.SIGINT)
    assert await worker.wait() == 128 + signal.SIGINT
    assert not left(processes)
    assert await run.outstanding() == 2


async def test_processes_drain_when_the_one_that_supervises_them_is_killed(run_of_two: Run) -> None:
    run = run_of_two
    worker = await run.worker()
    await ready(worker)
    await run.release([{}] * 10)
    processes = await begun(run, 2)
    worker.send(signal.SIGKILL)
    first = await worker.output.line("draining: the process that supervises this one is gone")
    await worker.output.line("draining: the process that supervises this one is gone", after=first)
    (run.directory / "go").touch()

    async def gone() -> bool:
        return not left(processes)

    await until("no process left", gone)
    assert await run.outstanding() == 8


async def test_a_handler_that_cannot_be_used_ends_the_worker_with_2_and_one_line(run_of_two: Run) -> None:
    run = run_of_two
    run.configure(handler_python="tasks:missing")
    worker = await run.worker(ready=False)
    assert await worker.wait() == 2
    assert worker.output.lines[-1].startswith("jobrun worker: the module 'tasks' has no 'missing'")
    assert worker.output.text.count("jobrun worker: ") == 1


async def test_a_process_that_never_gets_ready_ends_the_worker_as_it_ended(run_of_two: Run) -> None:
    run = run_of_two
    (run.directory / "tasks.py").write_text("import os\nos._exit(7)\n")
    worker = await run.worker("one", ready=False)
    assert await worker.wait() == 7
    assert "ERROR default/test one one-" in worker.output.lines[-1]
    assert worker.output.lines[-1].endswith(" ended with exit code 7 before it was ready")


async def test_a_process_that_hangs_makes_the_worker_one_to_be_replaced(run_of_two: Run) -> None:
    run = run_of_two
    (run.directory / "tasks.py").write_text("import signal, os\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    worker = await run.worker("one", ready=False)
    await shows(run, "/healthz", "one-1 has not come up for ")
    assert (await page(run, "/healthz"))[0] == 503
    assert await page(run, "/readyz") == (503, "no process has come up\n")
    worker.send(signal.SIGTERM)
    await worker.output.line("draining 2 processes: SIGTERM")
    worker.send(signal.SIGTERM)
    assert await worker.wait() == 128 + signal.SIGTERM
