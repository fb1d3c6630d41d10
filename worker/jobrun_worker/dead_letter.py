"""What a retry is of: the dead letter whose task is tried once more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeadLetter:
    sequence: int
    """Of its message in the stream of outcomes: what the retry comes to takes the place of just this one."""
    request: int
    """Sequence of the message that asks for the retry."""
    attempts: int = 0
    """That came before, of all deliveries and retries so far."""
    released_at: str = ""
    """When the task was released first, RFC 3339."""
