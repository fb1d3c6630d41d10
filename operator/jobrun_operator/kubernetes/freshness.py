"""Whether the watch still tells what happens: compared with what lists show.

A watch can look alive and tell nothing. Each list shows versions of runs that a watch must have told as well; one that
it owes for long has lost its way, and only a new process is sure to find it again. While the API is away there are no
lists, and so no evidence: a restart would not help then.
"""

from __future__ import annotations


class Freshness:
    """Times are seconds of one clock."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._owed: dict[str, tuple[int, float]] = {}
        """By uid: the version that a list has shown, and since when the watch has owed it or a later one."""

    def listed(self, uid: str, version: str, now: float) -> None:
        number = _number(version)
        if number > self._seen.get(uid, -1) and uid not in self._owed:
            self._owed[uid] = (number, now)

    def seen(self, uid: str, version: str) -> None:
        number = max(_number(version), self._seen.get(uid, -1))
        self._seen[uid] = number
        if uid in self._owed and self._owed[uid][0] <= number:
            del self._owed[uid]

    def forget(self, uid: str) -> None:
        self._seen.pop(uid, None)
        self._owed.pop(uid, None)

    def keep(self, uids: set[str]) -> None:
        """Forget all but these: what was deleted while the watch was cut."""
        for uid in (self._seen.keys() | self._owed.keys()) - uids:
            self.forget(uid)

    def behind(self, now: float) -> float:
        """Seconds for which the watch has owed something; 0 where it owes nothing."""
        return max((now - since for _, since in self._owed.values()), default=0.0)


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
