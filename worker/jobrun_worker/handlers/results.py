"""A handler's result as it is stored: one JSON value, of a size that the broker takes."""

from __future__ import annotations

import json
from typing import Any

from jobrun_worker.instructions import Fail

_encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def encode(value: Any, limit: int) -> bytes:
    """What a Python handler returned. Raises Fail where that is no JSON value, or too large to store.

    Another attempt would cost the same work again and end the same way, so neither is retried.
    """
    try:
        body = _encoder.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Fail(f"the result is not a JSON value, but results are retained: {error}") from None
    return bounded(body, limit)


def from_text(output: bytes, limit: int) -> bytes:
    """What a command or an endpoint put out: itself where it is JSON, else a JSON text."""
    bounded(output, limit)
    try:
        json.loads(output, parse_constant=_refuse)
    except (ValueError, RecursionError):
        text = output.decode(errors="replace")
        return bounded(json.dumps(text, ensure_ascii=False).encode(), limit)
    return output.strip()


def bounded(body: bytes, limit: int) -> bytes:
    """Raises Fail where ``body`` is larger than ``limit`` bytes."""
    if len(body) > limit:
        raise too_large(limit)
    return body


def too_large(limit: int) -> Fail:
    return Fail(
        f"the result is larger than the {limit:,} bytes that the broker stores in one message; "
        "store it elsewhere and return a reference"
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
