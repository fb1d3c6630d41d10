"""``python -m faults.engine FOLDER URL``: the engine as a process of its own, made of the parts that the local mode
and the operator are made of, so that it can be killed, frozen and cut off without its broker or its workers.

The resource is ``jobrun.json`` in FOLDER. Workers are asked for as from a Deployment: ``desired`` holds how many, which
outlives this process; ``observed`` holds how many run and are ready, as whoever runs them has written it.
Exit status: 0 when the run has ended, 3 where the broker can't be reached.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from jobrun_operator.api import JobRun
from jobrun_operator.engine.ports import WorkersState
from jobrun_operator.engine.run import EngineSettings, Ports, RunEngine
from jobrun_operator.errors import JobRunError
from jobrun_operator.jetstream.client import JetStream, close, connect
from jobrun_operator.jetstream.holds import JetStreamHolds
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.pulses import JetStreamPulses
from jobrun_operator.jetstream.reports import JetStreamAudit, JetStreamLiveStatus
from jobrun_operator.jetstream.retries import JetStreamRetries
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_operator.local.store import RunStore
from jobrun_operator.tasks import SourcePorts, open_source
from jobrun_worker.address import BrokerAddress

ACK_WAIT_SECONDS = 3.0
INTERVAL = 0.25
"""Seconds between two looks at the run."""
NO_BROKER = 3


class AskedWorkers:
    """The ``Workers`` port on two files."""

    def __init__(self, folder: Path) -> None:
        self._desired, self._observed = folder / "desired", folder / "observed"

    async def scale(self, run: JobRun, replicas: int) -> None:
        replace_text(self._desired, str(replicas))

    async def observe(self, uid: str) -> WorkersState:
        desired, observed = read_text(self._desired), read_text(self._observed)
        running, ready = json.loads(observed) if observed else (0, 0)
        return WorkersState(desired=int(desired or 0), running=running, ready=ready)

    async def remove(self, uid: str) -> None:
        replace_text(self._desired, "0")


class _NoEvents:
    async def publish(self, run: JobRun, *, reason: str, message: str, warning: bool) -> None:
        """Nobody listens."""


def read_text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def replace_text(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


async def main(folder: Path, url: str) -> int:
    store = RunStore(folder)
    run = store.load()
    assert run is not None
    try:
        client = await connect(BrokerAddress(url), "engine", timeout=5)
    except JobRunError as error:
        logging.warning("%s", error)
        return NO_BROKER
    try:
        js = JetStream(client)
        settings = LayoutSettings(
            installation="faults",
            ack_wait_seconds=ACK_WAIT_SECONDS,
            work_max_bytes=-1,
            events_max_bytes=-1,
        )
        streams = JetStreamWorkStreams(js, settings)
        try:
            await streams.provision_installation()
        except JobRunError as error:
            logging.warning("%s", error)
            return NO_BROKER
        holds = JetStreamHolds(js, settings.names)
        await holds.open()
        pulses = JetStreamPulses(js, settings.names)
        await pulses.open()
        ports = Ports(
            streams=streams,
            observer=JetStreamObserver(js, settings),
            publisher=JetStreamPublisher(js, settings.names),
            audit=JetStreamAudit(js, settings),
            live=JetStreamLiveStatus(js, settings),
            statuses=store,
            events=_NoEvents(),
            workers=AskedWorkers(folder),
            holds=holds,
            pulses=pulses,
            retries=JetStreamRetries(js, settings),
            open_source=lambda run: open_source(
                run.spec.tasks, namespace=run.namespace, ports=SourcePorts(), max_payload=1 << 20
            ),
            now=lambda: datetime.fromtimestamp(time.time(), UTC),  # the clock that can be stepped
        )
        engine = RunEngine(run, ports, EngineSettings(interval=INTERVAL, live_interval=INTERVAL))
        await engine.main()
        return 0
    finally:
        await close(client)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(asyncio.run(main(Path(sys.argv[1]), sys.argv[2])))
