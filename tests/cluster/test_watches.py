"""Lists and watches of an API server that has many namespaces, that holds back, or that cuts what it has just begun.

Against a server of the test's own, since a real one can't be told to.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from cluster.test_api import configuration
from jobrun_operator.kubernetes.api import KubeApi, collection
from jobrun_operator.kubernetes.informer import Informer
from jobrun_operator.kubernetes.template import UID_LABEL
from jobrun_operator.metrics import OperatorMetrics
from support.virtual_time import until

LIMIT = 30.0
"""Seconds that a test waits for a state; far more than any takes."""

Watching = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """What the API was asked: the times of lists and of watches, by path, and which watches go on."""

    lists: Counter[str] = field(default_factory=Counter)
    watches: Counter[str] = field(default_factory=Counter)
    open: int = 0


@asynccontextmanager
async def serving(watching: Watching) -> AsyncIterator[tuple[KubeApi, Asked]]:
    """An API that has nothing to list, and answers a watch by ``watching``."""
    asked = Asked()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            asked.lists[request.path] += 1
            return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}})
        asked.watches[request.path] += 1
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
