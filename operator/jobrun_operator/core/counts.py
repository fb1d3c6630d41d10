"""Section by section of a run's progress, worked out from what the streams say; nothing is kept by adding up.

    released = last sequence      outstanding = messages in the stream      waiting = not yet taken
    failed = dead letters         succeeded = released - outstanding - failed

A dead letter that is being retried is outstanding, and not failed. With kept results ``succeeded`` is the number of
results instead; where nothing is outstanding and there are fewer than there should be, the difference is ``lost``: the
broker lost outcomes that it had acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of tasks."""

    total: int
    released: int
    outstanding: int
    waiting: int
    succeeded: int
    failed: int
    redeliveries: int
    lost: int = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed

    @property
    def finished(self) -> bool:
        """Everything is released and nothing is outstanding."""
        return self.released >= self.total and self.outstanding == 0


def count(
    *,
    total: int,
    last_seq: int,
    messages: int,
    waiting: int,
    failed: int,
    kept: int | None,
    redeliveries: int,
    retrying: int = 0,
) -> Counts:
    """``kept``: results stored, or None where results are not kept; ``retrying``: of the dead letters, which ``failed``
    counts as well. The reads behind the arguments are not of one
    moment, so a difference that can't be below zero is held at zero: the next look puts it right."""
    gone = max(0, last_seq - messages)
    retrying = min(retrying, failed)
    by_absence = max(0, gone - failed)
    succeeded = by_absence if kept is None else min(kept, by_absence)
    return Counts(
        total=total,
        released=last_seq,
        outstanding=messages + retrying,
        waiting=min(waiting, messages + retrying),
        succeeded=succeeded,
        failed=failed - retrying,
        redeliveries=redeliveries,
        lost=by_absence - succeeded if messages == 0 else 0,
    )
