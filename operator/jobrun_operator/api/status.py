"""``status``: what is known of a run. The operator writes it; every count in it is read off the streams."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from jobrun_operator.api.base import WireModel
from jobrun_operator.api.types import Count, Timestamp

_BY_TYPE: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}

MAX_ERROR_LENGTH = 500
MAX_LAST_ERRORS = 5


class Phase(StrEnum):
    """Where a run stands, in one word."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self in (Phase.COMPLETED, Phase.FAILED)


class LimitedBy(StrEnum):
    """Why no more tasks are released just now."""

    RATE = "Rate"
    WAITING = "Waiting"
    OUTSTANDING = "Outstanding"
    ALL_RELEASED = "AllReleased"
    SUSPENDED = "Suspended"
    HELD = "Held"
    BROKER = "Broker"


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """The conditions of a run: Job's, Flux's and kstatus' names where the meaning is the same."""

    COMPLETE = "Complete"
    FAILURE_TARGET = "FailureTarget"
    FAILED = "Failed"
    FINISHED = "Finished"
    HELD = "Held"
    SUSPENDED = "Suspended"
    READY = "Ready"
    STALLED = "Stalled"
    RECONCILING = "Reconciling"


def _shorten(limit: int) -> BeforeValidator:
    """A status that is too long would not be stored at all: cut what comes from outside."""

    def cut(value: Any) -> Any:
        return value[: limit - 1] + "…" if isinstance(value, str) and len(value) > limit else value

    return BeforeValidator(cut)


class StatusModel(WireModel):
    """Read leniently: an older operator may meet the status that a newer one wrote."""

    model_config = ConfigDict(extra="ignore")

    def to_json(self) -> bytes:
        """``to_wire`` as JSON, in a third of the time that it takes by way of a dict."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


class Condition(StatusModel):
    """One aspect of the run's state, as in Kubernetes' own resources."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """Complete, FailureTarget, Failed, Finished, Suspended, Ready, Stalled or Reconciling."""
    status: ConditionStatus
    reason: Annotated[str, Field(max_length=1024)] = ""
    """Why, as one CamelCase word."""
    message: Annotated[str, Field(max_length=4096), _shorten(4096)] = ""
    """Why, for people."""
    last_transition_time: Timestamp | None = None
    """When the status of this condition last changed."""
    observed_generation: Count | None = None
    """The generation of the object that this condition was decided on."""

    @property
    def is_true(self) -> bool:
        """Whether the condition holds."""
        return self.status is ConditionStatus.TRUE


class Summary(StatusModel):
    """What the columns of `kubectl get` print."""

    progress: Annotated[str, Field(max_length=64)] | None = None
    """Finished tasks of all tasks, such as 61%."""
    rate: Annotated[str, Field(max_length=64)] | None = None
    """Releases and asked rate, such as 598/600/min."""
    workers: Annotated[str, Field(max_length=64)] | None = None
    """Ready and wanted workers, such as 2/2."""
    eta: Annotated[str, Field(max_length=64)] | None = None
    """About how long the run will still take, such as 22h."""


class TaskCounts(StatusModel):
    """Tasks by their state."""

    total: Count | None = None
    """All tasks of the run."""
    released: Count = 0
    """Tasks handed to the broker so far."""
    outstanding: Count = 0
    """Released and not finished."""
    waiting: Count = 0
    """Released and not yet taken by a worker."""
    succeeded: Count = 0
    """Finished with success."""
    failed: Count = 0
    """Finished as dead letters."""
    redeliveries: Count = 0
    """Deliveries beyond the first of each task: retries, and tasks whose worker was lost."""


class SourceStatus(StatusModel):
    """What was found when the source was read: a source that changes later fails the run."""

    count: Count | None = None
    """Tasks in the source."""
    digest: Annotated[str, Field(max_length=128)] | None = None
    """`sha256:` and the digest of all payloads in order."""
    version: Annotated[str, Field(max_length=1024)] | None = None
    """What the store itself says about the identity of the source: an ETag, an object's digest."""


class TaskError(StatusModel):
    """An attempt that failed."""

    index: Count
    """Index of the task in the source, from 0."""
    attempt: Count = 1
    """Which attempt it was, from 1."""
    error: Annotated[str, Field(max_length=MAX_ERROR_LENGTH), _shorten(MAX_ERROR_LENGTH)] = ""
    """What went wrong, shortened."""


class JobRunStatus(StatusModel):
    """What is known of the run."""

    observed_generation: Count | None = None
    """The generation of the object that this status is about."""
    phase: Phase | None = None
    """Where the run stands, in one word."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=_BY_TYPE)] = ()
    """Complete, FailureTarget, Failed, Finished, Suspended; Ready, Stalled, Reconciling."""
    summary: Summary | None = None
    tasks: TaskCounts | None = None
    limited_by: LimitedBy | None = None
    """Why no more tasks are released just now."""
    replicas: Count | None = None
    """Workers asked for."""
    ready_replicas: Count | None = None
    """Workers that are connected and pull tasks."""
    source: SourceStatus | None = None
    suspended_seconds: Count | None = None
    """Seconds that ended suspensions took, and between a completion and a retry of dead letters; they do not count
    against activeDeadlineSeconds."""
    last_errors: Annotated[tuple[TaskError, ...], Field(max_length=MAX_LAST_ERRORS)] = ()
    """The last failed attempts, at most 5."""
    start_time: Timestamp | None = None
    """When the run was accepted and began to release tasks."""
    completion_time: Timestamp | None = None
    """When the run ended."""
    stream: Annotated[str, Field(max_length=128)] | None = None
    """The stream that holds the run's work."""

    def condition(self, type_: str) -> Condition | None:
        """The condition of this type, where there is one."""
        for condition in self.conditions:  # asked for so often that a generator would tell
            if condition.type == type_:
                return condition
        return None

    def is_true(self, type_: str) -> bool:
        """Whether the condition of this type is there and holds."""
        condition = self.condition(type_)
        return condition is not None and condition.is_true
