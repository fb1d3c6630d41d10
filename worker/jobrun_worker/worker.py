"""One worker: takes tasks of a run, has them run and settled, and drains when it is told to.

    pull -> held -> gate -> attempt -> decision -> outcome or record stored -> ack or nak

Each held task is kept alive at the broker until it is settled. A task of which an earlier worker was lost runs with
nothing else held here: should it kill this worker as well, it takes no neighbour along.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from nats.aio.msg import Msg

from jobrun_worker.attempts import DONE, Attempts
from jobrun_worker.batches import Batches
from jobrun_worker.broker import Broker
from jobrun_worker.decisions import Bury, Complete, Failed, Result, RunAlone, Succeeded, before_run
from jobrun_worker.errors import BrokerUnavailable
from jobrun_worker.gate import Gate
from jobrun_worker.handlers import Handler
from jobrun_worker.held import Held
from jobrun_worker.hold import Hold
from jobrun_worker.keeping import Keeping, Kept
from jobrun_worker.metrics import SUCCEEDED, WorkerMetrics
from jobrun_worker.pull import Puller
from jobrun_worker.pulses import Pulses
from jobrun_worker.retrying import until_available
from jobrun_worker.runners import Runners
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.settlement import Settlement
from jobrun_worker.shared_hold import SharedHold
from jobrun_worker.store import Store
from jobrun_worker.trial import Trial
from jobrun_worker.wire import CONSUMER, Delivery, Names, RetryRequest, permits

log = logging.getLogger(__name__)

IN_PROGRESS = b"+WPI"
TERMINATE = b"+TERM"
DRAIN, ALONE = "drain", "alone"
"""Why tasks don't start."""


