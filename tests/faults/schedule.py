"""What goes wrong in one run, and when: drawn from a seed, so that the same seed is the same schedule.

Each fault has a target; faults of one target never overlap (what is killed can't be frozen as well), those of
different ones may.

A run is hurt at a few hundred tasks a second, or *at full rate*: tens of thousands of tasks and no-op handlers.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    target: str
    weight: int
    shortest: float
    longest: float
    """Seconds that it lasts: of a killed process, until it is started again (a worker at once)."""


LINKS = ("engine-link", "worker-link")
"""The connections of the engine, and of all workers, to the broker."""

_OF_LINKS = {
    "cut": Kind("", 4, 0.1, 4.0),  # connections are reset, and refused until it is over
    "silent": Kind("", 3, 0.2, 7.0),  # nothing passes; what was under way arrives afterwards
    "one-way-out": Kind("", 3, 0.2, 7.0),  # what clients say does not arrive, what the broker says does
    "one-way-in": Kind("", 3, 0.2, 7.0),
    "lost": Kind("", 2, 0.2, 7.0),  # silent, and at the end reset: what was under way never arrives
    "slow": Kind("", 3, 1.0, 5.0),
}

KINDS: Mapping[str, Kind] = {
    "worker-killed": Kind("worker", 6, 0.0, 0.0),
    "worker-frozen": Kind("worker", 5, 0.2, 6.0),
    "worker-drained": Kind("worker", 3, 0.0, 0.0),
    "worker-torn": Kind("worker", 6, 0.0, 0.0),  # all of them die, each in the middle of what it says
    "engine-killed": Kind("engine", 6, 0.0, 3.0),
    "engine-frozen": Kind("engine", 5, 0.2, 5.0),
    "engine-torn": Kind("engine", 5, 0.0, 2.0),
    "engine-doubled": Kind("engine", 4, 1.0, 5.0),  # a second one comes, and goes by SIGKILL
    "broker-killed": Kind("broker", 6, 0.0, 3.0),
    "broker-frozen": Kind("broker", 5, 0.2, 5.0),
    "broker-stopped": Kind("broker", 3, 0.0, 3.0),
    "power-lost": Kind("broker", 4, 0.0, 2.0),
    "disk-slow": Kind("broker", 5, 1.0, 4.0),
    "disk-full": Kind("broker", 4, 0.5, 3.0),
    "engine-clock": Kind("engine-clock", 3, 0.5, 4.0),
    "worker-clock": Kind("worker-clock", 3, 0.5, 4.0),
} | {
    f"{link}-{name}": Kind(link, kind.weight, kind.shortest, kind.longest)
    for link in LINKS
    for name, kind in _OF_LINKS.items()
}

POWER_LOST = "power-lost"
_NOT_WITH_POWER_LOST = frozenset({"broker-killed", "broker-stopped", "disk-slow", "disk-full", POWER_LOST})
"""What the power cut leaves is told from all that one server process has written, and by one tracer."""

_APART = 0.3
"""Seconds between two faults of a target."""

FULL_EVERY = 5
"""Each seed that is divisible by it is at full rate, unless all are asked to be."""
_FULL_TASKS = 60_000
_FULL_TASKS_SYNCED = 20_000
"""Where each outcome and each ack waits for the disk."""
_FULL_SECONDS = 8.0
"""In which the faults begin: with what they cost, two cores take longer for the tasks."""
_FULL_KILLS = ("worker-killed", "engine-killed", "broker-killed")
"""All of them, in each run at full rate."""
_FULL_OTHERS = (
    *("worker-killed", "worker-torn", "worker-frozen", "worker-drained", "engine-killed", "engine-torn"),
    *(
        "engine-frozen",
        "engine-doubled",
        "broker-killed",
        "broker-frozen",
        "worker-link-cut",
        "engine-link-cut",
    ),
)
_FULL_SHAPES = ((None, 1), (100, 1), (None, 2), (100, 2))
"""``worker.batchSize`` and ``worker.processes``, one after the other."""

_STEPS = (-86_400.0, -3_600.0, -30.0, -1.0, 1.0, 30.0, 3_600.0, 86_400.0)
"""Of a clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    at: float
    """Seconds after the schedule's beginning."""
    seconds: float
    which: int
    """Of several processes the one with this number, modulo how many there are."""
    amount: float
    """Of a step: seconds. Of slowness: seconds that each piece of data, or each write to the disk, waits."""

    @property
    def target(self) -> str:
        return KINDS[self.kind].target

    @property
    def end(self) -> float:
        return self.at + self.seconds

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.2f} s" if self.seconds else ""
        amount = f" by {self.amount:g} s" if self.amount else ""
        return f"{self.at:6.2f} s  {self.kind}{lasts}{amount}"


