"""What a handler may raise: seconds are numbers, and anything else is an error of the handler, not of the worker."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from jobrun_worker import Retry, Throttled


@pytest.mark.parametrize("seconds", [1, 0.5, Fraction(1, 2), -1, float("nan")])
def test_numbers(seconds: Any) -> None:
    for given in (Retry(seconds).after, Throttled(seconds).seconds):
        assert isinstance(given, float)
        assert given == float(seconds) or seconds != seconds  # not a number


@pytest.mark.parametrize("seconds", ["soon", "5", timedelta(seconds=1), True, [1]])
@pytest.mark.parametrize("instruction", [Retry, Throttled])
def test_what_is_no_number_is_named(instruction: Any, seconds: Any) -> None:
    with pytest.raises(TypeError, match="seconds are given as a number, not as"):
        instruction(seconds)


def test_a_retry_by_the_runs_own_backoff() -> None:
    assert Retry().after is None
