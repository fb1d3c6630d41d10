"""How long fuzzing goes on: some seconds in ``make test``, a hundred times as many examples with ``FUZZ=100``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ", "1"))


def examples(number: int) -> settings:
    """So many, times ``FUZZ``."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=number * TIMES, deadline=None, suppress_health_check=slow)
