"""Finds what a broker keeps of a run by the run's name: streams are named after its uid, which people don't know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.listing import streams_with
from jobrun_worker.wire import Names


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run whose outcomes are there."""

    namespace: str
    name: str
    uid: str
    installation: str
    created: str
    """When its streams were made, RFC 3339."""
    total: int
    """Tasks of the run."""
    keeps_results: bool
    """Whether outcomes of successes are kept as well."""
    has_ended: bool = False
    """It is known to have ended; a broker alone does not tell."""


async def kept_runs(js: JetStream, names: Names) -> list[KeptRun]:
    """All of the account, newest first. Raises BrokerUnavailable and what else ``JetStream.api`` does."""
    found: dict[str, KeptRun] = {}
    async for info in streams_with(js, f"{names.prefix}.out.>"):
        run = _kept(info)
        if run is not None and info["config"]["name"] == names.out_stream(run.uid):
            found[run.uid] = run
    return sorted(found.values(), key=lambda run: run.created, reverse=True)


def _kept(info: Mapping[str, Any]) -> KeptRun | None:
    meta = info["config"].get("metadata") or {}
    source = layout.source_of(meta)
    if source is None:
        return None
    return KeptRun(
        namespace=meta.get("jobrun-namespace", ""),
        name=meta.get("jobrun-name", ""),
        uid=meta.get("jobrun-uid", ""),
        installation=meta.get("jobrun-installation", ""),
        created=str(info.get("created", "")),
        total=source.count,
        keeps_results=layout.keeps_results(meta),
    )
