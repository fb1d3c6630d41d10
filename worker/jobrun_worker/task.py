"""What a handler learns about its task besides the payload."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """``index`` is the task's place in the run, from 0; ``attempt`` counts from 1."""

    index: int
    attempt: int
    run: str
    namespace: str
    idempotency_key: str
    """``<uid of the run>-<index>``: the same for every attempt; hand it to APIs that deduplicate by key."""


NO_TASK = Task(0, 1, "", "", "")
"""For a handler that does not look at it."""
