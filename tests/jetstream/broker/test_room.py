"""How much of the broker's storage a run sets aside: enough for all of its tasks at once, nothing once it is done."""

from __future__ import annotations

from typing import Any

import pytest

from jobrun_operator.engine.ports import SourceSummary
from support.broker_bench import RUN, UID
from support.jetstream_bench import JetStreamBench


async def reserved(bench: JetStreamBench) -> int:
    account: dict[str, Any] = await bench.js.api("INFO")
    return int(account["reserved_storage"])


@pytest.mark.parametrize(
    "payloads",
    [
        [b""] * 5000,
        [b"%d" % index for index in range(5000)],
        [b"x" * (index % 3000) for index in range(5000)],
        [b"x" * 900_000] * 30,
        [b"1"],
    ],
    ids=["empty", "small", "mixed", "large", "one"],
)
async def test_all_tasks_of_a_run_fit(real: JetStreamBench, payloads: list[bytes]) -> None:
    source = SourceSummary(len(payloads), "sha256:0", size=sum(map(len, payloads)))
    await real.streams.provision(RUN, source)
    chunk = 1000 if len(payloads) > 100 else 4
    for after in range(0, len(payloads), chunk):
        await real.publisher.release(UID, after, payloads[after : after + chunk])
    depth = await real.observer.depth(UID)
    assert depth is not None
    assert depth.messages == len(payloads)


@pytest.mark.parametrize(
    ("source", "most"),
    [
        (SourceSummary(10, "sha256:0", size=140), 100_000),
        (SourceSummary(10**9, "sha256:0", size=10**10), 64 << 20),
        (SourceSummary(10, "sha256:0"), 64 << 20),  # made by somebody who did not say
    ],
)
async def test_no_more_is_set_aside_than_the_tasks_take(
    real: JetStreamBench, source: SourceSummary, most: int
) -> None:
    before = await reserved(real)
    await real.streams.provision(RUN, source)
    assert 0 < await reserved(real) - before <= most


async def test_it_is_given_back_when_all_is_done(real: JetStreamBench) -> None:
    before = await reserved(real)
    await real.streams.provision(RUN, SourceSummary(10**6, "sha256:0", size=10**8))
    await real.streams.all_done(UID)
    await real.streams.all_done(UID)
    assert await reserved(real) - before <= 1
    depth = await real.observer.depth(UID)
    assert depth is not None
    assert depth.source == SourceSummary(10**6, "sha256:0")
    await real.streams.provision(
        RUN, SourceSummary(10**6, "sha256:0", size=10**8)
    )  # an operator that came anew
    assert await reserved(real) - before <= 1
