"""What handlers say about their tasks, and what is stored of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import urllib.error
import urllib.request

from aiohttp import web

from jetstream.worker.rig import Run, free_port, until
from jetstream.worker.test_time_limits import endpoint
from jobrun_worker.wire import Outcome


async def test_the_first_outcome_stands(run: Run) -> None:
    """A dead letter is there already when the worker succeeds, and a success when it fails."""
    run.configure(retain_results=True, max_attempts=1)
    run.handler("def handle(payload):\n    return 1 / payload\n")
    ours = {
        "attempts": 1,
        "worker": "other",
        "released_at": "",
        "started_at": "",
        "finished_at": "",
    }
    first = [
        Outcome(index=0, succeeded=False, body=b"1", reason="WorkerLost", error="gone", **ours),  # type: ignore[arg-type]
        Outcome(index=1, succeeded=True, body=b'"kept"', **ours),  # type: ignore[arg-type]
    ]
    for outcome in first:
        subject = run.names.ok if outcome.succeeded else run.names.dead
        await run.nc.request(
            subject(run.uid, outcome.index), outcome.body, headers=outcome.headers(), timeout=10
        )
    await run.release([1, 0])
    worker = await run.worker()
    await run.finished()
    assert await run.outcomes() == dict(enumerate(first))
    await worker.output.line("task 1: had an outcome already")


async def test_fail_is_final_and_retry_has_its_own_delay(run: Run) -> None:
    run.handler("""
from jobrun_worker import Fail, Retry
async def handle(payload, task):
    if payload == "fail":
        raise Fail("no such record")
    if task.attempt == 1:
        raise Retry(0.01, "not yet")
""")
    await run.release(["fail", "retry"])
    worker = await run.worker()
    await run.finished()
    outcome = (await run.outcomes())[0]
    assert (outcome.reason, outcome.error, outcome.attempts) == ("HandlerFailed", "no such record", 1)
    await worker.output.line("task 1: attempt 1 failed, the next one in 0.0 s: not yet")


async def test_throttled_uses_no_attempt_and_holds_the_run(run: Run) -> None:
    run.configure(max_attempts=1, concurrency=4)
    run.handler("""
import asyncio, os, time
from jobrun_worker import Throttled
async def handle(payload, task):
    with open("began", "a") as began:
        print(task.index, task.attempt, time.monotonic(), file=began)
    if task.index == 0 and not os.path.exists("throttled"):
        open("throttled", "w").close()
        raise Throttled(1.5, "slow down")
    await asyncio.sleep(0.01)
""")
    await run.release([{}] * 40)
    worker = await run.worker()
    await run.finished()
    await worker.output.line("takes no tasks for 1.5 s: slow down")
    assert await run.outcomes() == {}
    lines = [line.split() for line in (run.directory / "began").read_text().splitlines()]
    assert all(attempt == "1" for _, attempt, _ in lines)
    assert len(lines) == 41
    times = sorted(float(moment) for _, _, moment in lines)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) > 1.4, "a pause of the worker's own making, however fast the machine"
    record = await run.record(0)
    assert (record.failures, record.returns) == (0, 1)


async def test_results_that_cannot_be_stored_fail_their_task_at_once(run: Run) -> None:
    run.configure(retain_results=True)
    run.handler("""
def handle(payload):
    return {"set": {1}, "nan": float("nan"), "large": "x" * 1_100_000, "text": "grüße"}[payload]
""")
    await run.release(["set", "nan", "large", "text"])
    await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert [outcomes[index].reason for index in range(3)] == ["HandlerFailed"] * 3
    assert "not a JSON value" in outcomes[0].error
    assert "not a JSON value" in outcomes[1].error
    assert "larger than the 983,040 bytes" in outcomes[2].error
    assert json.loads(outcomes[3].body) == "grüße"


async def test_results_that_are_not_kept_may_be_anything(run: Run) -> None:
    run.handler("def handle(payload):\n    return {1, 2}\n")
    await run.release([1])
    await run.worker()
    await run.finished()
    assert await run.outcomes() == {}


async def test_a_command_says_by_its_status_what_became_of_the_task(run: Run) -> None:
    script = """
import json, os, sys
payload = json.load(sys.stdin)
attempt = int(os.environ["JOBRUN_ATTEMPT"])
assert not [name for name in os.environ if name.startswith("JOBRUN_NATS")]
sys.stderr.write("x" * 100_000 + " the end")
if payload == "large":
    sys.stdout.write("y" * 3_000_000)
elif payload == "text":
    print("plain", os.environ["JOBRUN_INDEX"], os.environ["JOBRUN_IDEMPOTENCY_KEY"][-2:])
