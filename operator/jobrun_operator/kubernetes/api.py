"""The Kubernetes API as requests of JSON, with our errors instead of the client's: the one place that talks to it.

The official client brings the addresses, credentials, their renewal and TLS. Objects stay JSON as they came: what is
read is written back without loss, and server-side apply sends what it means and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from time import monotonic
from typing import Any

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException

from jobrun_operator.errors import (
    ApiUnavailable,
    Conflict,
    EnvironmentFault,
    Gone,
    JobRunError,
    NotAllowed,
    Refused,
)
from jobrun_operator.kubernetes.denials import Denials, Kind
from jobrun_operator.metrics import OperatorMetrics

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

REQUEST_SECONDS = 15.0
"""An API server that is alive answers in milliseconds; one that does not must not hold a run for minutes."""

_MOST_TRIES = 4
_LONGEST_ASKED_WAIT = 10.0
"""Seconds that the server may ask to wait (``Retry-After`` of a 429) before a request is given up for now."""

_TLS_CLOSE_SECONDS = 0.25

_WITHOUT_LIMIT = 0
"""Connections for watches: each keeps one for itself, and there are two watches a namespace. Requests have a pool of
their own, in which they wait for each other only."""

_REFUSED_APPLY = (b"failed to create typed patch object", b"unable to convert")
"""What an apply of a value of the wrong type says, with a 500, though no later try can do better."""

_DENIED = re.compile(
    r"""admission webhook ".*?" denied the request"""
    r"""|\S+ "[^"]*" is forbidden: ValidatingAdmissionPolicy '.*?'( with binding '.*?')? denied request"""
)
"""How the message of an admission rule begins, whose code may be any: a webhook chooses it (400 where it does not), a
policy's is 422 by default, as for an object that is not valid (source: Kubernetes, ``webhook/errors/statuserror.go``
and ``policy/validating/dispatcher.go``)."""

Object = dict[str, Any]


class Expired(ApiUnavailable):
    """A list or watch goes on from a version that the server does not have any more: begin again (410)."""


async def load_configuration() -> Configuration:
    """In a pod its service account's, else that of ``KUBECONFIG``. Raises EnvironmentFault."""
    configuration = Configuration()
    try:
        kube_config.load_incluster_config(client_configuration=configuration)
    except ConfigException:
        try:
            await kube_config.load_kube_config(client_configuration=configuration)
        except (ConfigException, OSError) as error:
            raise EnvironmentFault(
                f"no way to a Kubernetes API: not in a pod, and no usable kubeconfig ({error}); set KUBECONFIG"
            ) from error
    return configuration


