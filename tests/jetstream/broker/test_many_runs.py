"""One pass over all streams, read page by page (a page has 256), with those of others in between."""

from __future__ import annotations

import asyncio

from jobrun_operator.engine.ports import RunRef
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.ownership import JetStreamOwnership
from support.broker_bench import SOURCE
from support.jetstream_bench import JetStreamBench


async def _make(js: JetStream, installation: str, uid: str) -> None:
    """The stream of work alone: cheap enough for hundreds."""
    await js.api(
        f"STREAM.CREATE.jobrun_{uid}",
        {
            "name": f"jobrun_{uid}",
            "subjects": [f"jobrun.work.{uid}"],
            "retention": "workqueue",
            "storage": "memory",
            "allow_atomic": True,
            "metadata": {
                "jobrun-installation": installation,
                "jobrun-uid": uid,
                "jobrun-source-count": str(SOURCE.count),
                "jobrun-source-digest": SOURCE.digest,
                "jobrun-source-version": SOURCE.version,
            },
        },
    )


async def _owned(bench: JetStreamBench) -> list[str]:
    return sorted(one.uid for one in await JetStreamOwnership(bench.js, bench.settings).owned())


async def test_a_pass_over_several_pages(real: JetStreamBench) -> None:
    ours = [f"{number:04}a" for number in range(520)]
    theirs = [f"{number:04}b" for number in range(60)]
    await real.streams.provision_installation()
    await asyncio.gather(*(_make(real.js, "here", uid) for uid in ours))
    await asyncio.gather(*(_make(real.js, "there", uid) for uid in theirs))
    assert await _owned(real) == sorted(ours)
    assert await _owned(real.sharing("there")) == sorted(theirs)


async def test_streams_that_are_not_of_runs_are_passed_over(real: JetStreamBench) -> None:
    await real.streams.provision(RunRef("shop", "backfill", "0001"), SOURCE)
    await real.js.api("STREAM.CREATE.theirs", {"name": "theirs", "subjects": ["theirs.>"]})
    await real.js.api("STREAM.CREATE.stray", {"name": "stray", "subjects": ["jobrun.work.stray"]})
    assert await _owned(real) == ["0001"]
    stray = await real.js.api("STREAM.INFO.stray")
    assert stray["state"]["messages"] == 0
