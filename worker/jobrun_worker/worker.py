"""One worker process: takes tasks of a run, runs the handler, stores outcomes, acks; drains when asked to.

    pull -> held -> gate -> handler -> decision -> outcome or record stored -> ack or nak

Nothing is acked before its outcome is stored. Each held task is kept alive at the broker until it is settled.
A task of which an earlier worker was lost runs with nothing else held here: should it kill this worker as well, it
takes no neighbour along.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from typing import Any

from nats.aio.msg import Msg

from jobrun_worker import metrics as outcomes
from jobrun_worker.broker import Broker
from jobrun_worker.deadlines import Deadlines
from jobrun_worker.decisions import (
    Again,
    Bury,
    Complete,
    Failed,
    GaveUp,
    Hold,
    Paused,
    Result,
    RetryPolicy,
    RunAlone,
    Succeeded,
    after_run,
    before_run,
    hand_back,
    hold_seconds,
)
from jobrun_worker.describe import describe, shorten
from jobrun_worker.errors import BrokerUnavailable
from jobrun_worker.gate import Gate
from jobrun_worker.handlers import AttemptFailed, Handler
from jobrun_worker.held import Held
from jobrun_worker.instructions import Fail, Retry, Throttled
from jobrun_worker.metrics import WorkerMetrics
from jobrun_worker.pull import Puller
from jobrun_worker.retrying import until_available
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.store import Store
from jobrun_worker.task import Task
from jobrun_worker.wire import AttemptRecord, Delivery, Names, Outcome, format_time

log = logging.getLogger(__name__)

ACK, IN_PROGRESS = b"+ACK", b"+WPI"
DRAIN, HOLD, ALONE = "drain", "hold", "alone"
"""Why tasks don't start."""
INSISTS = 5.0
"""Seconds that a cancelled handler has to end."""


