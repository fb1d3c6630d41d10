"""Before the first release: read the whole source once, and make the run's streams for what was found.

The streams' metadata remembers count, digest and version, so that a later start knows what was promised without
reading anything; it then only makes sure that the source still is what it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobrun_operator.engine.ports import Depth, Flow, Observer, RunRef, SourceSummary, TaskSource, WorkStreams
from jobrun_operator.errors import BrokerUnavailable, Gone, SourceError


class SourceChanged(SourceError):
    """The source is not the one that the run was started with."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that is ready to release."""

    summary: SourceSummary
    depth: Depth
    flow: Flow


async def prepare(
    run: RunRef,
    source: TaskSource,
    streams: WorkStreams,
    observer: Observer,
    *,
    begun: bool,
    keeps_results: bool,
) -> Prepared:
    """Make ready to release. ``begun``: the run has been released from, so its stream must be there.

    Raises SourceError (SourceChanged) or Gone for good, anything else where trying again can help.
    """
    depth = await observer.depth(run.uid)
    if depth is None and begun:
        raise Gone(f"the stream of run {run.uid} is gone from the broker")
    if depth is None:
        summary = await source.scan()
    elif depth.source is None:
        raise SourceError(
            "", f"the stream of run {run.uid} was not made by a JobRun; remove it from the broker"
        )
    else:
        summary = depth.source
        if depth.last_seq < summary.count:
            await _check_unchanged(source, summary)
    await streams.provision(run, summary, keeps_results=keeps_results)
    depth, flow = await observer.depth(run.uid), await observer.flow(run.uid)
    if depth is None or flow is None:
        raise BrokerUnavailable("the streams just made are not there; the broker may be restarting")
    return Prepared(summary, depth, flow)


async def _check_unchanged(source: TaskSource, summary: SourceSummary) -> None:
    try:
        unchanged = await source.is_unchanged(summary)
    except SourceError as error:
        raise SourceChanged(error.where, f"{error.message}; it was fine when this run was started") from error
    if not unchanged:
        raise SourceChanged(
            "spec.tasks",
            f"the source is not the one that this run was started with ({summary.count} tasks, {summary.digest}); "
            "start a new run for the changed tasks",
        )
