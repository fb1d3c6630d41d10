"""Which streams nobody needs any more, and how sure that is.

A run may be deleted while the operator, or its watch, is away; its streams then stay behind. Deleting the wrong one
loses tasks for good, so each needs proof: it is this installation's and of a watched namespace, older than five
minutes, and a live look at the API said twice, in two sweeps, that the run does not exist (or exists under another
uid). What could not be asked is no evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

LEAST_AGE = timedelta(minutes=5)
LEAST_DENIALS = 2


@dataclass(frozen=True, slots=True)
class OwnedStreams:
    """Streams of one run of this installation, by what their metadata says; ``created`` is the younger one's."""

    namespace: str
    name: str
    uid: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Suspects:
    """How often in a row a live look has said that the run of these streams does not exist, by uid."""

    denials: Mapping[str, int]


def candidates(
    streams: Collection[OwnedStreams],
    *,
    known: Collection[str],
    namespaces: Collection[str] | None,
    now: datetime,
    least_age: timedelta = LEAST_AGE,
) -> list[OwnedStreams]:
    """Streams to ask the API about: not of a run that is known to exist, watched (None: all), and old enough."""
    return [
        stream
        for stream in streams
        if stream.uid not in known
        and (namespaces is None or stream.namespace in namespaces)
        and now - stream.created >= least_age
    ]


def judge(before: Suspects, answers: Mapping[str, bool]) -> tuple[Suspects, list[str]]:
    """``answers``: for each uid that was asked about, whether its run exists. Returns what to remember, and the uids
    whose streams may go. A uid that was not asked about this time begins anew."""
    denials = {uid: before.denials.get(uid, 0) + 1 for uid, exists in answers.items() if not exists}
    condemned = [uid for uid, count in denials.items() if count >= LEAST_DENIALS]
    return Suspects({uid: count for uid, count in denials.items() if uid not in condemned}), condemned