class Worker:
    def __init__(self, settings: WorkerSettings, handler: Handler, metrics: WorkerMetrics) -> None:
        self._settings = settings
        self._handler = handler
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._policy = RetryPolicy(
            settings.max_attempts, settings.retry_initial_delay_seconds, settings.retry_max_delay_seconds
        )
        names = Names(settings.prefix)
        self.broker = Broker(settings)
        self._store = Store(self.broker, names, settings.uid)
        self._held: dict[int, Held] = {}
        self._gate = Gate(settings.concurrency)
        self._deadlines = Deadlines(settings.task_timeout_seconds, self._over_limit)
        self.puller = Puller(
            self.broker,
            names.work_stream(settings.uid),
            settings.concurrency,
            self._held.__len__,
            self._arrived,
        )
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()
        self._alone: Held | None = None
        self._hold_until = 0.0
        self._release: asyncio.TimerHandle | None = None
        self._helpers: set[asyncio.Task[None]] = set()
        self._abandoned = False
        self._code = 0
        self.beat = self._loop.time()
        """When the keep-alive last ran, on the loop's clock."""
        self.beat_limit = max(10.0, settings.ack_wait_seconds)
        """Seconds without a beat after which the worker is taken for wedged."""
        self.broker.on_disconnect = self._disconnected
        self.broker.on_connect = self._connected
        self.broker.on_renewed = self.puller.forget

    # ------------------------------------------------------------------ life

    @property
    def draining(self) -> bool:
        return self._stop.is_set()

    @property
    def stuck(self) -> bool:
        """Whether a handler runs on although it was cancelled: the process can't end in the ordinary way."""
        return self._handler.stuck > 0 or any(
            held.runner is not None and not held.runner.done() for held in self._held.values()
        )

    @property
    def held(self) -> int:
        """Tasks delivered and not settled."""
        return len(self._held)

    @property
    def running(self) -> int:
        """Tasks whose handler runs."""
        return self._gate.running

    def stop(self, why: str) -> None:
        """Begin to drain; safe to call more than once."""
        if not self._stop.is_set():
            log.info("draining: %s", why)
            self._gate.refuse(DRAIN)
            self.puller.block(DRAIN)
            self._stop.set()
            self._settled.set()

    def kill(self) -> None:
        """End what handlers run outside of this process: it is about to exit."""
        self._handler.kill()

    async def run(self) -> int:
        """Work until ``stop``; returns the exit status of the process."""
        if not await self._connect():
            return self._code
        self._handler.limit_result(self.broker.max_body)
        await self._handler.open()
        self._spawn(self._keep_alive())
        self._spawn(self.puller.run())
        try:
            log.info("ready: %d tasks at a time", self._settings.concurrency)
            self.puller.start()
            await self._stop.wait()
            await self._drain()
        finally:
            for helper in self._helpers:
                helper.cancel()
            self._deadlines.close()
            await self._handler.close()
            await self.broker.close()
        return self._code

    async def _connect(self) -> bool:
        """False: asked to stop before there was a connection."""
        connecting = asyncio.create_task(self.broker.connect())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if connecting.done():
            if (error := connecting.exception()) is not None:
                log.error("can't connect to the broker: %s", error)
                self._code = 1
            return error is None
        connecting.cancel()
        await asyncio.wait({connecting})
        return False

    async def _drain(self) -> None:
        """Hand back what has not begun, finish the rest within the grace period, abandon what is left of it."""
        try:
            async with asyncio.timeout(self._settings.grace_seconds):
                await self.puller.quiet()
                while self._held:
                    self._settled.clear()
                    await self._settled.wait()
                if self.broker.connected:
                    await self.broker.flush()
            log.info("drained")
        except BrokerUnavailable as error:
            log.warning("drained, but the last acks may be lost: %s", error)
        except TimeoutError:
            log.warning(
                "%d tasks did not finish within %g s; they will be delivered again",
                len(self._held),
                self._settings.grace_seconds,
            )
            self._abandoned = True
            self._handler.kill()
            runners = [held.runner for held in self._held.values() if held.runner is not None]
            for runner in runners:
                runner.cancel()
            if runners:
                await asyncio.wait(runners, timeout=1.0)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the tasks. Should it fail, the worker can't be trusted and gives way to another."""
        helper = asyncio.create_task(work)
        self._helpers.add(helper)
        helper.add_done_callback(self._helper_done)

    def _helper_done(self, helper: asyncio.Task[None]) -> None:
        self._helpers.discard(helper)
        if not helper.cancelled() and (error := helper.exception()) is not None:
            self._broken(error)

    def _broken(self, error: BaseException) -> None:
        log.error("a fault of the worker itself: %s", error, exc_info=error)
        self._code = 1
        self.stop("a fault of the worker itself")

    def _disconnected(self) -> None:
        self._metrics.connected.set(0)
        self.puller.reset()

    def _connected(self) -> None:
        self._metrics.connected.set(1)
        self.puller.wake()
        if self._held:
            self._spawn(self._touch())

    async def _keep_alive(self) -> None:
        """Tell the broker of every task held, often enough that none is taken for lost."""
        while True:
            self.beat = self._loop.time()
            await self._touch()
            await asyncio.sleep(self._settings.ack_wait_seconds / 3)

    async def _touch(self) -> None:
        if not self.broker.connected:
            return
        try:
            for held in list(self._held.values()):
                if not held.settled:
                    await self.broker.publish(held.reply, IN_PROGRESS)
        except BrokerUnavailable as error:
            log.warning("keep-alive: %s", error)

    # ------------------------------------------------------------------ a task

    def _arrived(self, message: Msg) -> None:
        """On the path of every task: nothing here waits."""
        try:
            delivery = Delivery.parse(message.reply)
        except ValueError as error:
            log.error("a message that is no task: %s", error)
            return
        held = self._held.get(delivery.index)
        if held is not None:
            held.adopt(delivery, message.reply)
            self.puller.wake()
            return
        held = Held.of(delivery, message.reply, message.data)
        self._held[held.index] = held
        held.runner = self._loop.create_task(self._process(held))

    async def _process(self, held: Held) -> None:
        try:
            if held.first == 1:
                self.puller.narrow(False)
                await self._process_among_others(held)
            else:
                self._metrics.redelivered.inc()
                await self._process_again(held)
        except Exception as error:
            self._broken(error)
        finally:
            del self._held[held.index]
            self.puller.wake()
            if self._alone is not None or self._stop.is_set():
                self._settled.set()

    async def _process_again(self, held: Held) -> None:
        """A task that was delivered before: its record says what became of that."""
        await self._store.read_record(held)
        held.lost = held.record.lost(held.first)
        verdict = before_run(held.first, held.record, self._settings.max_attempts)
        if isinstance(verdict, Bury):
            held.started_ns = time.time_ns()
            await self._bury(held, verdict)
            return
        held.attempt = verdict.attempt
        if isinstance(verdict, RunAlone):
            await self._process_alone(held)
        else:
            self.puller.narrow(False)
            await self._process_among_others(held)

    async def _process_among_others(self, held: Held) -> None:
        if self._gate.try_enter() or await self._gate.enter():
            await self._run(held)
        else:
            await self._hand_back(held)

    async def _process_alone(self, held: Held) -> None:
        """Everything else leaves this worker first: running tasks by finishing, waiting ones by going back."""
        while self._alone is not None and await self._gate.enter():
            self._gate.leave()
        if self._alone is not None or self._gate.refusing:
            await self._hand_back(held)
            return
        self._alone = held
        self._gate.bar(ALONE)
        self.puller.narrow(True)
        self.puller.block(ALONE)
        try:
            await self.puller.quiet()
            self._gate.refuse(ALONE)
            if await self._only_one():
                log.info("task %d: runs alone, since a worker was lost with it", held.index)
                self._gate.enter_alone()
                await self._run(held)
            else:
                await self._hand_back(held)
        finally:
            self._alone = None
            self._gate.open(ALONE)
            self.puller.narrow(True)
            self.puller.start(ALONE)

    async def _only_one(self) -> bool:
        """Wait until nothing else is held here, and the broker knows it. False: this one is to go back as well."""
        while len(self._held) > 1 and not self._stop.is_set() and not self._holding:
            self._settled.clear()
            await self._settled.wait()
        await until_available("before a task that runs alone", self.broker.flush)
        return not self._stop.is_set() and not self._holding

    async def _run(self, held: Held) -> None:
        """After the gate has been entered."""
        settings = self._settings
        held.started_ns = time.time_ns()
        task = Task(
            held.index, held.attempt, settings.run, settings.namespace, f"{settings.uid}-{held.index}"
        )
        self._deadlines.add(held)
        began = time.perf_counter()
        try:
            result = await self._call(held, task)
        finally:
            self._deadlines.discard(held)
            self._gate.leave()
        seconds = time.perf_counter() - began
        if isinstance(result, Succeeded) and not settings.retain_results:
            self._metrics.attempt(outcomes.SUCCEEDED, seconds)
            await self._reply(held, ACK)
        else:
            self._metrics.attempt(await self._settle(held, result), seconds)

    async def _call(self, held: Held, task: Task) -> Result:
        try:
            body = await self._handler(held.payload, task)
        except asyncio.CancelledError:
            if self._abandoned:
                raise
            if not held.timed_out:
                return Failed("CancelledError: the handler was cancelled from within")
        except Retry as retry:
            return Failed(shorten(str(retry)), retry.after)
        except Fail as fail:
            return GaveUp(shorten(str(fail)))
        except Throttled as throttled:
            return Paused(throttled.seconds, shorten(str(throttled)))
        except AttemptFailed as failed:
            if not held.timed_out:
                return Failed(shorten(str(failed)))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            log.debug("task %d: attempt %d", held.index, held.attempt, exc_info=error)
            if not held.timed_out:
                return Failed(describe(error))
        else:
            if not held.timed_out:
                return Succeeded(body)
        # Over its limit, whatever it made of its cancellation.
        while held.runner is not None and held.runner.cancelling():
            held.runner.uncancel()
        if self._handler.stuck:
            self.stop(
                "a handler's thread is over its time limit and can't be ended, so this process is replaced"
            )
        return Failed(f"timed out after {self._settings.task_timeout_seconds:g} s")

    def _over_limit(self, held: Held) -> None:
        held.timed_out = True
        if held.runner is not None:
            held.runner.cancel()
        self._loop.call_later(INSISTS, self._replace_if_deaf, held)

    def _replace_if_deaf(self, held: Held) -> None:
        if held.deadline:
            self.stop(f"the handler of task {held.index} ignores its time limit, so this process is replaced")

    # ------------------------------------------------------------------ its end

    async def _settle(self, held: Held, result: Result) -> str:
        """Store what a result means, then tell the broker; returns the outcome that metrics count."""
        finished = time.time_ns()
        if isinstance(result, Paused):
            self._hold(hold_seconds(result.seconds), result.reason)
        roll = random.random()  # noqa: S311  # jitter, no secret
        verdict: Complete | Bury | Again | Hold

        def change(record: AttemptRecord) -> AttemptRecord | None:
            nonlocal verdict
            verdict = after_run(result, record, self._policy, lost=held.lost, roll=roll)
            return verdict.record if isinstance(verdict, Again | Hold) else None

        await self._store.write_record(held, change)
        if isinstance(verdict, Complete):
            await self._store.store_outcome(self._outcome(held, finished, verdict.attempts, verdict.body))
            await self._reply(held, ACK)
            return outcomes.SUCCEEDED
        if isinstance(verdict, Bury):
            await self._bury(held, verdict, finished)
            return outcomes.DEAD
        if isinstance(verdict, Hold):
            await self._reply(held, nak(self._hold_left()))
            return outcomes.THROTTLED
        await self._reply(held, nak(verdict.delay))
        log.info(
            "task %d: attempt %d failed, the next one in %.1f s: %s",
            held.index,
            held.attempt,
            verdict.delay,
            verdict.record.error,
        )
        return outcomes.FAILED

    async def _bury(self, held: Held, verdict: Bury, finished: int = 0) -> None:
        log.warning(
            "task %d: dead letter (%s) after %d attempts: %s",
            held.index,
            verdict.reason,
            verdict.attempts,
            verdict.error,
        )
        finished = finished or time.time_ns()
        outcome = self._outcome(held, finished, verdict.attempts, held.payload, verdict.reason, verdict.error)
        if not await self._store.store_outcome(outcome):
            log.info("task %d: had an outcome already, which stands", held.index)
        await self._reply(held, ACK)

    async def _hand_back(self, held: Held) -> None:
        """Its handler has not begun: the broker delivers it again, and nothing is charged."""
        await self._store.write_record(held, hand_back)
        self._metrics.handed_back.inc()
        await self._reply(held, nak(0.0 if self._stop.is_set() else self._hold_left()))

    async def _reply(self, held: Held, word: bytes) -> None:
        """The last word about a delivery. It waits for no answer: lost, the task comes again."""
        held.settled = True
        try:
            await self.broker.publish(held.reply, word)
        except BrokerUnavailable:
            await until_available(
                f"task {held.index}: its ack or nak", lambda: self.broker.publish(held.reply, word)
            )

    def _outcome(
        self, held: Held, finished_ns: int, attempts: int, body: bytes, reason: str = "", error: str = ""
    ) -> Outcome:
        return Outcome(
            index=held.index,
            succeeded=not reason,
            body=body,
            attempts=attempts,
            worker=self._settings.worker,
            released_at=format_time(held.released_ns),
            started_at=format_time(held.started_ns),
            finished_at=format_time(finished_ns),
            reason=reason,
            error=error,
        )

    # ------------------------------------------------------------------ holds

    @property
    def _holding(self) -> bool:
        return self._release is not None

    def _hold_left(self) -> float:
        """Seconds."""
        return max(0.0, self._hold_until - self._loop.time())

    def _hold(self, seconds: float, reason: str) -> None:
        """Take nothing for so long; what has not begun goes back for so long as well."""
        until = self._loop.time() + seconds
        if until <= self._hold_until:
            return
        log.info("takes no tasks for %.1f s: %s", seconds, reason)
        self._hold_until = until
        if self._release is not None:
            self._release.cancel()
        else:
            self._gate.refuse(HOLD)
            self.puller.block(HOLD)
            self._spawn(self.puller.quiet())
            self._settled.set()
        self._release = self._loop.call_at(until, self._resume)

    def _resume(self) -> None:
        self._release = None
        self._gate.open(HOLD)
        self.puller.start(HOLD)


def nak(delay: float) -> bytes:
    """``-NAK``, with a delay in seconds (source: ADR-15 and nats-server's ConsumerNakOptions, nanoseconds)."""
    return b'-NAK {"delay": %d}' % int(delay * 1e9) if delay > 0 else b"-NAK"
