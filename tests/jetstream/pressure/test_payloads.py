"""Payloads and results at, over and far over what the broker takes in one message."""

from __future__ import annotations

import json

from jetstream.worker.rig import Run
from jobrun_worker.wire import PAYLOAD_MARGIN
from support.nats_server import NatsServer

_LARGEST = (1 << 20) - PAYLOAD_MARGIN


async def test_the_largest_payload_there_is_becomes_a_dead_letter_with_the_longest_error(run: Run) -> None:
    run.configure(max_attempts=1)
    run.handler("def handle(payload):\n    raise ValueError(chr(0x1F600) * 5000)\n")
    payload = "x" * (_LARGEST - 2)
    assert len(json.dumps(payload)) == _LARGEST
    await run.release([payload])
    await run.worker()
    await run.finished()
    outcome = (await run.outcomes())[0]
    assert json.loads(outcome.body) == payload
    assert outcome.reason == "MaxAttempts"


async def test_results_of_ten_megabytes_end_their_task_at_once_or_do_not_matter(run: Run) -> None:
    run.configure(retain_results=True)
    run.handler("async def handle(size):\n    return 'x' * size\n")
    await run.release([10_000_000, _LARGEST - 2, _LARGEST - 1])
    worker = await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    for index in (0, 2):
        assert (outcomes[index].reason, outcomes[index].attempts) == ("HandlerFailed", 1)
        assert "store it elsewhere and return a reference" in outcomes[index].error
    assert outcomes[1].succeeded
    assert len(outcomes[1].body) == _LARGEST
    await worker.kill()
    run.configure(retain_results=False)
    await run.release([10_000_000])
    await run.worker()
    await run.finished()
    assert len(await run.outcomes()) == 3  # the fourth succeeded, and left nothing


async def test_a_broker_that_takes_less_than_before_keeps_the_task_until_it_takes_more(
    run: Run, nats_server: NatsServer
) -> None:
    """What can't be stored must not cost the worker its connection, and with it its other tasks."""
    run.configure(concurrency=2, max_attempts=1)
    run.handler("""
def handle(payload):
    if payload != "small":
        raise ValueError("no")
""")
    nats_server.configure("max_payload: 200KB")
    await run.release(["x" * 500_000])
    await nats_server.restart()
    worker = await run.worker()
    await worker.output.line("storing its outcome: 500,.* bytes are more than the broker takes now")
    await run.release(["small"] * 20)
    await worker.output.line("storing its outcome: 500,.* bytes are more", after=len(worker.output.lines))
    await run.settled_but(1)
    assert "disconnected" not in worker.output.text
    assert await run.outcomes() == {}
    nats_server.configure("max_payload: 1MB")
    await nats_server.restart()
    await run.finished()
    assert (await run.outcomes())[0].reason == "MaxAttempts"
