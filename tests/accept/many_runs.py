"""One operator and a thousand runs at a time: what it uses, how old what it shows is, and what it writes.

The operator is a process of its own, on a real nats-server and a real API server. No controller makes pods of its
Deployments: one client takes and acknowledges the tasks of all runs, and is not what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats

from accept.bound import Bound, at_least, at_most, same, told
from cluster.world import install, job_run
from support.control_plane import ControlPlane, binaries
from support.labourer import Labourer
from support.nats_server import NatsServer
from support.operator_process import OperatorProcess
from support.process_marks import processor_seconds, resident

_NAMESPACE = "many"
_RUNS = f"/apis/jobrun.dev/v1alpha1/namespaces/{_NAMESPACE}/jobruns"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments"
_MIB = 2**20
_SETTLE, _WINDOW = 10.0, 20.0
"""Seconds before what an operator does is measured, and for which it is."""
_LIMIT = 300.0
"""Seconds that anything may take."""
_SETUP_WRITES = "150"
"""Writes a second while the runs are made, which is not what is measured; then the default."""
WRITES_PER_SECOND = 20


@dataclass(frozen=True, slots=True)
class _Window:
    runs: int
    cores: float
    mebibytes: float
    oldest: float
    """Seconds: the longest that any run's live status was not renewed."""
    writes: float
    """To the API, a second."""
    step_ms: float
    """Mean of a look, what it waits for the others included: runs that began together release together."""
    looks: float
    """A second."""
    ended: float
    """Tasks a second."""


def thousand(folder: Path, *, sizes: Sequence[int], rate: int) -> Iterator[Bound]:
    """``rate``: tasks a minute of each run."""
    programs = binaries("etcd", "kube-apiserver")
    if isinstance(programs, str):
        yield told("not measured", programs)
        return
    windows = asyncio.run(_measure(folder, programs, sizes, rate))
    for one in windows:
        yield told(
            f"{one.runs:,} runs: looks, tasks a second; a look takes",
            f"{one.looks:,.0f}/s, {one.ended:,.0f}/s; {one.step_ms:.1f} ms",
        )
        yield told(f"{one.runs:,} runs: of a core, memory", f"{one.cores:.2f}, {one.mebibytes:.0f} MiB")
    few, many = windows[-2], windows[-1]
    yield same("runs at work", many.runs, sizes[-1])
    # With a burst of one task, what is released late is never caught up (G3).
    kept = many.ended / (many.runs * rate / 60)
    yield at_least("tasks a second, of those asked for", kept, 0.9, of_speed=True)
    yield at_most("of a core", many.cores, 0.5, of_speed=True)
    yield at_most("memory", many.mebibytes, 300, " MiB")
    yield at_most("age of a live status", many.oldest, 5.0, " s", of_speed=True)
    yield at_most("writes to the API", many.writes, WRITES_PER_SECOND, "/s")
    yield at_most(
        "processor time a run, compared with few runs",
        many.cores / many.runs / (few.cores / few.runs),
        1,
        " times",
        of_speed=True,
    )


