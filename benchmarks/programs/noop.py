"""Handlers that do nothing."""

from __future__ import annotations

from typing import Any

import marks


async def one(payload: object) -> None:
    pass


async def marked(payload: dict[str, Any]) -> None:
    marks.mark(payload["index"])


async def result(payload: object) -> dict[str, int]:
    return {"done": 1}


async def batch(payloads: list[object]) -> list[object]:
    return payloads
