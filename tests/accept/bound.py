"""One bound of what must hold: what was measured, and its limit."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    what: str
    measured: str
    limit: str
    holds: bool
    of_speed: bool = False
    """It also depends on how fast this machine is just now: for ``make accept`` alone, never for a test."""


def at_most(what: str, measured: float, limit: float, unit: str = "", *, of_speed: bool = False) -> Bound:
    return Bound(
        what, f"{_number(measured)}{unit}", f"at most {_number(limit)}{unit}", measured <= limit, of_speed
    )


def at_least(what: str, measured: float, limit: float, unit: str = "", *, of_speed: bool = False) -> Bound:
    return Bound(
        what, f"{_number(measured)}{unit}", f"at least {_number(limit)}{unit}", measured >= limit, of_speed
    )


def same(what: str, measured: object, expected: object) -> Bound:
    return Bound(what, _shown(measured), _shown(expected), measured == expected)


def true(what: str, holds: bool, otherwise: object = "no") -> Bound:
    """``otherwise`` tells what was found instead."""
    return Bound(what, "yes" if holds else _shown(otherwise), "yes", holds)


def told(what: str, measured: str) -> Bound:
    """A figure without a limit."""
    return Bound(what, measured, "none", True)


def _shown(value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    text = f"{value:,}" if is_number else " ".join(str(value).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def _number(value: float) -> str:
    if math.isinf(value):
        return "never"
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
