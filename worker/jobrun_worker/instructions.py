"""What a handler may raise to say how its task goes on."""

from __future__ import annotations

from numbers import Real


class Retry(Exception):
    """This attempt failed; try again after ``after`` seconds (without it, by the run's back-off)."""

    def __init__(self, after: float | None = None, reason: str = "") -> None:
        super().__init__(reason or "the handler asked for a retry")
        self.after = None if after is None else _seconds(after)


class Fail(Exception):
    """This task can't succeed: store its dead letter now, without further attempts."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the handler gave the task up")


class Throttled(Exception):
    """The other side asks for a pause: take no task for ``seconds``. No attempt is used up."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        self.seconds = _seconds(seconds)
        super().__init__(reason or f"throttled for {self.seconds:g} s")


def _seconds(given: object) -> float:
    """Raises TypeError, which then is the error of the attempt, and names the handler's line."""
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(f"seconds are given as a number, not as {given!r}")
    return float(given)
