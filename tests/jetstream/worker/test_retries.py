"""Dead letters that are tried once more: what workers do with a request, and with what came of it before."""

from __future__ import annotations

from dataclasses import replace
from signal import SIGKILL, SIGTERM

from jetstream.worker.rig import Process, Run, until
from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_worker.wire import CONSUMER, Outcome, RetryRequest

TIME = "2026-06-01T12:00:00.000000Z"
BEFORE = Outcome(
    index=7, succeeded=False, body=b'{"n":7}', attempts=4, worker="w", released_at=TIME, started_at=TIME,
    finished_at=TIME, reason="MaxAttempts", error="no",
)  # fmt: skip


class Retries:
    """The stream of retries of a run, and the permits that its engine would give."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.stream = run.names.retry_stream(run.uid)

    async def open(self) -> None:
        settings = LayoutSettings("test", ack_wait_seconds=self._run.settings.ack_wait_seconds)
        meta = layout.metadata(
            settings, RunRef("default", "test", self._run.uid), SourceSummary(8, "x"), keeps_results=False
        )
        await self._run.api(
            f"STREAM.CREATE.{self.stream}", layout.retry_stream(settings, self._run.uid, meta)
        )
        config = layout.workers_consumer(settings) | {"name": CONSUMER}
        body = {"stream_name": self.stream, "config": config, "action": "create"}
        await self._run.api(f"CONSUMER.CREATE.{self.stream}.{CONSUMER}", body)

    async def bury(self, outcome: Outcome = BEFORE) -> int:
        """Store a dead letter; returns its sequence."""
        return await self._stored(self._run.names.dead(self._run.uid, outcome.index), outcome)

    async def _stored(self, subject: str, outcome: Outcome) -> int:
        await self._run.nc.request(subject, outcome.body, headers=outcome.headers(), timeout=10)
        info = await self._run.api(f"STREAM.INFO.{self._run.out}")
        return int(info["state"]["last_seq"])

    async def ask(self, sequence: int, index: int = 7) -> None:
        await self.ask_with(RetryRequest(index, sequence).encode(), index)

    async def ask_with(self, body: bytes, index: int = 7) -> None:
        await self._run.nc.request(self._run.names.retry(self._run.uid, index), body, timeout=10)

    async def asked(self) -> int:
        return int((await self._run.api(f"STREAM.INFO.{self.stream}"))["state"]["messages"])

    async def permit(self, permits: int = 1) -> None:
        await self._run.nc.publish(self._run.names.again(self._run.uid), str(permits).encode())

    async def done(self) -> None:
        """Permit until nothing is asked for any more."""

        async def nothing_asked() -> bool:
            await self.permit()
            return await self.asked() == 0

        await until("all retries settled", nothing_asked)

    async def note(self, index: int = 7) -> Outcome | None:
        subject = self._run.names.retried(self._run.uid, index)
        answer = await self._run.nc.request(f"$JS.API.DIRECT.GET.{self._run.out}.{subject}", timeout=10)
        headers = answer.headers or {}
        return Outcome.parse(subject, headers, answer.data) if "Nats-Sequence" in headers else None

    async def dead(self, index: int = 7) -> Outcome:
        subject = self._run.names.dead(self._run.uid, index)
        answer = await self._run.nc.request(f"$JS.API.DIRECT.GET.{self._run.out}.{subject}", timeout=10)
        return Outcome.parse(subject, answer.headers or {}, answer.data)


async def started(run: Run, handler: str) -> tuple[Retries, Process]:
    retries = Retries(run)
    await retries.open()
    run.handler(handler)
    return retries, await run.worker()


async def test_a_success_is_stored_beside_the_dead_letter(run: Run) -> None:
    run.configure(retain_results=True)
    retries, _ = await started(
        run, "def handle(payload, task):\n    return [payload, task.index, task.attempt]\n"
    )
    await retries.ask(await retries.bury())
    await retries.done()
    note = await retries.note()
    assert note is not None
    assert note.body == b'[{"n":7},7,1]'
    assert (note.succeeded, note.attempts, note.released_at) == (True, 5, TIME)
    assert note.finished_at > TIME
    assert await retries.dead() == BEFORE


async def test_a_success_in_a_batch_is_stored_though_its_neighbours_leave_nothing(run: Run) -> None:
    run.configure(batch_size=10, concurrency=1)
    await run.release([1, 2, 3])
    retries, _ = await started(run, "def handle(payloads):\n    return [None] * len(payloads)\n")
    await retries.ask(await retries.bury())
    await retries.done()
    await run.finished()
    assert await retries.note() is not None


async def test_a_success_is_stored_also_where_no_results_are_kept(run: Run) -> None:
    retries, _ = await started(run, "def handle(payload):\n    return 1\n")
    await retries.ask(await retries.bury())
    await retries.done()
    assert await retries.note() is not None


async def test_a_failure_takes_the_place_of_the_dead_letter_after_all_its_attempts(run: Run) -> None:
    run.configure(max_attempts=3)
    retries, _ = await started(
        run, "def handle(payload, task):\n    raise ValueError(f'attempt {task.attempt}')\n"
    )
    await retries.ask(await retries.bury())
    await retries.done()
    letter = await retries.dead()
    assert (letter.reason, letter.error, letter.attempts) == (
        "MaxAttempts",
        "ValueError: attempt 3 (at tasks.py:2)",
        7,
    )
    assert (letter.body, letter.released_at) == (BEFORE.body, TIME)
    assert await retries.note() is None
    await retries.ask(1)  # of the dead letter before it: that one is settled
    await retries.done()
    assert await retries.dead() == letter


async def test_nothing_is_retried_without_a_permit(run: Run) -> None:
    retries, worker = await started(run, "def handle(payload):\n    return print('called') or 1\n")
    sequence = await retries.bury()
    await retries.ask(sequence)
    await run.release([1, 2])
    await run.finished()
    assert await retries.asked() == 1
    await retries.done()
    assert worker.running


async def test_what_was_discarded_or_was_never_there_is_not_retried(run: Run) -> None:
    retries, worker = await started(run, "def handle(payload):\n    raise SystemExit('called')\n")
    await retries.ask(await retries.bury())
    await retries.bury()  # as a tombstone is written
    await retries.ask(3, index=5)
    await retries.done()
    assert await retries.note() is None
    assert await retries.dead() == BEFORE
    assert "called" not in worker.output.text


async def test_what_is_no_request_is_refused_and_told(run: Run) -> None:
    retries, worker = await started(run, "def handle(payload):\n    return 1\n")
    await retries.ask_with(b"please")
    await retries.done()
    await worker.output.line("a message that is no task: ")


async def test_a_retry_whose_worker_is_killed_is_delivered_to_another(run: Run) -> None:
    retries, first = await started(
        run,
        "import pathlib, time\n"
        "def handle(payload):\n"
        "    if not pathlib.Path('begun').exists():\n"
        "        pathlib.Path('begun').touch()\n"
        "        time.sleep(60)\n"
        "    return 1\n",
    )
    await retries.ask(await retries.bury())

    async def begun() -> bool:
        await retries.permit()
        return (run.directory / "begun").exists()

    await until("the retry has begun", begun)
    first.send(SIGKILL)
    await run.worker()
    await retries.done()
    note = await retries.note()
    assert note is not None
    assert note.attempts == BEFORE.attempts + 2  # the lost one counts


async def test_a_draining_worker_finishes_its_retry_and_begins_no_other(run: Run) -> None:
    retries, worker = await started(
        run,
        "import asyncio, pathlib\n"
        "async def handle(payload):\n"
        "    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('go').exists():\n"
        "        await asyncio.sleep(0.01)\n"
        "    return 1\n",
    )
    await retries.ask(await retries.bury())
    await retries.ask(99, index=6)

    async def begun() -> bool:
        if not (run.directory / "begun").exists():
            await retries.permit()
        return (run.directory / "begun").exists()

    await until("the retry has begun", begun)
    worker.send(SIGTERM)
    await worker.output.line("draining")
    await retries.permit(8)
    (run.directory / "go").touch()
    assert await worker.wait() == 0
    assert await retries.note() is not None


async def test_a_retry_and_a_late_copy_of_its_task_do_not_meet(run: Run) -> None:
    """The broker may deliver a task again whose dead letter is stored: both are held under names of their own."""
    retries, _ = await started(run, "def handle(payload):\n    return 1\n")
    sequence = await retries.bury(replace(BEFORE, index=0))
    await retries.ask(sequence, index=0)
    await run.release([1])
    await run.finished()
    await retries.done()
    assert await retries.note(0) is not None
