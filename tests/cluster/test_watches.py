"""Lists and watches of an API server that has many namespaces, that holds back, or that cuts what it has just begun.

Against a server of the test's own, since a real one can't be told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cluster.test_api import configuration
from jobrun_operator.errors import ApiUnavailable
from jobrun_operator.kubernetes.api import KubeApi, collection
from jobrun_operator.kubernetes.informer import Informer
from jobrun_operator.kubernetes.template import UID_LABEL
from jobrun_operator.metrics import OperatorMetrics
from support.virtual_time import until

PODS = "/api/v1/pods"
LIMIT = 30.0
"""Seconds that a test waits for a state; far more than any takes."""

Watching = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """When lists and watches were asked for, and how many watches go on."""

    lists: list[float] = field(default_factory=list)
    watches: list[float] = field(default_factory=list)
    open: int = 0


@asynccontextmanager
async def serving(watching: Watching) -> AsyncIterator[tuple[KubeApi, Asked]]:
    """An API that has nothing to list, and answers a watch by ``watching``."""
    asked = Asked()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            asked.lists.append(now())
            return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}})
        asked.watches.append(now())
        asked.open += 1
        try:
            return await watching(request)
        finally:
            asked.open -= 1

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        api = KubeApi(configuration(str(server.make_url(""))), OperatorMetrics())
        try:
            yield api, asked
        finally:
            await api.close()


@asynccontextmanager
async def following(*informers: Informer) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.main()) for one in informers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def now() -> float:
    return asyncio.get_running_loop().time()


async def silent(request: web.Request) -> web.StreamResponse:
    """A watch that begins, and has nothing to tell."""
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.Event().wait()
    return response


async def test_watches_of_many_namespaces_leave_room_for_requests() -> None:
    namespaces = [f"team-{number}" for number in range(60)]
    async with serving(silent) as (api, asked):
        kinds = (("apps/v1", "deployments"), ("v1", "pods"))
        informers = [
            Informer(api, [collection(*kind, one) for one in namespaces], UID_LABEL) for kind in kinds
        ]
        async with following(*informers):
            await until(lambda: asked.open == len(kinds) * len(namespaces), seconds=LIMIT)
            assert all(one.synced for one in informers)
            async with asyncio.timeout(LIMIT / 3):
                await api.get("/api/v1/namespaces/kube-system")


async def test_a_watch_whose_answer_never_begins_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobrun_operator.kubernetes.api.REQUEST_SECONDS", 0.2)

    async def mute(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(mute) as (api, _):
        with pytest.raises(ApiUnavailable, match="watching /api/v1/pods was cut"):
            async with asyncio.timeout(LIMIT):
                _ = [event async for event in api.watch(PODS, {}, inactivity=LIMIT)]


async def cut(request: web.Request) -> web.StreamResponse:
    """A watch that begins, and ends at once."""
    response = web.StreamResponse()
    await response.prepare(request)
    return response


async def refused(request: web.Request) -> web.StreamResponse:
    return web.json_response({"message": "no"}, status=403)


@pytest.mark.parametrize("watching", [cut, refused])
async def test_watches_that_do_not_last_come_at_longer_and_longer_intervals(watching: Watching) -> None:
    async with serving(watching) as (api, asked), following(Informer(api, [PODS], UID_LABEL)):
        await until(lambda: len(asked.watches) >= 5, seconds=LIMIT)
    pauses = [after - before for before, after in pairwise(asked.watches)]
    assert all(pause >= least for pause, least in zip(pauses, (0.2, 0.4, 0.8, 1.6), strict=False)), pauses


async def test_an_informer_that_stands_still_shows_and_one_with_nothing_to_tell_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobrun_operator.kubernetes.informer.INACTIVITY_SECONDS", 0.1)
    async with serving(silent) as (api, asked):
        informer = Informer(api, [PODS], UID_LABEL)
        assert informer.still(1e9) == 0
        async with following(informer):
            await until(lambda: len(asked.watches) >= 3, seconds=LIMIT)
            assert informer.still(now()) < LIMIT
        assert informer.still(now() + 300) >= 300
