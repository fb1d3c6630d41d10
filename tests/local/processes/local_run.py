"""A local mode of its own, for being killed: it locks, starts keeper, broker and workers, and goes on changing them.

It says each step on standard output, after it, and never ends by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from jobrun_operator.local.broker import EmbeddedBroker
from jobrun_operator.local.keeper import Keeper
from jobrun_operator.local.lock import DataDirectory
from jobrun_operator.local.processes import ProcessWorkers
from local.processes.helpers import STUB, make_run, reach, settings_for


async def main(path: Path) -> None:
    def say(step: str) -> None:
        print(step, flush=True)

    directory = DataDirectory.open(path)
    say("locked")
    keeper = await Keeper.start(hold=[directory.fileno()])
    say(f"keeper {keeper.pid}")
    broker = EmbeddedBroker(path, env=keeper.environment("broker"))
    await broker.start()
    say("broker")
    workers = ProcessWorkers(
        settings_for, keeper=keeper, logs=directory.logs, cwd=path, max_workers=3, command=STUB
    )
    for concurrency in itertools.count(1):
        for replicas in (2, 1, 3):
            run = make_run("family", concurrency=concurrency)
            await workers.scale(run, replicas)
            say(f"asked for {replicas}")
            await reach(workers, run.uid, ready=replicas)
            say(f"ready {replicas}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
