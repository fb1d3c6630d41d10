"""Handlers that do nothing."""

from __future__ import annotations


async def one(payload: object) -> None:
    pass


async def result(payload: object) -> dict[str, int]:
    return {"done": 1}


async def batch(payloads: list[object]) -> list[object]:
    return payloads