async def _measure(folder: Path, programs: Path, sizes: Sequence[int], rate: int) -> list[_Window]:
    plane = ControlPlane(folder, programs)
    operator: OperatorProcess | None = None
    try:
        plane.start()
        install(plane)
        plane.make("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
        async with NatsServer(folder / "nats") as broker, Labourer(broker.url) as labourer:
            kubeconfig = plane.kubeconfig("operator", plane.token, _NAMESPACE)
            operator = OperatorProcess(
                folder,
                kubeconfig,
                broker.url,
                watch_namespaces=_NAMESPACE,
                interval_seconds="1",
                work_max_bytes=str(1 << 20),
            )
            windows: list[_Window] = []
            for size in sizes:
                operator.start(api_writes_per_second=_SETUP_WRITES)
                made = len(labourer.done)
                uids = await asyncio.to_thread(_create, plane, range(made, size), rate)
                labourer.take_on(uids)
                await _until(lambda size=size: sum(count > 0 for count in labourer.done.values()) == size)
                await _until(lambda size=size: _staffed(plane) == size, every=2.0)
                await asyncio.to_thread(operator.stop)
                operator.start(api_writes_per_second=str(WRITES_PER_SECOND))
                windows.append(await _window(broker, operator, labourer, size))
                await asyncio.to_thread(operator.stop)
            return windows
    finally:
        if operator is not None:
            operator.end()
        plane.stop()


async def _window(broker: NatsServer, operator: OperatorProcess, labourer: Labourer, size: int) -> _Window:
    async with _live(broker.url) as shown:
        await _until(lambda: len(shown) == size)  # each run was looked at by this operator
        await asyncio.sleep(_SETTLE)
        before = await asyncio.to_thread(_told, operator)
        for times in shown.values():
            times[:] = times[-1:]
        done, cpu, began = labourer.total, processor_seconds(operator.pid), _now()
        await asyncio.sleep(_WINDOW)
        used, ended = processor_seconds(operator.pid) - cpu, _now()
        seconds, tasks = ended - began, labourer.total - done
        oldest = max(_longest([*times, ended]) for times in shown.values())
        after = await asyncio.to_thread(_told, operator)
        looks, spent = after.looks - before.looks, after.looking - before.looking
        told = after.at - before.at  # longer than the window: the metrics of a thousand runs take their time
        return _Window(
            runs=len(shown),
            cores=used / seconds,
            mebibytes=resident(operator.pid) / _MIB,
            oldest=oldest,
            writes=(after.writes - before.writes) / told,
            step_ms=1000 * spent / looks,
            looks=looks / told,
            ended=tasks / seconds,
        )


def _create(plane: ControlPlane, numbers: range, rate: int) -> list[str]:
    """The uids of runs that will not be finished in any time that this takes."""
    return [str(plane.make(_RUNS, _manifest(number, rate))["metadata"]["uid"]) for number in numbers]


def _manifest(number: int, rate: int) -> dict[str, Any]:
    return job_run(
        f"run{number:04}",
        tasks={"count": 1_000_000},
        rate={"tasks": rate, "periodSeconds": 60},
        scaling={"minReplicas": 1, "maxReplicas": 1},
    )


def _staffed(plane: ControlPlane) -> int:
    """Runs whose Deployment asks for its worker."""
    return sum(one["spec"]["replicas"] == 1 for one in plane.get(_DEPLOYMENTS)["items"])


@contextlib.asynccontextmanager
async def _live(url: str) -> AsyncIterator[dict[str, list[float]]]:
    """When the live status of each run was written."""
    shown: dict[str, list[float]] = {}

    async def on_put(message: Any) -> None:
        shown.setdefault(message.subject, []).append(_now())

    client = await nats.connect(url)
    try:
        await client.subscribe("$KV.jobrun_status.>", cb=on_put)
        yield shown
    finally:
        await client.close()


@dataclass(frozen=True, slots=True)
class _Told:
    """By the operator's metrics, so far. ``at`` and ``looking`` in seconds."""

    at: float
    looks: float
    looking: float
    writes: float


def _told(operator: OperatorProcess) -> _Told:
    samples = operator.samples()
    name = "jobrun_engine_step_seconds"
    writes = sum(
        value
        for (metric, labels), value in samples.items()
        if metric == "jobrun_api_request_seconds_count" and dict(labels)["verb"] != "GET"
    )
    return _Told(_now(), samples[f"{name}_count", ()], samples[f"{name}_sum", ()], writes)


def _longest(times: Sequence[float]) -> float:
    return max(after - before for before, after in itertools.pairwise(times))


async def _until(holds: Callable[[], bool], every: float = 0.25) -> None:
    async with asyncio.timeout(_LIMIT):
        while not holds():  # noqa: ASYNC110  # other processes' state: nothing signals it
            await asyncio.sleep(every)


def _now() -> float:
    return time.monotonic()
