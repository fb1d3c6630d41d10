"""What is particular to workers as processes: their environment, logs, ends and replacements."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from jobrun_operator.local.child import cut_log, prune_logs, tail
from jobrun_operator.local.keeper import Keeper, marked
from jobrun_operator.local.processes import ProcessWorkers
from jobrun_operator.local.worker import NICE, WorkerExit
from local.processes.helpers import STUB, make_run, reach, settings_for, until


async def test_more_than_the_allowed_workers_are_never_started(processes: ProcessWorkers) -> None:
    await processes.scale(make_run(), 50)
    await reach(processes, make_run().uid, desired=50, running=4, ready=4)


async def test_a_worker_gets_its_settings_and_nobody_elses(
    processes: ProcessWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBRUN_HANDLER_HTTP", "http://another.worker")
    monkeypatch.setenv("PARTNER_URL", "http://partner")
    await processes.scale(make_run("report"), 1)
    await reach(processes, make_run().uid, ready=1)
    said = json.loads((tmp_path / "logs" / "push-1.log").read_text())
    environ = said["env"]
    assert "JOBRUN_HANDLER_HTTP" not in environ
    assert environ["PARTNER_URL"] == "http://partner"
    assert (environ["JOBRUN_WORKER"], environ["JOBRUN_HOST"]) == ("push-1", "127.0.0.1")
    assert said["cwd"] == str(tmp_path)
    assert said["nice"] == os.nice(0) + NICE


async def test_names_go_on_where_an_earlier_start_ended(processes: ProcessWorkers, tmp_path: Path) -> None:
    (tmp_path / "logs" / "push-41.log").write_text("of yesterday\n")
    (tmp_path / "logs" / "push-9-99.log").write_text("of the run push-9\n")
    await processes.scale(make_run(), 1)
    await reach(processes, make_run().uid, ready=1)
    assert (tmp_path / "logs" / "push-42.log").exists()


async def test_an_unusable_handler_is_an_error_and_not_a_loop(
    processes: ProcessWorkers, exits: list[WorkerExit]
) -> None:
    uid = make_run().uid
    await processes.scale(make_run("unusable"), 1)
    state = await reach(processes, uid, running=0)
    assert state.error == processes.worker_error(uid) == "ModuleNotFoundError: No module named 'push'"
    assert [(end.worker, end.code) for end in exits] == [("push-1", 2)]

    await processes.scale(make_run("serve"), 1)  # the manifest was corrected
    await reach(processes, uid, running=1, ready=1, error="")
    assert processes.worker_error(uid) is None


async def test_old_workers_go_on_while_new_ones_only_crash(
    processes: ProcessWorkers, exits: list[WorkerExit]
) -> None:
    uid = make_run().uid
    await processes.scale(make_run("serve"), 2)
    await reach(processes, uid, ready=2)
    await processes.scale(make_run("crash"), 2)

    async def crashed_thrice() -> bool:
        assert (await processes.observe(uid)).ready == 2
        return len(exits) == 3

    began = asyncio.get_running_loop().time()
    await until(crashed_thrice)
    # The first replacement comes at once, the next one waits: a half second is the least it takes.
    assert asyncio.get_running_loop().time() - began >= 0.5
    state = await processes.observe(uid)
    assert state.error == f"worker {exits[-1].worker} ended with exit code 1: the stub crashes"
    assert processes.worker_error(uid) is None


async def test_a_worker_that_can_not_be_started_is_an_exit_with_the_reason(
    keeper: Keeper, tmp_path: Path, exits: list[WorkerExit]
) -> None:
    workers = ProcessWorkers(
        settings_for,
        keeper=keeper,
        logs=tmp_path / "logs",
        cwd=tmp_path / "absent",
        max_workers=1,
        command=STUB,
        on_exit=exits.append,
    )

    async def heard() -> bool:
        return bool(exits)

    await workers.scale(make_run(), 1)
    await until(heard)
    await workers.aclose(within=0)
    assert "No such file or directory" in exits[0].output


async def test_a_worker_that_ignores_the_drain_is_killed_within_the_bound(
    processes: ProcessWorkers,
) -> None:
    uid = make_run().uid
    await processes.scale(make_run("stubborn"), 2)
    await reach(processes, uid, ready=2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    patient = asyncio.create_task(processes.aclose(within=25))
    await processes.aclose(within=0.2)  # a second Ctrl-C
    await patient
    assert 0.2 <= loop.time() - began < 20
    assert (await processes.observe(uid)).running == 0


async def test_draining_workers_count_as_running_and_not_as_ready(processes: ProcessWorkers) -> None:
    uid = make_run().uid
    await processes.scale(make_run("stubborn"), 1)
    await reach(processes, uid, ready=1)
    await processes.scale(make_run("stubborn"), 0)
    state = await processes.observe(uid)
    assert (state.desired, state.running, state.ready) == (0, 1, 0)


async def test_unready_is_not_ready(processes: ProcessWorkers, keeper: Keeper) -> None:
    await processes.scale(make_run("unready"), 1)

    async def lives() -> bool:
        return bool(list(marked(keeper.marker)))

    await until(lives)
    assert (await processes.observe(make_run().uid)).ready == 0


async def test_a_killed_worker_leaves_no_children_and_others_keep_theirs(
    processes: ProcessWorkers, keeper: Keeper, exits: list[WorkerExit]
) -> None:
    uid = make_run().uid
    await processes.scale(make_run("family"), 2)

    async def families() -> bool:
        return all(len(list(marked(keeper.marker_of(f"{uid}/push-{n}")))) == 4 for n in (1, 2))

    await until(families)
    first, second = (set(marked(keeper.marker_of(f"{uid}/push-{n}"))) for n in (1, 2))
    os.kill(min(first), signal.SIGKILL)
    await until(lambda: _is(lambda: bool(exits)))
    assert exits[0].code == -signal.SIGKILL
    assert not first & set(marked(keeper.marker))
    assert second <= set(marked(keeper.marker))


async def test_a_mistake_in_a_callback_is_raised_by_the_next_call(keeper: Keeper, tmp_path: Path) -> None:
    def mistake(end: WorkerExit) -> None:
        raise KeyError(end.worker)

    workers = ProcessWorkers(
        settings_for,
        keeper=keeper,
        logs=tmp_path / "logs",
        cwd=tmp_path,
        max_workers=1,
        command=STUB,
        on_exit=mistake,
    )
    await workers.scale(make_run("crash"), 1)
    with pytest.raises(KeyError, match="push-1"):
        await reach(workers, "uid-of-push", desired=-1)
    await workers.aclose(within=0)


def test_a_long_log_is_cut_and_old_logs_go(tmp_path: Path) -> None:
    log = tmp_path / "push-1.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"begin\n" + b"x" * 100 + b"\nend\n")
        cut_log(log, limit=50)
        writer.write(b"later\n")
    assert log.read_text() == "later\n"
    cut = tmp_path / "push-1.log.1"
    assert tail(cut, lines=1) == "end"
    assert cut.stat().st_size == 50

    for number in range(2, 6):
        newer = tmp_path / f"push-{number}.log"
        newer.touch()
        os.utime(newer, (number * 10**9, number * 10**9))
    os.utime(log, (1, 1))
    (tmp_path / "nats-server.log").touch()
    os.utime(tmp_path / "nats-server.log", (1, 1))
    prune_logs(tmp_path, in_use={tmp_path / "push-2.log"}, keep=2)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["nats-server.log", "push-2.log", "push-4.log", "push-5.log"]


async def _is(holds: object) -> bool:
    assert callable(holds)
    return bool(holds())
