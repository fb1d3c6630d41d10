"""The ``Events`` port: ``events.k8s.io/v1``, for ``kubectl describe`` and ``kubectl events``.

The same news about a run is one Event, whoever tells it and however often: its name is made of what it says, and a
repetition counts up its series, at most once a minute. So neither a failure that lasts nor a restarted operator fills
the list.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from jobrun_operator.api import API_VERSION, KIND, JobRun
from jobrun_operator.errors import Conflict, Gone, JobRunError
from jobrun_operator.kubernetes.api import MERGE, KubeApi, Object, collection
from jobrun_operator.kubernetes.budget import Urgency, WriteBudget

log = logging.getLogger(__name__)

REPEAT_SECONDS = 60.0
"""Between two counts of the same news."""

_MOST_REMEMBERED = 5000
_LONGEST_NOTE = 1000
"""Bytes that the API takes are 1024."""


@dataclass(frozen=True, slots=True)
class Regarding:
    """What an Event is about."""

    namespace: str
    name: str
    uid: str
    resource_version: str = ""


@dataclass(slots=True)
class _Told:
    at: float
    count: int = 1


class KubeEvents:
    def __init__(self, api: KubeApi, budget: WriteBudget) -> None:
        self._api = api
        self._budget = budget
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._instance = socket.gethostname()[:120]

    async def publish(self, run: JobRun, *, reason: str, message: str, warning: bool) -> None:
        where = Regarding(run.namespace, run.name, run.uid, run.metadata.resource_version)
        await self.tell(where, reason=reason, message=message, warning=warning)

    async def tell(self, run: Regarding, *, reason: str, message: str, warning: bool) -> None:
        """As ``publish``, about an object that may be no acceptable run."""
        name = event_name(run, reason, message)
        now = asyncio.get_running_loop().time()
        told = self._told.get(name)
        if told is not None and now - told.at < REPEAT_SECONDS:
            told.count += 1
            return
        self._told[name] = told or _Told(now)
        self._told.move_to_end(name)
        self._told[name].at = now
        while len(self._told) > _MOST_REMEMBERED:
            self._told.popitem(last=False)
        path = collection("events.k8s.io/v1", "events", run.namespace)
        await self._budget.take(Urgency.EVENT)
        event = self._event(run, name, reason, message, warning)
        if told is None:
            try:
                await self._api.request("POST", path, body=event)
                return
            except Conflict:
                told = self._told[name]  # told before this process began
        told.count += 1
        series = {"series": {"count": max(2, told.count), "lastObservedTime": _now()}}
        try:
            await self._api.request("PATCH", f"{path}/{name}", body=series, content_type=MERGE)
        except Gone:  # Events are kept for an hour or so
            await self._api.request("POST", path, body=event)

    async def try_publish(self, run: JobRun, *, reason: str, message: str, warning: bool) -> None:
        """As ``publish``; what can't be told is only logged."""
        try:
            await self.publish(run, reason=reason, message=message, warning=warning)
        except JobRunError as error:
            log.debug("no Event for %s/%s: %s", run.namespace, run.name, error)

    def _event(self, run: Regarding, name: str, reason: str, message: str, warning: bool) -> Object:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": run.namespace},
            "eventTime": _now(),
            "type": "Warning" if warning else "Normal",
            "reason": reason[:128],
            "note": _cut(message),
            "action": "Reconcile",
            "reportingController": "jobrun.dev/operator",
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": run.namespace,
                "name": run.name,
                "uid": run.uid,
                "resourceVersion": run.resource_version,
            },
        }


def event_name(run: Regarding, reason: str, message: str) -> str:
    """The same for the same news about the same run."""
    digest = hashlib.sha256(f"{run.uid}\0{reason}\0{message}".encode()).hexdigest()[:16]
    return f"{run.name}.{digest}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _cut(text: str) -> str:
    data = text.encode()
    return text if len(data) <= _LONGEST_NOTE else data[:_LONGEST_NOTE].decode(errors="ignore") + "…"