class Worker:
    def __init__(self, settings: WorkerSettings, handler: Handler, metrics: WorkerMetrics) -> None:
        self._settings = settings
        self._handler = handler
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        names = Names(settings.prefix)
        self._held: dict[int, Held] = {}
        """By their key."""
        self._gate = Gate(settings.concurrency)
        self.broker = Broker(settings)
        self.puller = Puller(
            self.broker,
            names.work_stream(settings.uid),
            names.retry_stream(settings.uid),
            settings.slots,
            self._held.__len__,
            partial(self._arrived, self._took),
            partial(self._arrived, self._took_retry),
        )
        self._permits = names.again(settings.uid)
        self._hold = Hold(self._gate, self.puller)
        self._trial = Trial(self._hold, self._resize)
        self._shared_hold = SharedHold(self.broker, names, settings.uid, self._hold, self._trial)
        self._pulses = Pulses(partial(self._pulse, names.pulse(settings.uid)))
        self._store = Store(self.broker, names, settings.uid)
        self._settlement = Settlement(settings, self.broker, self._store, self._hold, self._shared_hold)
        self._keeping = Keeping(
            self.broker, names, settings.uid, settings.worker, self._stored, self._not_stored
        )
        self._attempts = Attempts(settings, handler, self.stop)
        self._runners = Runners(self._process)
        self._batches = Batches(self._gate, max(1, settings.batch_size), self._call, self._return)
        self._alone: Held | None = None
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()
        """Something was settled, or there is another reason to look again; set only while somebody waits."""
        self._helpers: set[asyncio.Task[None]] = set()
        self._code = 0
        self.failure = ""
        """Why it ends, where that was not asked for."""
        self.came_up = False
        """Whether it is, or was, ready for tasks."""
        self.on_up: Callable[[], None] = lambda: None
        """Called once, before the first task can come."""
        self.beat = self._loop.time()
        """When the keep-alive last ran, on the loop's clock."""
        self.beat_limit = max(10.0, settings.ack_wait_seconds)
        """Seconds without a beat after which the worker is taken for wedged."""
        self.on_exhausted: Callable[[MemoryError], None] = self._broken
        """Called where this process is out of memory, with other tasks than the one that needs it in its hands."""
        self.broker.on_disconnect = self._disconnected
        self.broker.on_connect = self._connected

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

    # Life

    async def run(self) -> int:
        """Work until ``stop``; returns the exit status of the process."""
        if not await self._connect():
            return self._code
        await self._handler.open()
        self._spawn(self._keep_alive())
        self._spawn(self._shared_hold.run())
        self._spawn(self.puller.run())
        if self._settings.batch_size:
            self._spawn(self._batches.run())
        self._spawn(self._hear_permits())
        if self._settings.retain_results:
            self._spawn(self._keeping.open())
        try:
            log.info("ready: %d tasks at a time", self._settings.slots)
            await self._shared_hold.first()
            self.came_up = True
            self.on_up()
            self.puller.start()
            await self._stop.wait()
            await self._drain()
        finally:
            for helper in self._helpers:
                helper.cancel()
            self._hold.close()
            self._pulses.close()
            self._attempts.close()
            self._keeping.close()
            await self._handler.close()
            await self.broker.close()
        return self._code

    async def _connect(self) -> bool:
        """False: asked to stop before there was a connection, or there can't be one."""
        connecting = asyncio.create_task(self.broker.connect())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not connecting.done():
            connecting.cancel()
            await asyncio.wait({connecting})
            return False
        if (error := connecting.exception()) is not None:
            self.failure = f"can't connect to the broker: {error}"
            log.error("%s", self.failure)
            self._code = 1
        return error is None

    async def _drain(self) -> None:
        """Hand back what has not begun, finish the rest within the grace period, abandon what is left of it."""
        try:
            async with asyncio.timeout(self._settings.grace_seconds):
                await self.puller.quiet()
                while self._held:
                    self._settled.clear()
                    await self._settled.wait()
                self._pulses.close()
                if self.broker.connected:
                    await self.broker.flush()
                elif self.broker.unsaid:
                    raise BrokerUnavailable("there is no connection")
            log.info("drained")
        except BrokerUnavailable as error:
            log.warning("drained, but the last acks may be lost: %s", error)
        except TimeoutError:
            await self._abandon()

    async def _abandon(self) -> None:
        """The grace period is over. What still runs leaves no record, so it counts as lost with its worker."""
        log.warning(
            "%d tasks did not finish within %g s; they will be delivered again",
            len(self._held),
            self._settings.grace_seconds,
        )
        self._attempts.abandon()
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
        self.failure = f"a fault of the worker itself: {error}"
        log.error("%s", self.failure, exc_info=error)
        self._code = 1
        self.stop("a fault of the worker itself")

    def _disconnected(self) -> None:
        self._metrics.connected.set(0)
        self.puller.reset()

    def _connected(self) -> None:
        self._metrics.connected.set(1)
        self._handler.limit_result(self.broker.max_body)
        self.puller.wake()
        self._shared_hold.wake()
        self._touch()

    async def _keep_alive(self) -> None:
        """Tell the broker of every task held, often enough that none is taken for lost."""
        while True:
            self.beat = self._loop.time()
            if self.broker.connected:  # what is told without a connection is kept for the next one
                self._touch()
            await asyncio.sleep(self._settings.ack_wait_seconds / 3)

    def _touch(self) -> None:
        for held in self._held.values():
            if not held.settled:
                self.broker.tell(held.reply, IN_PROGRESS)

    async def _hear_permits(self) -> None:
        """One worker hears each: the queue group."""

        async def heard(message: Msg) -> None:
            self.puller.permit(permits(message.data))

        await until_available(
            "permits to retry", lambda: self.broker.subscribe(self._permits, heard, queue=CONSUMER)
        )

    # A task, from its delivery to its end

    def _arrived(self, took: Callable[[bytes, bytes], None], tasks: list[tuple[bytes, bytes]]) -> None:
        """On the path of every task: nothing here waits, and nothing fails, since it is called by the connection."""
        for reply, payload in tasks:
            try:
                took(reply, payload)
            except ValueError as error:
                log.error("a message that is no task: %s", error)
            except MemoryError as error:
                self.on_exhausted(error)
            except Exception as error:
                self._broken(error)

    def _took(self, reply: bytes, payload: bytes) -> None:
        delivery = Delivery.parse(reply)
        held = self._held.get(delivery.index)
        if held is not None:
            held.adopt(delivery, reply)
            self.puller.wake()
            return
        held = self._held[delivery.index] = Held.of(delivery, reply, payload)
        if delivery.delivered == 1:
            if self._settings.batch_size:
                if self.puller.narrowed:
                    self.puller.narrow(False)
                self._batch(held)
            else:
                self._runners.add(held)
        else:
            held.runner = self._loop.create_task(self._process(held))

    def _took_retry(self, reply: bytes, payload: bytes) -> None:
        delivery = Delivery.parse(reply)
        try:
            request = RetryRequest.decode(payload)
        except ValueError:
            self.broker.tell(reply, TERMINATE)
            raise
        new = Held.of_retry(delivery, reply, request)
        held = self._held.setdefault(new.key, new)
        if held is not new:
            held.adopt(delivery, reply)
            self.puller.wake()
            return
        held.runner = self._loop.create_task(self._process(held))

    async def _process(self, held: Held) -> None:
        try:
            if held.dead_letter is not None and not await self._store.read_dead_letter(held):
                self._settlement.ack(held)  # it is settled already
            elif held.first == 1:
                self.puller.narrow(False)
                await self._among_others(held)
            else:
                await self._again(held)
        except MemoryError as error:
            self.on_exhausted(error)
        except Exception as error:
            self._broken(error)
        finally:
            if not (held.kept or held.batched):
                self._done(held)

    def _done(self, held: Held) -> None:
        del self._held[held.key]
        self._freed()

    def _freed(self) -> None:
        self.puller.wake()
        if self._alone is not None or self._stop.is_set():
            self._settled.set()

    async def _again(self, held: Held) -> None:
        """A task that was delivered before: its record says what became of that."""
        self._metrics.redelivered.inc()
        await self._store.read_record(held)
        held.lost = held.record.lost(held.first)
        verdict = before_run(held.first, held.record, self._settings.max_attempts)
        if isinstance(verdict, Bury):
            await self._settlement.bury(held, verdict, time.time_ns())
            return
        held.attempt = verdict.attempt
        if self._is_last(held) and self._trial.spares(held.key):
            await self._settlement.hand_back(held, self._trial.rest)
            return
        if isinstance(verdict, RunAlone):
            await self._by_itself(held)
        else:
            self.puller.narrow(False)
            await self._among_others(held)

    async def _among_others(self, held: Held) -> None:
        if self._settings.batch_size and not self._is_last(held):
            self._batch(held)
        elif self._gate.try_enter() or await self._gate.enter():
            await self._run(held)
        else:
            await self._hand_back(held)

    def _is_last(self, held: Held) -> bool:
        """Whether it has failed before, and has one attempt left: in a batch it is not to fail with another."""
        return 0 < held.record.failures == self._settings.max_attempts - 1

    # Batches

    def _batch(self, held: Held) -> None:
        held.batched = True
        self._batches.add(held)

    async def _call(self, batch: list[Held]) -> None:
        """After the gate has been entered. What went well is over at once; the rest ends as it does alone."""
        began = time.perf_counter()
        try:
            try:
                results = await self._attempts.run_batch(batch)
            finally:
                self._gate.leave()
        except MemoryError as error:
            self.on_exhausted(error)
        except Exception as error:
            self._broken(error)
        else:
            self._end_batch(batch, results, time.perf_counter() - began)
            return
        for held in batch:
            self._done(held)

    def _end_batch(self, batch: list[Held], results: list[Result], seconds: float) -> None:
        ended = list(zip(batch, results, strict=True))
        stores = self._settings.retain_results
        if not stores and all(result is DONE and held.dead_letter is None for held, result in ended):
            self._all_over(batch, seconds)
            return
        rest = self._trial.rest
        for held, result in ended:
            if not isinstance(result, Succeeded):
                self._failed(result)
            elif self._succeeded(held, result, seconds):
                if not held.kept:
                    self._done(held)
                continue
            held.runner = self._loop.create_task(self._settle(held, result, rest, seconds))

    def _all_over(self, batch: list[Held], seconds: float) -> None:
        """A batch of tasks that went well and leave nothing to store, as most do."""
        self._pulses.succeeded(len(batch))
        self._trial.succeeded()
        for held in batch:
            self._settlement.ack(held)
            del self._held[held.key]
        self._metrics.attempt(SUCCEEDED, seconds, len(batch))
        self._freed()

    async def _settle(self, held: Held, result: Result, rest: float, seconds: float) -> None:
        try:
            self._metrics.attempt(await self._settlement.settle(held, result, rest), seconds)
        except Exception as error:
            self._broken(error)
        finally:
            self._done(held)

    async def _return(self, held: Held) -> None:
        try:
            await self._hand_back(held)
        except Exception as error:
            self._broken(error)
        finally:
            self._done(held)

    # What runs on its own

    async def _by_itself(self, held: Held) -> None:
        """Everything else leaves this worker first: running tasks by finishing, waiting ones by going back.

        While it waits, one of those that run may kill this worker; that is not to be charged to the one that waits.
        Afterwards tasks are taken one by one until one comes that was not lost: others that were lost with the same
        worker are then found without anything to hand back.
        """
        while self._alone is not None and await self._gate.enter():
            self._gate.leave()
        if self._alone is not None or self._gate.refusing:
            await self._hand_back(held)
            return
        self._alone = held
        self._gate.bar(ALONE)
        self.puller.block(ALONE)
        try:
            if self._gate.running:
                await self._settlement.excuse(held)
            await self.puller.quiet()
            self._gate.refuse(ALONE)
            if await self._only_one():
                await self._settlement.charge(held)
                log.info("task %d: runs alone, since a worker was lost with it", held.index)
                held.alone = True
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
        while len(self._held) > 1 and not self._stop.is_set() and not self._hold.on:
            self._settled.clear()
            await self._settled.wait()
        await until_available("before a task that runs alone", self.broker.flush)
        return not self._stop.is_set() and not self._hold.on

    async def _run(self, held: Held) -> None:
        """After the gate has been entered."""
        began = time.perf_counter()
        try:
            result = await self._attempts.run(held)
        finally:
            self._gate.leave()
        seconds = time.perf_counter() - began
        if isinstance(result, Succeeded):
            if self._succeeded(held, result, seconds):
                return
            rest = 0.0
        else:
            rest = self._trial.rest
            self._failed(result)
        self._metrics.attempt(await self._settlement.settle(held, result, rest), seconds)

    def _succeeded(self, held: Held, result: Succeeded, seconds: float) -> bool:
        """True: that is all, or its result is on its way. False: it is to be settled, which waits for the broker."""
        self._pulses.succeeded()
        self._trial.succeeded()
        if held.dead_letter is not None:
            return False
        if self._settings.retain_results:
            return self._keep(held, result, seconds)
        self._settlement.ack(held)
        self._metrics.attempt(SUCCEEDED, seconds)
        return True

    def _failed(self, result: Result) -> None:
        """Take notice of what says something about the partner: what a task is given up for, or throttled by, does
        not."""
        if isinstance(result, Failed):
            self._pulses.failed(result.error)
            self._shared_hold.failed(result.error)

    def _pulse(self, subject: str, body: bytes) -> None:
        if self.broker.connected:
            self.broker.tell(subject.encode(), body)

    def _resize(self, one_at_a_time: bool) -> None:
        settings = self._settings
        self._gate.resize(1 if one_at_a_time else settings.concurrency)
        self.puller.resize(1 if one_at_a_time else settings.slots)

    def _keep(self, held: Held, result: Succeeded, seconds: float) -> bool:
        """Have its result stored without waiting for it; False: not here and now."""
        if held.alone:
            return False
        attempts = held.record.failures + held.lost + 1
        held.kept = self._keeping.keep(held, result.body, attempts, time.time_ns(), seconds)
        if held.kept:
            held.runner = None  # goes on to others
        return held.kept

    def _stored(self, kept: Kept) -> None:
        self._settlement.ack(kept.held)
        self._metrics.attempt(SUCCEEDED, kept.seconds)
        self._done(kept.held)

    def _not_stored(self, kept: Kept) -> None:
        held = kept.held
        held.kept = False
        held.runner = self._loop.create_task(self._store_patiently(held, kept))

    async def _store_patiently(self, held: Held, kept: Kept) -> None:
        try:
            await self._settlement.complete(held, Complete(kept.body, kept.attempts), kept.finished_ns)
            self._metrics.attempt(SUCCEEDED, kept.seconds)
        except Exception as error:
            self._broken(error)
        finally:
            self._done(held)

    async def _hand_back(self, held: Held) -> None:
        await self._settlement.hand_back(held, self._hold.left())
        self._metrics.handed_back.inc()
