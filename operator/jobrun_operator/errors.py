"""The errors that reach a user, each saying what to do about it.

Adapters translate what their client libraries raise into one of these; nothing else leaves a port. The kind
is an instruction to the engine: a ``TemporaryError`` is tried again, anything else is final. ``exit_code``
is what ``jobrun local run`` ends with.
"""

from __future__ import annotations

from typing import ClassVar


class JobRunError(Exception):
    """Something went wrong that a user can act on; the message says what and how."""

    exit_code: ClassVar[int] = 3


class InputError(JobRunError):
    """A manifest, option or data file is not acceptable. ``where`` is the field path, line or option."""

    exit_code = 2

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.message = message


class SourceError(InputError):
    """The tasks of a run can't be read as they are: a bad line, an empty source, a changed source."""


class EnvironmentFault(JobRunError):
    """This machine or its broker can't do what is asked: a port in use, no nats-server, an old one."""


class TemporaryError(JobRunError):
    """Not possible now; the engine goes on trying and says so in a condition."""


class SourceUnavailable(TemporaryError):
    """The source of tasks can't be read now: a ConfigMap not yet created, a server that does not answer."""


class BrokerUnavailable(TemporaryError):
    """The broker did not answer, or is not connected."""


class BrokerBusy(TemporaryError):
    """The broker asks to slow down or is out of storage (JetStream 10002, 10023, 10047, 10077, 10210)."""


class Conflict(TemporaryError):
    """Somebody else wrote first: read again, decide again."""


class Gone(JobRunError):
    """The resource or stream is not there any more."""


class ApiUnavailable(TemporaryError):
    """The Kubernetes API did not answer, or can't serve this now."""


class NotAllowed(TemporaryError):
    """The Kubernetes API does not allow it for now: permissions, a quota, an admission rule or the run must change."""


class Refused(JobRunError):
    """The Kubernetes API refuses an object for good: it is not valid as it is."""
