"""What the broker has denied to this user, to be told where something got no answer because of it.

A publish that is denied is dropped, and a subscription that is denied hears nothing: from the one who waits for an
answer both look like a broker that is away. The broker says so on the side, in an ``-ERR`` of its own (source:
nats-server, ``server/client.go``, ``pubPermissionViolation`` and ``subPermissionViolation``), which the client library
hands over in lower case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HELP = "docs/nats-permissions.md lists what it needs"

_PATTERN = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')
_PUBLISH, _SUBSCRIPTION = "publish", "subscription"


@dataclass(frozen=True, slots=True)
class Denial:
    """``subject`` in lower case, as the broker tells it."""

    kind: str
    subject: str

    @classmethod
    def parse(cls, error: str) -> Denial | None:
        """None where the error is another one."""
        found = _PATTERN.search(error.lower())
        return cls(found[1], found[2]) if found is not None else None


class Denials:
    """Of one connection: another one may have other permissions, and the broker denies again what it still denies.

    Times are seconds of any clock that does not go back, always the same one.
    """

    def __init__(self, inbox: str) -> None:
        """``inbox``: the prefix under which this user takes its answers."""
        self._inbox = inbox
        self._at: dict[Denial, float] = {}

    def add(self, denial: Denial, now: float) -> bool:
        """Whether it is the first of its kind."""
        new = denial not in self._at
        self._at[denial] = now
        return new

    def forget(self) -> None:
        self._at.clear()

    @property
    def of_inbox(self) -> bool:
        """Whether no answer can come at all."""
        prefix = self._inbox.lower()
        return any(one.kind == _SUBSCRIPTION and one.subject.startswith(prefix) for one in self._at)

    def why(self, subject: str, since: float) -> str:
        """Why what was published to ``subject`` at ``since`` got no answer, for a user to act on; empty: not for that.

        The inbox comes first: without one nothing is answered, whatever else is denied.
        """
        if self.of_inbox:
            return f"the broker denies this user to subscribe to {self._inbox}.>: {HELP}"
        denied_at = self._at.get(Denial(_PUBLISH, subject.lower()))
        if denied_at is not None and denied_at >= since:
            return f"the broker denies this user to publish to {subject}: {HELP}"
        return ""
