"""A copy of the objects of one kind that carry a label, kept up to date by a list and a watch.

Looking at workers must not cost the API server anything: with hundreds of runs it is done hundreds of times a second.
Each list replaces the copy whole, so that what was deleted while a watch was cut does not stay in it; and nothing may
be concluded from a copy that was never filled, which ``get`` says by raising.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jobrun_operator.errors import ApiUnavailable, JobRunError
from jobrun_operator.kubernetes.api import Expired, KubeApi, Object, metadata

log = logging.getLogger(__name__)

INACTIVITY_SECONDS = 90.0
"""The API server sends a bookmark every 60 to 75 seconds: a watch that is silent for longer may be dead."""

LASTING_SECONDS = 1.0
"""A watch that went on for less tells nothing of the API being well: the next one waits, longer each time."""

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
"""Seconds between tries while the API is away, or lets no watch go on."""

_PAGE = 500


class Informer:
    """Objects of the collections at ``paths`` that have ``label``, grouped by its value."""

    def __init__(
        self,
        api: KubeApi,
        paths: Iterable[str],
        label: str,
        *,
        keep: Callable[[Object], Object] = lambda item: item,
    ) -> None:
        """``keep``: what is to be remembered of an object; must keep its metadata's uid, version and labels."""
        self._api = api
        self._paths = tuple(paths)
        self._label = label
        self._keep = keep
        self._groups: dict[str, dict[str, Object]] = {}
        self._places: dict[str, set[tuple[str, str]]] = {path: set() for path in self._paths}
        """Which (group, uid) was learned at which path."""
        self._unlisted = set(self._paths)
        self.listed = asyncio.Event()
        """Set when all was listed once."""
        self._begun: dict[str, float] = {}
        """When the watch of a path began, where one does."""
        self._moved: dict[str, float] = {}
        """When a path last came on: to a try, to an answer, to a word of its watch."""

    @property
    def synced(self) -> bool:
        return self.listed.is_set()

    def get(self, group: str) -> list[Object]:
        """The objects of the group. Raises ApiUnavailable where nothing was ever listed."""
        if not self.synced:
            raise ApiUnavailable(
                "the state of workers is not known yet: the Kubernetes API was not listed so far"
            )
        return list(self._groups.get(group, {}).values())

    def learn(self, item: Object) -> None:
        """An object as a write has answered it, which the watch may tell only later."""
        self._put(item, self._path_of(item))

    def drop(self, group: str, uid: str) -> None:
        """An object that is gone, by the answer to a request."""
        self._remove(group, uid)

    async def main(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._follow(path) for path in self._paths))

    def still(self, now: float) -> float:
        """Seconds, on the loop's clock, for which a path has come on by nothing: no try, no answer, and nothing told.

        That is bounded, by time-outs and bookmarks, also while the API is away and where nothing happens.
        """
        return max((now - moved for moved in self._moved.values()), default=0.0)

    async def _follow(self, path: str) -> None:
        wait, version = _FIRST_WAIT, ""
        while True:
            self._begun.pop(path, None)
            ended = False
            try:
                version = await self._watch(path, version or await self._list(path))
                ended = True
            except Expired:
                version = ""
                log.debug("the watch of %s is too old; listing again", path)
            except JobRunError as error:
                version = ""
                log.warning("%s; trying again", error)
            if self._has_lasted(path):
                wait = _FIRST_WAIT
                if ended:
                    continue
            elif ended:
                log.warning("watching %s ended as soon as it began; trying again", path)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _has_lasted(self, path: str) -> bool:
        return _now() - self._begun.get(path, float("inf")) >= LASTING_SECONDS

    def _begin(self, path: str) -> None:
        self._begun[path] = self._moved[path] = _now()

    async def _list(self, path: str) -> str:
        found: list[Object] = []
        query = {"labelSelector": self._label, "limit": str(_PAGE)}
        while True:
            self._moved[path] = _now()
            page = await self._api.get(path, **query)
            found += page.get("items") or []
            meta = metadata(page)
            if not meta.get("continue"):
                break
            query["continue"] = str(meta["continue"])
        here = {(self._group_of(item), str(metadata(item)["uid"])) for item in found}
        for group, uid in self._places[path] - here:
            self._remove(group, uid)
        for item in found:
            self._put(item, path)
        self._unlisted.discard(path)
        if not self._unlisted:
            self.listed.set()
        return str(meta.get("resourceVersion", ""))

    async def _watch(self, path: str, version: str) -> str:
        """One watch until it ends; returns the version to go on from."""
        query = {"labelSelector": self._label, "resourceVersion": version}
        self._moved[path] = _now()
        async for event in self._api.watch(
            path, query, inactivity=INACTIVITY_SECONDS, on_begin=lambda: self._begin(path)
        ):
            self._moved[path] = _now()
            item = event["object"]
            version = str(metadata(item).get("resourceVersion", version))
            if event["type"] in ("ADDED", "MODIFIED"):
                self._put(item, path)
            elif event["type"] == "DELETED":
                self._remove(self._group_of(item), str(metadata(item)["uid"]))
        return version

    def _put(self, item: Object, path: str) -> None:
        group, uid = self._group_of(item), str(metadata(item)["uid"])
        known = self._groups.setdefault(group, {}).get(uid)
        if known is None or _version(item) >= _version(known):
            self._groups[group][uid] = self._keep(item)
            self._places.setdefault(path, set()).add((group, uid))

    def _remove(self, group: str, uid: str) -> None:
        members = self._groups.get(group, {})
        members.pop(uid, None)
        if not members:
            self._groups.pop(group, None)
        for place in self._places.values():
            place.discard((group, uid))

    def _group_of(self, item: Mapping[str, Any]) -> str:
        return str((metadata(item).get("labels") or {}).get(self._label, ""))

    def _path_of(self, item: Object) -> str:
        inside = f"/namespaces/{metadata(item).get('namespace', '')}/"
        return next((path for path in self._paths if inside in path), self._paths[0])


def _now() -> float:
    return asyncio.get_running_loop().time()


def _version(item: Mapping[str, Any]) -> int:
    text = str(metadata(item).get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0
