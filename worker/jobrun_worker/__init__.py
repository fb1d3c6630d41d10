"""The worker: takes tasks of one run off JetStream, calls the user's handler, stores the outcome, acks.

A handler is ``handler(payload)`` or ``handler(payload, task)``, sync or async. It returns a JSON value, or
raises one of the three instructions below; any other exception is a failed attempt.
"""

from jobrun_worker.instructions import Fail, Retry, Throttled
from jobrun_worker.task import Task

__all__ = ["Fail", "Retry", "Task", "Throttled"]
