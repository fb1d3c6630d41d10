"""The ``Runs`` port: JobRuns as the API holds them now.

A run that is being deleted counts as gone: whoever deletes in the foreground waits for its Deployment to go, and an
engine would make it again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable

from jobrun_operator.api import API_VERSION, PLURAL, InvalidObject, JobRun
from jobrun_operator.engine.ports import RunRef
from jobrun_operator.errors import Conflict, Gone
from jobrun_operator.kubernetes.api import Expired, KubeApi, Object, collection, metadata
from jobrun_operator.kubernetes.budget import Urgency, WriteBudget

PAGE = 250
"""Runs that are read at a time."""

DELETE_WITHIN = 30.0
"""Seconds that a deletion waits for its turn to write; it is tried again, and who asks for it has more to do."""

Refuse = Callable[[Object, InvalidObject], None]
"""Told of an object that the API server has stored and the models refuse."""


class KubeRuns:
    """``namespaces`` empty: of the whole cluster."""

    def __init__(self, api: KubeApi, namespaces: Iterable[str], refuse: Refuse, budget: WriteBudget) -> None:
        self._api = api
        self._budget = budget
        self._paths = [collection(API_VERSION, PLURAL, namespace) for namespace in namespaces] or [
            collection(API_VERSION, PLURAL)
        ]
        self._refuse = refuse
        self.on_listed: Callable[[JobRun], None] = lambda _: None
        """Called for each run that a list shows."""
        self.on_complete: Callable[[set[str]], None] = lambda _: None
        """Called with all uids that a complete list has shown."""

    async def list(self) -> AsyncIterator[JobRun]:
        shown = set()
        for path in self._paths:
            async for item in self._items(path):
                shown.add(str(metadata(item).get("uid", "")))
                if metadata(item).get("deletionTimestamp"):
                    continue
                try:
                    run = JobRun.from_wire(item)
                except InvalidObject as error:
                    self._refuse(item, error)
                    continue
                self.on_listed(run)
                yield run
        self.on_complete(shown)

    async def exists(self, run: RunRef) -> bool:
        try:
            found = metadata(await self._api.get(_path(run.namespace, run.name)))
        except Gone:
            return False
        return found.get("uid") == run.uid and not found.get("deletionTimestamp")

    async def delete(self, run: JobRun) -> None:
        await self._budget.take(Urgency.EVENT, within=DELETE_WITHIN)
        options = {"preconditions": {"uid": run.uid}, "propagationPolicy": "Background"}
        try:
            await self._api.request("DELETE", _path(run.namespace, run.name), body=options)
        except (Gone, Conflict):
            return  # gone already, or another run of that name

    async def _items(self, path: str) -> AsyncIterator[Object]:
        query = {"limit": str(PAGE)}
        while True:
            try:
                page = await self._api.get(path, **query)
            except Expired:
                if "continue" not in query:
                    raise
                query = {"limit": str(PAGE)}  # the list took too long: again from its beginning
                continue
            for item in page.get("items") or []:
                yield {"apiVersion": page.get("apiVersion"), "kind": "JobRun", **item}
            if not metadata(page).get("continue"):
                return
            query["continue"] = str(metadata(page)["continue"])


def _path(namespace: str, name: str) -> str:
    return f"{collection(API_VERSION, PLURAL, namespace)}/{name}"
