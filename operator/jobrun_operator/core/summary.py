"""Numbers in the words that people read: in the columns of ``kubectl get``, and in a terminal."""

from __future__ import annotations

from jobrun_operator.api import Summary
from jobrun_operator.core.counts import Counts

_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_RATE_UNITS = ((1, "s"), (60, "min"), (3600, "h"), (86_400, "d"))


def counted(number: int, what: str) -> str:
    """ "1 line", "2,000 lines"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(counts: Counts) -> str:
    """Ended tasks of all tasks, rounded down: 100% means all."""
    return f"{100 * counts.ended // counts.total if counts.total else 0}%"


def duration(seconds: float) -> str:
    """At most two units, the second only where it matters: 45s, 12m, 1h30m, 22h, 3d4h."""
    left = max(0, round(seconds))
    for position, (size, unit) in enumerate(_UNITS):
        if left >= size:
            whole, rest = divmod(left, size)
            if whole < 10 and position + 1 < len(_UNITS):
                small_size, small = _UNITS[position + 1]
                if rest // small_size:
                    return f"{whole}{unit}{rest // small_size}{small}"
            return f"{whole}{unit}"
    return "0s"


def spoken_duration(seconds: float) -> str:
    """A duration in a sentence: "9.5 s", "12 min", "55 h 33 min"."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def rate(now: float, asked: tuple[int, int] | None) -> str:
    """Releases now and asked, in the asked period: "598/600/min"; without a rate "1234/s".

    ``now`` is in tasks/s, ``asked`` as (tasks, seconds).
    """
    if asked is None:
        return f"{_number(now)}/s"
    tasks, seconds = asked
    for size, unit in _RATE_UNITS:
        if size == seconds:
            return f"{_number(now * size)}/{tasks}/{unit}"
    size, unit = next(((s, u) for s, u in _RATE_UNITS if tasks / seconds * s >= 1), _RATE_UNITS[-1])
    return f"{_number(now * size)}/{_number(tasks / seconds * size)}/{unit}"


def asked_rate(asked: tuple[int, int]) -> str:
    """The asked rate alone: "600/min"."""
    return rate(0, asked).split("/", 1)[1]


def workers(ready: int, wanted: int) -> str:
    """Of the column: "2/3"."""
    return f"{ready}/{wanted}"


def eta_seconds(counts: Counts, ended_per_second: float, asked_per_second: float | None) -> float | None:
    """Seconds until the run is through: what is not ended at the speed of ends, and never sooner than the rate lets
    the rest be released. None where nothing tells: while what was released does not end there is no rate to go by."""
    left = counts.total - counts.ended
    if left <= 0:
        return 0.0
    by_ends = left / ended_per_second if ended_per_second > 0 else None
    if asked_per_second is None:
        return by_ends
    by_rate = (counts.total - counts.released) / asked_per_second
    if by_ends is not None:
        return max(by_ends, by_rate)
    begun = counts.released > 0 and counts.ended == 0
    return None if begun or not by_rate else by_rate


def summarize(
    counts: Counts,
    *,
    released_per_second: float,
    asked: tuple[int, int] | None,
    ready: int,
    wanted: int,
    eta: float | None,
) -> Summary:
    return Summary(
        progress=percent(counts),
        rate=rate(released_per_second, asked),
        workers=workers(ready, wanted),
        eta=None if eta is None else duration(eta),
    )


def _number(value: float) -> str:
    """Whole from 10 on; below it a digit more, and below 0.1 as many as it takes to show one."""
    if value == int(value) or value >= 9.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 0.05 else f"{float(f'{value:.1g}'):.10f}".rstrip("0")
