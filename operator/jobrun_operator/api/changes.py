"""What of a run can't be changed: its tasks, since what is released can't be taken back.

The API server refuses such a change by the CEL form; the engine and the local mode, which meet objects that
it has not seen, ask the function. The function is the stricter one: to a CEL rule two objects of free form are
equal when one field of ``items`` has only been renamed (tried with Kubernetes 1.36).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from jobrun_operator.api.jobrun import JobRun


@dataclass(frozen=True, slots=True)
class Transition:
    """A rule about an update: ``cel`` compares ``oldSelf`` and ``self`` of the field at ``path`` in spec."""

    path: str
    cel: str
    message: str


TASKS_IMMUTABLE = Transition(
    "tasks",
    "self == oldSelf",
    "the tasks of a run can't be changed: create another JobRun for other tasks",
)


def immutable_change(old: JobRun, new: JobRun) -> str | None:
    """What to tell a user who changed of ``old`` what can't be changed; None where ``new`` is acceptable."""
    if _tasks(old) != _tasks(new):
        return f"spec.{TASKS_IMMUTABLE.path}: {TASKS_IMMUTABLE.message}"
    return None


def _tasks(run: JobRun) -> str:
    # As JSON: to Python, 1, 1.0 and true are equal.
    return json.dumps(run.spec.tasks.to_wire(), sort_keys=True)
