"""What is heard of JobRuns becomes a call of the fleet: parse, then tell, forget or refuse. Nothing else is decided."""

from __future__ import annotations

import asyncio
from typing import Protocol

from jobrun_operator.api import InvalidObject, JobRun
from jobrun_operator.kubernetes.api import Object, metadata
from jobrun_operator.kubernetes.freshness import Freshness
from jobrun_operator.kubernetes.runs import Refuse


class Told(Protocol):
    """The part of the fleet that is told."""

    def tell(self, run: JobRun) -> None: ...
    def forget(self, uid: str) -> None: ...
    def relist(self) -> None: ...


class Intake:
    """Runs in the fleet's event loop."""

    def __init__(self, fleet: Told, refuse: Refuse, freshness: Freshness) -> None:
        self._fleet = fleet
        self._refuse = refuse
        self._freshness = freshness

    def event(self, kind: str | None, item: Object) -> None:
        """``kind``: ADDED, MODIFIED, DELETED; None: of the list at the begin of a watch."""
        meta = metadata(item)
        uid = str(meta.get("uid", ""))
        if kind == "DELETED":
            self._freshness.forget(uid)
            self._fleet.forget(uid)
            return
        self._freshness.seen(uid, str(meta.get("resourceVersion", "")))
        if kind is None:
            self._fleet.relist()  # a watch that begins may have missed a deletion
        if meta.get("deletionTimestamp"):
            self._fleet.forget(uid)
            return
        try:
            run = JobRun.from_wire(item)
        except InvalidObject as error:
            self._refuse(item, error)
        else:
            self._fleet.tell(run)

    def listed(self, run: JobRun) -> None:
        """Shown by a list of the fleet's own."""
        now = asyncio.get_running_loop().time()
        self._freshness.listed(run.uid, run.metadata.resource_version, now)
