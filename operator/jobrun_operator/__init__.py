"""JobRun: X tasks, at Y a minute, on 0 to N workers.

The package is layered, and layers import only downwards (checked by import-linter)::

    cli > kubernetes | local | jetstream | tasks > engine > core > api

``core`` decides and does no I/O; ``engine`` gathers, asks the core, and applies through the ports of
``engine.ports``; the packages above implement those ports for a broker, a cluster or one machine.
"""
