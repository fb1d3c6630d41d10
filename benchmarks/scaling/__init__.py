"""How JobRun scales, next to KEDA and to an ideal, by simulation: ``make scaling``. No cluster and no clock;
the same seeds give the same figures on every machine.

``shapes`` are the loads. ``world`` plays one of them in simulated time: ``clock``, ``fleet`` (pods and their
slots), ``work`` (tasks and their retries) and ``releaser`` are what runs, ``jobrun``, ``keda`` and ``ideal``
what asks for replicas. ``measures`` compares, ``report`` and ``plots`` show.
"""
