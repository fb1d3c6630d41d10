"""Requests to an API server that slows down, fails or is not there: what is waited for, and which error it becomes.

Against a server of the test's own, since a real one can't be told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from jobrun_operator.errors import (
    ApiUnavailable,
    Conflict,
    Gone,
    JobRunError,
    NotAllowed,
    Refused,
    TemporaryError,
)
from jobrun_operator.kubernetes.api import APPLY, Expired, KubeApi
from jobrun_operator.metrics import OperatorMetrics

Answer = Callable[[web.Request], web.StreamResponse]
PATH = "/api/v1/namespaces/shop/configmaps/ids"


@asynccontextmanager
async def serving(*answers: web.Response) -> AsyncIterator[tuple[KubeApi, list[web.Request]]]:
    """An API that gives these answers, one after the other, the last again and again."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        given = answers[min(len(asked), len(answers) - 1)]
        asked.append(request)
        return web.Response(status=given.status, text=given.text, headers=given.headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        api = KubeApi(configuration(str(server.make_url(""))), OperatorMetrics())
        try:
            yield api, asked
        finally:
            await api.close()


def configuration(url: str) -> Configuration:
    made = Configuration()
    made.host = url.rstrip("/")
    return made


def status(code: int, message: str = "because", **headers: str) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"kind": "Status", "message": message}, status=code, headers=named)


@pytest.mark.parametrize(
    ("code", "kind", "temporary"),
    [
        (400, Refused, False),
        (401, NotAllowed, True),
        (403, NotAllowed, True),
        (404, Gone, False),
        (409, Conflict, True),
        (410, Expired, True),
        (413, Refused, False),
        (422, Refused, False),
        (500, ApiUnavailable, True),
        (504, ApiUnavailable, True),
    ],
)
async def test_each_status_is_one_of_our_errors(code: int, kind: type[JobRunError], temporary: bool) -> None:
    async with serving(status(code)) as (api, asked):
        with pytest.raises(kind, match="because") as caught:
            await api.get(PATH)
        assert isinstance(caught.value, TemporaryError) is temporary
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, 'admission webhook "freeze.example.com" denied the request: not now'),
        (404, 'admission webhook "freeze.example.com" denied the request without explanation'),
        (
            422,
            "deployments.apps \"a\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'all' denied "
            "request: not now",
        ),
        (422, "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'freeze' denied request: not now"),
    ],
)
async def test_what_admission_denies_may_be_allowed_later(code: int, message: str) -> None:
    async with serving(status(code, message)) as (api, _):
        with pytest.raises(NotAllowed, match="denied"):
            await api.get(PATH)


@pytest.mark.parametrize(
    "message",
    [
        'Deployment.apps "a" is invalid: spec.x: Invalid value: "admission webhook "w" denied the request": no',
        'Deployment.apps "a" is invalid: spec.x: Invalid value: "ValidatingAdmissionPolicy \'a\' denied request": no',
    ],
)
async def test_what_only_quotes_a_denial_is_none(message: str) -> None:
    async with serving(status(422, message)) as (api, _):
        with pytest.raises(Refused):
            await api.get(PATH)


@pytest.mark.parametrize("code", [429, 503])
async def test_waits_as_the_server_asks(code: int) -> None:
    slow = status(code, Retry_After="0.1")
    async with serving(slow, slow, web.json_response({"metadata": {}})) as (api, asked):
        before = asyncio.get_running_loop().time()
        assert await api.get(PATH) == {"metadata": {}}
        assert asyncio.get_running_loop().time() - before >= 0.2
        assert len(asked) == 3


async def test_gives_up_where_it_would_take_long() -> None:
    async with serving(status(429, Retry_After="3600")) as (api, asked):
        with pytest.raises(ApiUnavailable):
            await api.get(PATH)
        assert len(asked) == 1


async def test_an_apply_of_a_wrong_type_is_refused_for_good() -> None:
    async with serving(status(500, "failed to create typed patch object (...): expected numeric")) as (
        api,
        _,
    ):
        with pytest.raises(Refused, match="expected numeric"):
            await api.apply(PATH, {"a": 1}, manager="me")
        with pytest.raises(ApiUnavailable):
            await api.get(PATH)


async def test_what_is_sent() -> None:
    async with serving(web.json_response({})) as (api, asked):
        await api.apply(PATH, {"a": 1}, manager="me")
        (request,) = asked
        assert (request.method, request.path) == ("PATCH", PATH)
        assert dict(request.query) == {"fieldManager": "me", "force": "true"}
        assert request.headers["Content-Type"] == APPLY


async def test_nobody_there() -> None:
    async with serving(web.json_response({})) as (api, _):
        pass
    api = KubeApi(configuration("http://127.0.0.1:1"), OperatorMetrics())
    with pytest.raises(ApiUnavailable, match="does not answer"):
        await api.get(PATH)
    assert "does not answer" in api.trouble
    await api.close()


async def test_a_watch_that_is_silent_ends_and_one_that_is_too_old_says_so() -> None:
    lines: list[dict[str, Any]] = [{"type": "ADDED", "object": {"metadata": {"name": "a"}}}]

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(web.json_response(line).body + b"\n")  # type: ignore[operator]
        await asyncio.sleep(60)
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", stream)
    async with TestServer(app) as server:
        api = KubeApi(configuration(str(server.make_url(""))), OperatorMetrics())
        events = [event async for event in api.watch("/api/v1/pods", {}, inactivity=0.2)]
        assert [event["type"] for event in events] == ["ADDED"]
        lines[:] = [{"type": "ERROR", "object": {"code": 410, "message": "too old"}}]
        with pytest.raises(Expired, match="too old"):
            _ = [event async for event in api.watch("/api/v1/pods", {}, inactivity=5)]
        await api.close()
