"""The operator's probes, asked for over HTTP: what is wrong is a 503 that says what."""

from __future__ import annotations

from functools import partial

import aiohttp
import pytest

from jobrun_operator.kubernetes import health
from jobrun_operator.kubernetes.health import Health
from jobrun_operator.metrics import OperatorMetrics


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"beat_age": 121, "behind": 0}, "the loop over all runs has not come around for 121 s"),
        ({"beat_age": 0, "behind": 241}, "the watch of JobRuns has not told for 241 s"),
        ({"beat_age": 0, "behind": 0, "broker_away": 1801}, "no connection to the broker for 1801 s"),
    ],
)
async def test_what_makes_no_progress_is_not_alive(seen: dict[str, float], said: str) -> None:
    page = Health(OperatorMetrics(), 0)
    page.ready = lambda: ""
    port = await page.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for path in ("/healthz", "/readyz"):
                async with session.get(path) as answer:
                    assert (answer.status, await answer.text()) == (200, "ok\n")
            page.alive = partial(health.alive, **seen)
            for path in ("/healthz", "/readyz"):
                async with session.get(path) as answer:
                    assert answer.status == 503
                    assert said in await answer.text()
    finally:
        await page.stop()
