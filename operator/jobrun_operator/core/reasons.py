"""The reasons of conditions, audit records and Events, each with one sentence that a user can act on.

The sentence is the default message where a transition has nothing more exact to say, and the documentation's text.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A condition's ``reason``; ``sentence`` says what it means."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    @classmethod
    def named(cls, text: str, default: Reason) -> Reason:
        """The reason of that name; ``default`` for one that another version wrote."""
        return next((reason for reason in cls if reason.value == text), default)

    ACCEPTED = "Accepted", "The run is accepted; its tasks are being counted and checked."
    SOURCE_UNAVAILABLE = (
        "SourceUnavailable",
        "The tasks can't be read yet; reading is tried again until they can.",
    )
    BROKER_UNAVAILABLE = (
        "BrokerUnavailable",
        "The broker can't be reached or holds back; the run goes on when it can.",
    )
    STARTED = "Started", "The tasks are checked and releasing has begun."
    SUSPENDED = (
        "Suspended",
        "Releasing and delivery are stopped; the run goes on when neither spec.suspend nor the annotation "
        "jobrun.dev/paused asks for it.",
    )
    RESUMED = "Resumed", "The run goes on where it was."
    THROTTLED = (
        "Throttled",
        "A handler asked for a pause, as for a partner's 429; nothing is begun until it is over, by any worker.",
    )
    CIRCUIT_BREAKER = (
        "CircuitBreaker",
        "So many attempts failed that nothing is begun for a while; then a few tasks are tried first.",
    )
    HOLD_ENDED = "HoldEnded", "The hold is over; the run goes on."
    RETRYING = "Retrying", "Dead letters are tried once more, so the run goes on."
    COMPLETED = "Completed", "Every task succeeded."
    COMPLETED_WITH_FAILURES = (
        "CompletedWithFailures",
        "Every task has ended, some as dead letters; see lastErrors and the dead letters.",
    )
    INVALID_SPEC = "InvalidSpec", "The run can't be accepted as it is written; nothing was started."
    INVALID_SOURCE = "InvalidSource", "The tasks can't be used as they are; nothing was released."
    SOURCE_CHANGED = (
        "SourceChanged",
        "The tasks are not those that the run was started with; start a new run for them.",
    )
    FAILURE_POLICY = "FailurePolicyExceeded", "More tasks have failed than failurePolicy allows."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "The run was active for longer than activeDeadlineSeconds."
    TASKS_LOST = (
        "TasksLost",
        "The broker has lost outcomes that it had acknowledged; see the broker's storage.",
    )
    STREAM_LOST = "StreamLost", "The run's stream is gone from the broker, and with it what was released."
    WORKERS_FAILED = "WorkersFailed", "Workers can't be started as the run asks; see the message."
    OTHER = "Other", "See the message."
