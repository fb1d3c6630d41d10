"""How many workers a run needs now, before bounds, limits and stabilization.

**By drain time.** As many as serve what comes in and clear what waits within ``drain_seconds``, by Little's
law (``scaling_service`` says how the service time is measured)::

    slots    = (inflow + waiting / drain_seconds) * service_time       (tasks/s + tasks / s) * s
    replicas = ceil(max(slots, slots in use) / concurrency)

- With a rate, the inflow is the measured release rate, at most the asked one. While workers are *behind* it
  is the asked one: back-pressure then holds the releases, and what is measured is the speed of these few
  workers. From that alone a run would climb by one replica per cold start.
- Without a rate, releases follow the workers: an inflow measured there would be their own speed, and any
  number of workers a fixed point. What is not released yet waits in truth (``maxWaiting`` only hides it), so
  it counts as waiting, and the inflow is 0.
- *Behind*: a second's worth of tasks waits, or some wait and releases fall short of the asked rate.
  *Crowded*: nothing waits, but more is in workers' hands than they have slots, and the slots are busy: tasks
  to be delivered again (retries that are due, what a killed worker held) never count as waiting at the
  broker. What exceeds the slots then waits in truth.
- A run that is neither gets no more workers: rounding and noise can't push it over the next whole number. A
  surplus below a tenth of the need, and below one replica, is kept: nor can they pull it down.
- Never more than there are tasks for: ceil((outstanding + inflow * service_time) / concurrency).
- Before there is a measure: ceil(outstanding / concurrency), a slot for each task. With a rate, what comes while a
  worker starts counts too, as far as the tasks in hand have lasted already: what has lasted long will last longer yet.
- One stays while the next task is likely to come before the window for scaling down is over: a worker that ends each
  task before the next look is needed all the same.

**By share.** ceil(outstanding / tasks_per_replica).

What simulation (``tests/support/scaling_sim.py``) showed: rounding up alone flaps at a need of just a whole
number; counting delayed retries as running ratchets upwards; a measure taken before every slot has finished
two rounds asks for several times what is needed; scaling on the measured rate under back-pressure never gets
there. What remains: delayed retries that fit into free slots look like running tasks, so a run whose tasks
fail from the first one on may keep a few workers too many, never more than ceil(outstanding / concurrency).
And readings taken always right after a release see more tasks in hand than there are on average, which costs
a worker or two.
"""

from __future__ import annotations

import math

from jobrun_operator.core.scaling_service import ServiceTime
from jobrun_operator.core.scaling_shortage import Shortage
from jobrun_operator.core.scaling_values import Observation, ScaleReason, ScalingSettings

_BEHIND_SECONDS = 1.0
"""More than a release leaves waiting until the next pull; less than the 2 s at which back-pressure holds
releases by default."""
_SHORTFALL = 0.95
"""Releases below this share of the asked rate, with tasks waiting, are held by back-pressure."""
_CROWDED = 0.9
"""The share of the slots that must be busy for tasks in hand to be waiting for one."""
_SURPLUS = 0.1
"""The tolerance of the HorizontalPodAutoscaler, applied downwards only."""
_START_SECONDS = 5.0
"""That a worker takes to be there, for one who is asked for ahead of time."""
_ROUNDING = 1e-6


def learn(settings: ScalingSettings, seen: Observation, service: ServiceTime, now: float) -> ServiceTime:
    """The service time after one more observation."""
    if seen.waiting is None or seen.completion_rate is None or seen.ready <= 0:
        return service.pause(now)
    behind = _behind(seen)
    return service.observe(_slots_in_use(settings, seen, behind), seen.completion_rate, behind, now)


def remember(settings: ScalingSettings, seen: Observation, shortage: Shortage, now: float) -> Shortage:
    """What is known of too few workers after one more observation; only a paced run can fall behind."""
    if (
        settings.drain_seconds is None
        or seen.asked_rate is None
        or seen.waiting is None
        or not seen.more_to_release
    ):
        return shortage
    return shortage.observe(behind=_behind(seen), replicas=seen.replicas, ready=seen.ready, now=now)


