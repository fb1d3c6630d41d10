"""Python handlers: ``module:function``, sync in threads or async on the worker's loop."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jobrun_worker.describe import describe
from jobrun_worker.handlers import HandlerError
from jobrun_worker.handlers.results import encode
from jobrun_worker.instructions import Fail
from jobrun_worker.task import Task

Function = Callable[..., Any]

_decoder = json.JSONDecoder()
_read = _decoder.raw_decode


def from_json(text: str) -> Any:
    """Raises ValueError and RecursionError. Half the price of the library's ``decode`` where no whitespace surrounds
    the value, as in what JobRun itself has released."""
    try:
        value, end = _read(text)
    except ValueError:
        end = -1
    return value if end == len(text) else _decoder.decode(text)


def resolve(reference: str) -> Function:
    """Import ``module:function``, with the working directory first on the path. Raises HandlerError."""
    name, colon, attributes = reference.partition(":")
    if not colon or not name or not attributes:
        raise HandlerError(f"{reference!r} is not module:function")
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        found: Any = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise HandlerError(
            f"can't import {name!r} of the handler {reference!r} (working directory {directory}): {describe(error)}"
        ) from error
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise HandlerError(f"the module {name!r} has no {attributes!r} (from {found_in(name)})") from None
    if not callable(found):
        raise HandlerError(f"{reference!r} is of type {type(found).__name__}, not a function")
    _takes_task(found)
    return found  # type: ignore[no-any-return]


def found_in(name: str) -> str:
    return getattr(sys.modules.get(name), "__file__", None) or "an unknown file"


def _takes_task(function: Function) -> bool:
    """Whether to call ``function(payload, task)``: it has a second parameter without default, or named task.

    Raises HandlerError where neither ``(payload)`` nor ``(payload, task)`` fits.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False  # some builtins have none
    positional = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    takes = len(positional) > 1 and (
        positional[1].default is inspect.Parameter.empty or positional[1].name == "task"
    )
    try:
        signature.bind(None, None) if takes else signature.bind(None)
    except TypeError as error:
        raise HandlerError(
            f"the handler must take (payload) or (payload, task), not {signature}: {error}"
        ) from None
    return takes


class PythonHandler:
    def __init__(self, function: Function, *, threads: int, retain: bool) -> None:
        self._function = function
        self.wants_task = _takes_task(function)
        self._retain = retain
        self._limit = sys.maxsize
        self._stuck = 0
        call = type(function).__call__ if not inspect.isroutine(function) else function
        asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
        self._pool = None if asynchronous else ThreadPoolExecutor(threads, thread_name_prefix="handler")
        self._call: Callable[..., Awaitable[Any]] = function if asynchronous else self._in_thread

    @property
    def stuck(self) -> int:
        return self._stuck

    def limit_result(self, size: int) -> None:
        self._limit = size

    async def open(self) -> None:
        """Nothing to prepare: threads start as they are needed."""

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=not self._stuck, cancel_futures=True)

    def kill(self) -> None:
        """Threads can't be killed; the process exits over them."""

    async def __call__(self, payload: bytes, task: Task) -> bytes:
        try:
            value = from_json(payload.decode())
        except (ValueError, RecursionError) as error:
            raise Fail(f"the payload is not JSON: {error}") from None
        result = await (self._call(value, task) if self.wants_task else self._call(value))
        return encode(result, self._limit) if self._retain else b""

    async def _in_thread(self, *arguments: Any) -> Any:
        assert self._pool is not None  # noqa: S101  # for the type checker: set for every sync function
        loop = asyncio.get_running_loop()
        running = self._pool.submit(_call, self._function, arguments)
        try:
            result = await asyncio.wrap_future(running, loop=loop)
        except asyncio.CancelledError:
            if not running.cancel() and not running.done():
                self._stuck += 1
                running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._freed))
            raise
        if inspect.isawaitable(result):
            return await _awaited(result)
        return result

    def _freed(self) -> None:
        self._stuck -= 1


def _call(function: Function, arguments: tuple[Any, ...]) -> Any:
    """In a thread. A StopIteration can't be set on a future: it would never be seen."""
    try:
        return function(*arguments)
    except StopIteration as error:
        raise RuntimeError(f"StopIteration: {error.value}") from error


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result