class KubeApi:
    """``path`` is that of the API, such as ``/apis/apps/v1/namespaces/default/deployments``."""

    def __init__(self, configuration: Configuration, metrics: OperatorMetrics) -> None:
        self._client = _client(configuration)
        self._watcher = _client(configuration)
        self._watcher.rest_client.maxsize = _WITHOUT_LIMIT
        self._metrics = metrics
        self._denials = Denials()
        self._silence = ""
        """Why the API could not be used at the last try; empty: it could."""

    @property
    def trouble(self) -> str:
        """Why the API can't be used, or what it does not let the operator do; empty: nothing of that."""
        return self._silence or self._denials.trouble(monotonic())

    async def close(self) -> None:
        await self._client.close()
        await self._watcher.close()
        # The client returns before its TLS connections are closed; what is documented for that is a short wait
        # (source: aiohttp's documentation, "Graceful shutdown" of the client).
        await asyncio.sleep(_TLS_CLOSE_SECONDS)

    async def get(self, path: str, **query: str) -> Object:
        return await self.request("GET", path, query=query)

    async def apply(self, path: str, manifest: Object, *, manager: str) -> Object:
        """Server-side apply: ``manager`` owns the fields of ``manifest``, and gives up what it owned beyond."""
        query = {"fieldManager": manager, "force": "true"}
        return await self.request("PATCH", path, query=query, body=manifest, content_type=APPLY)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = JSON,
    ) -> Object:
        """The answer. Raises Gone (404), Conflict (409), NotAllowed (401, 403, admission), Refused (400, 422),
        Expired (410), ApiUnavailable."""
        for tries in range(1, _MOST_TRIES + 1):
            started, status = monotonic(), 0
            try:
                response = await self._send(
                    self._client, method, path, query or {}, body, content_type, REQUEST_SECONDS
                )
                async with response:
                    status = response.status
                    text = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self._silence = f"the Kubernetes API does not answer ({_text(error)})"
                raise ApiUnavailable(self._silence) from error
            finally:
                self._metrics.api_seconds.labels(method, Kind.of(method, path).resource, status).observe(
                    monotonic() - started
                )
            wait = _asked_wait(status, response.headers)
            if wait is None or tries == _MOST_TRIES or wait > _LONGEST_ASKED_WAIT:
                break
            await asyncio.sleep(wait)
        self._silence = _why_silent(status)
        self._note(Kind.of(method, path), status, text)
        if status < 300:
            return _decoded(text)
        if status == 500 and content_type == APPLY and any(said in text for said in _REFUSED_APPLY):
            status = 422
        raise _error(status, text, f"{method} {path}")

    async def watch(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        inactivity: float,
        on_begin: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Object]:
        """Events until the server ends the stream, or none came for ``inactivity`` seconds: go on from the last
        version. ``on_begin`` is called when the server has let the watch begin. Raises as ``request``."""
        asked = {**query, "watch": "true", "allowWatchBookmarks": "true"}
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._send(self._watcher, "GET", path, asked, None, JSON, None)
            async with response:
                if response.status >= 300:
                    async with asyncio.timeout(REQUEST_SECONDS):
                        text = await response.read()
                    self._note(Kind.of("WATCH", path), response.status, text)
                    raise _error(response.status, text, f"watching {path}")
                self._note(Kind.of("WATCH", path), response.status, b"")
                on_begin()
                while True:
                    try:
                        async with asyncio.timeout(inactivity):
                            line = await response.content.readline()
                    except TimeoutError:
                        return
                    if not line:
                        return
                    event = _decoded(line)
                    if event.get("type") == "ERROR":
                        code = int(event.get("object", {}).get("code", 500))
                        raise _error(code, line, f"watching {path}")
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiUnavailable(f"watching {path} was cut ({_text(error)})") from error

    def _note(self, kind: Kind, status: int, text: bytes) -> None:
        message = _message(text) if status == 403 else ""
        self._denials.answered(kind, status, message, monotonic())

    async def _send(
        self,
        client: ApiClient,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        content_type: str,
        seconds: float | None,
    ) -> aiohttp.ClientResponse:
        serialized = await client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": JSON, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=REQUEST_SECONDS)
        response = await client.call_api(*serialized, _request_timeout=timeout)
        answer: aiohttp.ClientResponse = response.response
        return answer


def _client(configuration: Configuration) -> ApiClient:
    client = ApiClient(configuration)
    client.user_agent = "jobrun-operator"
    return client


def collection(group_version: str, plural: str, namespace: str | None = None) -> str:
    """The path of a collection; ``namespace`` None: of all namespaces."""
    root = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


def metadata(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = item.get("metadata") or {}
    return found


def _why_silent(status: int) -> str:
    if status == 401:
        return "the Kubernetes API does not know the operator (401): see to the token of its ServiceAccount"
    return f"the Kubernetes API fails ({status})" if status >= 500 else ""


def _asked_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds after which the server asks to be asked again; None where it does not."""
    if status not in (429, 503):
        return None
    try:
        return max(0.05, float(headers.get("Retry-After", "1" if status == 429 else "")))
    except ValueError:
        return None


def _decoded(text: bytes) -> Object:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


def _error(status: int, text: bytes, what: str) -> JobRunError:
    message = _message(text)
    if status in (401, 403) or _DENIED.match(message):
        return NotAllowed(f"the Kubernetes API does not allow this: {message}")
    if status == 404:
        return Gone(f"{what}: {message}")
    if status == 409:
        return Conflict(f"{what}: {message}")
    if status == 410:
        return Expired(f"{what}: {message}")
    if status in (400, 413, 415, 422):
        return Refused(f"the Kubernetes API refuses this: {message}")
    return ApiUnavailable(f"the Kubernetes API failed ({status}): {message}")


def _message(text: bytes) -> str:
    try:
        said = _decoded(text)
        return str(said.get("message") or said.get("object", {}).get("message") or "no message")
    except ValueError:
        return text[:200].decode(errors="replace")


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
