"""Before the first release: read the whole source once, and make the run's streams for what was found.

The streams' metadata remembers count, digest and version, so that a later start knows what was promised without
reading anything; it then only makes sure that the source still is what it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobrun_operator.engine.ports import Depth, Flow, Observer, RunRef, SourceSummary, TaskSource, WorkStreams
from jobrun_operator.errors import BrokerUnavailable, SourceError


class SourceChanged(SourceError):
    """The source is not the one that the run was started with."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to release."""

    summary: SourceSummary
    depth: Depth
    flow: Flow


async def prepare(run: RunRef, source: TaskSource, streams: WorkStreams, observer: Observer) -> Prepared:
    """Raises SourceError (SourceChanged) for good, a TemporaryError where trying again can help."""
    depth = await observer.depth(run.uid)
    if depth is None:
        summary = await source.scan()
    elif depth.source is None:
        raise SourceError(
            "", f"the stream of run {run.uid} was not made by a JobRun; remove it from the broker"
        )
    else:
        summary = depth.source
        if depth.last_seq < summary.count and not await source.is_unchanged(summary):
            raise SourceChanged(
                "spec.tasks",
                f"the source is not the one that this run was started with ({summary.count} tasks, {summary.digest}); "
                "start a new run for the changed tasks",
            )
    await streams.provision(run, summary)
    depth, flow = await observer.depth(run.uid), await observer.flow(run.uid)
    if depth is None or flow is None:
        raise BrokerUnavailable("the streams just made are not there; the broker may be restarting")
    return Prepared(summary, depth, flow)
