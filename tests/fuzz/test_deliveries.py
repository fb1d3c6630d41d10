"""Doctored messages to a real worker, on every subject that it reads: it says what it can't use, and works on."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from fuzz.examples import TIMES
from jetstream.worker.rig import Run, connect
from jobrun_worker.address import WORKER_INBOX
from jobrun_worker.wire import CONSUMER
from support.nats_server import NatsServer

_BODIES = [
    *(b"", b"\x00", b"\xff\xfe", b"[" * 20_000, b"{}", b"null"),
    *(b'{"failures": "x"}', b'{"failures": -1, "returns": 1e9}'),
]
_TOKENS = ["0", "1", "-1", "x", "9" * 30, "²", "", "jobrun_u", CONSUMER]
_HEADERS = [
    None,
    {"Status": "100"},
    {"Status": "409", "Description": "Consumer Deleted"},
    {"Status": "nothing", "Description": "\t"},
    {"Jobrun-Writes": "a b c", "Jobrun-Attempts": "x"},
]


async def test_a_worker_outlives_them(tmp_path: Path) -> None:
    chance = random.Random(7)
    (tmp_path / "work").mkdir()
    async with NatsServer(tmp_path / "nats") as server:
        nc = await connect(server.url)
        run = Run(nc, server, tmp_path / "work", ack_wait=1.0)
        run.configure(max_attempts=3, concurrency=4)
        run.handler("def handle(payload, task):\n    assert task.attempt > 1 or task.index % 5\n")
        await run.provision()
        for index in range(0, 40, 2):  # records of earlier attempts that are none
            await nc.publish(
                run.names.attempt(run.uid, index), chance.choice(_BODIES), headers=chance.choice(_HEADERS)
            )
        for _ in range(20):
            await nc.publish(run.names.work_subject(run.uid), chance.choice(_BODIES))
        await run.release([{"index": index} for index in range(20)])
        listening = await nc.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{run.stream}.{CONSUMER}")
        worker = await run.worker()
        inbox = (await listening.next_msg(timeout=30)).reply
        for _ in range(100 * TIMES):
            subject = chance.choice([inbox, inbox.rpartition(".")[0] + "." + (chance.choice(_TOKENS) or "z")])
            reply = ".".join(filter(None, ["$JS", "ACK", *chance.choices(_TOKENS, k=chance.randint(0, 9))]))
            await nc.publish(
                subject,
                chance.choice(_BODIES),
                chance.choice([reply, "x", ""]),
                headers=chance.choice(_HEADERS),
            )
        await nc.publish(f"{WORKER_INBOX}.no.such", b"x")
        await run.finished()
        assert worker.running
        outcomes = await run.outcomes()
        worker.send(signal.SIGTERM)
        assert await worker.wait() == 0
        assert "Traceback" not in worker.output.text
        assert "a fault of the worker itself" not in worker.output.text
        assert {index for index in outcomes if index >= 20} == set(), "tasks that are fine all succeed"
        await run.close()
        await nc.close()