@dataclass(frozen=True, slots=True)
class Schedule:
    seed: int
    tasks: int
    rate: int | None
    """Tasks a second; None: as fast as workers keep up."""
    concurrency: int
    sync_always: bool
    """Whether the broker syncs each write to the disk."""
    from_start: bool
    """Faults begin with the engine's start, and not with the first task."""
    keeps_results: bool
    scales: bool
    """The engine decides how many workers there are; else there are two."""
    faults: tuple[Fault, ...]
    full_rate: bool = False
    """No rate, and handlers that do nothing."""
    batch_size: int | None = None
    """At full rate only."""
    processes: int = 1
    """Of each worker."""

    def __str__(self) -> str:
        pace = "full rate" if self.full_rate else f"{self.rate}/s" if self.rate else "no rate"
        sync = "each write synced" if self.sync_always else "writes not synced"
        head = f"seed {self.seed}: {self.tasks} tasks, {pace}, {self._at_a_time}, {sync}"
        return "\n".join([head, *(f"  {fault}" for fault in self.faults)])

    @property
    def _at_a_time(self) -> str:
        calls = f"{self.concurrency} at a time in a worker"
        batches = f" in batches of {self.batch_size}" if self.batch_size else ""
        return calls + batches + (f" of {self.processes} processes" if self.processes > 1 else "")

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(fault.kind for fault in self.faults)


def choose(seed: int, *, full: bool = False) -> Schedule:
    """``full``: at full rate, whatever the seed."""
    return draw_full(seed) if full or seed % FULL_EVERY == 0 else draw(seed)


def draw_full(seed: int) -> Schedule:
    """Tens of thousands of tasks at full rate, with kills of worker, engine and broker and one to three more faults."""
    dice = random.Random(seed)
    sync_always = dice.random() < 0.25
    batch_size, processes = _FULL_SHAPES[seed % len(_FULL_SHAPES)]
    names = (*_FULL_KILLS, *dice.choices(_FULL_OTHERS, k=dice.randint(1, 3)))
    return Schedule(
        seed=seed,
        tasks=_FULL_TASKS_SYNCED if sync_always else _FULL_TASKS,
        rate=None,
        concurrency=dice.choice((2, 4)) if batch_size else dice.choice((16, 64)),
        sync_always=sync_always,
        from_start=False,
        keeps_results=True,
        scales=False,
        faults=_in_time(_spread(dice, names)),
        full_rate=True,
        batch_size=batch_size,
        processes=processes,
    )


def _spread(dice: random.Random, names: Sequence[str]) -> list[Fault]:
    """A fault of each name, at some time that is apart from others of its target; the first of a target always."""
    faults: list[Fault] = []
    for name in names:
        fault = _fault(dice, name, _FULL_SECONDS)
        if all(_apart(fault, other) for other in faults):
            faults.append(fault)
    return faults


def _in_time(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: fault.at))


def draw(seed: int, *, seconds: float = 7.0) -> Schedule:
    """``seconds``: how long the run would take without faults. They begin until a second before that."""
    dice = random.Random(seed)
    rate = dice.choice((None, 200, 300, 400))
    tasks = int((rate or 400) * seconds)
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    faults: list[Fault] = []
    for name in dice.choices(names, weights, k=dice.randint(5, 9)):
        fault = _fault(dice, name, seconds - 1)
        if name in _NOT_WITH_POWER_LOST and any(_exclude(name, other.kind) for other in faults):
            continue
        if all(_apart(fault, other) for other in faults):
            faults.append(fault)
    return Schedule(
        seed=seed,
        tasks=tasks,
        rate=rate,
        concurrency=dice.choice((8, 16, 64)),
        sync_always=dice.random() < 0.5,
        from_start=dice.random() < 0.25 and not any(fault.kind == POWER_LOST for fault in faults),
        keeps_results=dice.random() < 0.75,
        scales=dice.random() < 0.4,
        faults=_in_time(faults),
    )


def _fault(dice: random.Random, name: str, window: float) -> Fault:
    kind = KINDS[name]
    amount = 0.0
    if name.endswith("-clock"):
        amount = dice.choice(_STEPS)
    elif name.endswith("slow"):
        amount = dice.choice((0.005, 0.02, 0.1))
    # Short ones are more frequent: most of what goes wrong is over before anybody has noticed.
    longest = min(kind.longest, window)
    length = kind.shortest + (longest - kind.shortest) * dice.random() ** 2
    return Fault(
        kind=name,
        at=round(dice.uniform(0.0, window), 2),
        seconds=round(length, 2),
        which=dice.randrange(1000),
        amount=amount,
    )


def _exclude(one: str, other: str) -> bool:
    return POWER_LOST in (one, other) and {one, other} <= _NOT_WITH_POWER_LOST


def _apart(one: Fault, other: Fault) -> bool:
    return one.target != other.target or one.at > other.end + _APART or other.at > one.end + _APART