def recommend(settings: ScalingSettings, seen: Observation, service: ServiceTime) -> tuple[int, ScaleReason]:
    """Replicas, at least one while anything is outstanding, and why."""
    if seen.outstanding is None or (settings.drain_seconds is not None and seen.waiting is None):
        return seen.replicas, ScaleReason.DEPTH_UNKNOWN
    if seen.outstanding <= 0 and seen.awaits_worker:
        return 1, ScaleReason.FIRST_WORKER
    if seen.outstanding <= 0:
        tasks_come = seen.more_to_release and seen.release_rate * settings.stabilization_seconds >= 1
        return (1, ScaleReason.KEEPING_UP) if tasks_come else (0, ScaleReason.NOTHING_OUTSTANDING)
    if settings.tasks_per_replica is not None:
        return math.ceil(seen.outstanding / settings.tasks_per_replica), ScaleReason.SHARE

    behind = _behind(seen)
    busy = service.busy(_slots_in_use(settings, seen, behind), seen.completion_rate)
    overdue = _overdue(settings, seen, busy)
    filling = 0.0
    if service.seconds is None:
        filling = _filling(seen, service)
        soon_held = seen.outstanding + filling
        wanted, reason = math.ceil(soon_held / settings.concurrency), ScaleReason.UNMEASURED
    else:
        demand = _demand(settings, seen, behind, overdue) * service.seconds
        soon = min(_inflow(seen, behind) * service.seconds, max(0, seen.remaining))
        most = seen.outstanding + soon
        enough = math.ceil(min(max(demand, busy), most) / settings.concurrency - _ROUNDING)
        need = (
            min(demand, most) / settings.concurrency
        )  # not ``busy``: what is in hand is a whole number by chance
        kept = min(seen.replicas, math.ceil(need + min(_SURPLUS * need, 1) - _ROUNDING))
        wanted, reason = max(1, enough, kept), ScaleReason.DRAIN
    present = max(1, seen.replicas)
    if wanted > present and not (behind or overdue or filling):
        return present, ScaleReason.KEEPING_UP
    return wanted, reason


def _filling(seen: Observation, service: ServiceTime) -> float:
    """Tasks that will come before a worker that is asked for now is there, on top of those that are being worked on."""
    if seen.asked_rate is None or not seen.more_to_release:
        return 0.0
    growth = max(0.0, seen.release_rate - (seen.completion_rate or 0.0))
    return min(growth * min(_START_SECONDS, service.age()), max(0, seen.remaining))


def _behind(seen: Observation) -> bool:
    """Whether tasks wait because workers don't keep up, and not just until the next pull."""
    if not seen.waiting:
        return False
    short = seen.asked_rate is not None and seen.release_rate < _SHORTFALL * seen.asked_rate
    return (short and seen.more_to_release) or seen.waiting >= _BEHIND_SECONDS * (seen.completion_rate or 0.0)


def _slots_in_use(settings: ScalingSettings, seen: Observation, behind: bool) -> int:
    """While tasks wait, a slot that stays empty is one that its worker can't fill: it counts as used."""
    slots = seen.ready * settings.concurrency
    return slots if behind else max(0, min(seen.running, slots))


def _overdue(settings: ScalingSettings, seen: Observation, busy: float) -> int:
    """Tasks to be delivered again that wait for a slot: what exceeds the slots, where those are busy."""
    slots = seen.ready * settings.concurrency
    return max(0, seen.running - slots) if busy >= _CROWDED * slots else 0


def _inflow(seen: Observation, behind: bool) -> float:
    """Tasks per second that come in, whatever workers do."""
    if seen.asked_rate is None:
        return 0.0
    return seen.asked_rate if behind and seen.more_to_release else min(seen.release_rate, seen.asked_rate)


def _demand(settings: ScalingSettings, seen: Observation, behind: bool, overdue: int) -> float:
    """Tasks per second that are to be worked on."""
    hidden = max(0, seen.remaining) if seen.asked_rate is None and seen.more_to_release else 0
    backlog = (seen.waiting or 0) + overdue + hidden
    return _inflow(seen, behind) + backlog / (settings.drain_seconds or 1.0)