elif payload == "json":
    print(json.dumps({"attempt": attempt}))
elif payload == "later" and attempt == 1:
    sys.exit(75)
elif payload == "bad":
    sys.exit(3)
"""
    run.configure(handler_exec=(sys.executable, "-c", script), retain_results=True, max_attempts=2)
    await run.release(["text", "json", "later", "bad", "large"])
    worker = await run.worker()
    await run.finished()
    outcomes = await run.outcomes()
    assert json.loads(outcomes[0].body) == "plain 0 -0\n"
    assert json.loads(outcomes[1].body) == {"attempt": 1}
    assert (outcomes[2].succeeded, outcomes[2].attempts) == (True, 2)
    assert (outcomes[3].reason, outcomes[3].attempts) == ("MaxAttempts", 2)
    assert outcomes[3].error.startswith("exit status 3: x")
    assert outcomes[3].error.endswith(" the end")
    assert outcomes[4].reason == "HandlerFailed"
    await worker.output.line("task 2: attempt 1 failed, .*the end")


async def test_an_endpoint_says_by_its_status_what_became_of_the_task(run: Run) -> None:
    calls: dict[str, int] = {}

    async def answer(request: web.Request) -> web.Response:
        payload = await request.json()
        calls[payload] = calls.get(payload, 0) + 1
        first = calls[payload] == 1
        return {
            "json": web.json_response({"a": 1}),
            "text": web.Response(text="plain", status=201),
            "gone": web.Response(text="no such thing", status=404),
            "busy": web.Response(status=503, headers={"Retry-After": "1"})
            if first
            else web.Response(text="2"),
            "flaky": web.Response(status=500, text="oops") if first else web.Response(text="3"),
            "many": web.Response(status=429) if first else web.Response(text="4"),
        }[payload]

    app = web.Application()
    app.router.add_post("/task", answer)
    async with endpoint(app) as url:
        run.configure(handler_http=url, retain_results=True, max_attempts=2)
        await run.release(["json", "text", "gone", "busy", "flaky", "many"])
        worker = await run.worker()
        await run.finished()
    outcomes = await run.outcomes()
    assert json.loads(outcomes[0].body) == {"a": 1}
    assert json.loads(outcomes[1].body) == "plain"
    assert (outcomes[2].reason, outcomes[2].error) == ("HandlerFailed", "HTTP 404 Not Found: no such thing")
    assert (json.loads(outcomes[3].body), outcomes[3].attempts) == (2, 1)
    assert (json.loads(outcomes[4].body), outcomes[4].attempts) == (3, 2)
    assert (json.loads(outcomes[5].body), outcomes[5].attempts) == (4, 2)
    await worker.output.line("takes no tasks for 1.0 s: HTTP 503")
    await worker.output.line("attempt 1 failed, .*HTTP 500 Internal Server Error: oops")


async def test_no_answer_is_a_failed_attempt(run: Run) -> None:
    run.configure(handler_http=f"http://127.0.0.1:{free_port()}/", max_attempts=2)
    await run.release([1])
    await run.worker()
    await run.finished()
    outcome = (await run.outcomes())[0]
    assert (outcome.reason, outcome.attempts) == ("MaxAttempts", 2)
    assert "Cannot connect" in outcome.error


async def test_health_readiness_and_metrics_follow_the_worker(run: Run) -> None:
    port = free_port()
    run.configure(port=port, host="127.0.0.1", concurrency=2, max_attempts=1)
    run.handler("""
import asyncio, os
async def handle(payload):
    if payload == "bad":
        raise ValueError
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
""")
    worker = await run.worker()

    async def page(path: str) -> tuple[int, str]:
        def get() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return await asyncio.to_thread(get)

    assert await page("/healthz") == (200, "ok\n")
    assert await page("/readyz") == (200, "ok\n")
    await run.release(["bad", "good", "good"])

    async def both_run() -> bool:
        metrics = (await page("/metrics"))[1]
        return (
            "jobrun_worker_running 2.0" in metrics
            and 'jobrun_task_attempts_total{outcome="dead"} 1.0' in metrics
            and 'jobrun_task_seconds_count{outcome="dead"} 1.0' in metrics
            and "jobrun_worker_connected 1.0" in metrics
        )

    await until("two tasks in the metrics", both_run)
    worker.send(signal.SIGTERM)
    await worker.output.line("draining")
    assert await page("/readyz") == (503, "draining\n")
    assert await page("/healthz") == (200, "ok\n")
    (run.directory / "go").touch()
    assert await worker.wait() == 0
