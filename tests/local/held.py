"""Asserts the bounds of a scenario in small form."""

from __future__ import annotations

from collections.abc import Iterator

from accept.bound import Bound


def assert_all_hold(bounds: Iterator[Bound]) -> None:
    """All but those that also depend on how fast this machine is just now."""
    found = list(bounds)
    assert found
    broken = [bound for bound in found if not bound.holds and not bound.of_speed]
    assert not broken, "\n".join(
        f"{bound.what}: {bound.measured}, where it must be {bound.limit}" for bound in broken
    )
