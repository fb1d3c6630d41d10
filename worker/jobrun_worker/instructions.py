"""What a handler may raise to say how its task goes on."""

from __future__ import annotations


class Retry(Exception):
    """This attempt failed; try again after ``after`` seconds (without it, by the run's back-off)."""

    def __init__(self, after: float | None = None, reason: str = "") -> None:
        super().__init__(reason or "the handler asked for a retry")
        self.after = after


class Fail(Exception):
    """This task can't succeed: store its dead letter now, without further attempts."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the handler gave the task up")


class Throttled(Exception):
    """The other side asks for a pause: take no task for ``seconds``. No attempt is used up."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or f"throttled for {seconds:g} s")
        self.seconds = seconds
