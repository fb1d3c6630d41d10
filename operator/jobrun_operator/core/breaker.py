"""The circuit breaker of a run: when so much fails that it is the partner's fault and not the tasks'. Pure.

The pattern is Nygard's ("Release It!", 2007), its two thresholds those of resilience4j. One breaker is for all workers
of a run; what it does when it trips is a hold of the run, which the workers obey by themselves:

    state       ends when                                                     next
    Closed      consecutiveFailures attempts in a row have failed, over all   Open
                workers, in the order in which they are told
    Closed      failurePercent of the attempts of the last windowSeconds      Open
                have failed, of at least minimumAttempts
    Open        the hold of openSeconds is over                               Half-open
    Half-open   an attempt succeeds                                           Closed
    Half-open   some attempts of one worker have failed                       Open

Here is what leaves Closed. The rest is the workers' (``jobrun_worker.trial``): it is theirs also while no operator
runs, and it is in the record of the hold, so that one which starts again, or anew, knows.

Attempts that fail by an exception, a time limit or ``Retry`` count; a task that its handler gives up (``Fail``) and a
pause that it asks for (``Throttled``) say nothing about the partner, or have been obeyed already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobrun_worker.wire import Pulse

_PARTS = 30
"""Of the window: what was told in the same one is forgotten together, so that what is remembered has a bound."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """``spec.circuitBreaker``, with its defaults."""

    consecutive_failures: int
    failure_percent: int
    window_seconds: float
    minimum_attempts: int


@dataclass(frozen=True, slots=True)
class Part:
    """What was told in a part of the window."""

    number: int
    ended: int
    failed: int


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is remembered while it is closed."""

    streak: int = 0
    """Attempts that have failed since the last success."""
    parts: tuple[Part, ...] = ()
    """The oldest first."""


def after(breaker: Breaker, pulse: Pulse, settings: BreakerSettings, now: float) -> tuple[Breaker, str]:
    """The breaker after ``pulse`` was told at ``now`` (seconds of a monotonic clock), and why it trips; empty: it does
    not."""
    streak = pulse.tail if pulse.succeeded else breaker.streak + pulse.failed
    number = int(now * _PARTS / settings.window_seconds)
    parts = [part for part in breaker.parts if part.number > number - _PARTS]
    last = parts.pop() if parts and parts[-1].number == number else Part(number, 0, 0)
    parts.append(
        replace(last, ended=last.ended + pulse.succeeded + pulse.failed, failed=last.failed + pulse.failed)
    )
    return Breaker(streak, tuple(parts)), _why(streak, parts, settings)


def _why(streak: int, parts: list[Part], settings: BreakerSettings) -> str:
    if streak >= settings.consecutive_failures:
        return f"{streak} attempts in a row failed"
    ended, failed = sum(part.ended for part in parts), sum(part.failed for part in parts)
    if ended >= settings.minimum_attempts and failed * 100 >= settings.failure_percent * ended:
        return f"{failed} of {ended} attempts failed in {settings.window_seconds:g} s"
    return ""
