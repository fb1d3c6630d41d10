"""The resources of ``jobrun.dev/v1alpha1`` as models: the one source of the CRD, its docs and its checks.

Nothing here reads a file, a clock or a cluster.
"""

from jobrun_operator.api.changes import immutable_change
from jobrun_operator.api.jobrun import (
    API_VERSION,
    GROUP,
    KIND,
    MAX_NAME_LENGTH,
    PAUSED_ANNOTATION,
    PLURAL,
    VERSION,
    JobRun,
    Metadata,
)
from jobrun_operator.api.outcome import FailurePolicy, Results, Retry
from jobrun_operator.api.pace import Rate
from jobrun_operator.api.problems import InvalidObject, Problem
from jobrun_operator.api.scale import ScaleDown, ScaleUp, Scaling
from jobrun_operator.api.spec import JobRunSpec
from jobrun_operator.api.status import (
    MAX_ERROR_LENGTH,
    MAX_LAST_ERRORS,
    Condition,
    ConditionStatus,
    ConditionType,
    JobRunStatus,
    LimitedBy,
    Phase,
    SourceStatus,
    Summary,
    TaskCounts,
    TaskError,
)
from jobrun_operator.api.tasks import ConfigMapSource, Format, HttpSource, ObjectSource, Tasks
from jobrun_operator.api.template import ENV_PREFIX, WORKER_CONTAINER
from jobrun_operator.api.worker import ExecHandler, HandlerKind, HttpHandler, Worker

__all__ = [
    "API_VERSION",
    "ENV_PREFIX",
    "GROUP",
    "KIND",
    "MAX_ERROR_LENGTH",
    "MAX_LAST_ERRORS",
    "MAX_NAME_LENGTH",
    "PAUSED_ANNOTATION",
    "PLURAL",
    "VERSION",
    "WORKER_CONTAINER",
    "Condition",
    "ConditionStatus",
    "ConditionType",
    "ConfigMapSource",
    "ExecHandler",
    "FailurePolicy",
    "Format",
    "HandlerKind",
    "HttpHandler",
    "HttpSource",
    "InvalidObject",
    "JobRun",
    "JobRunSpec",
    "JobRunStatus",
    "LimitedBy",
    "Metadata",
    "ObjectSource",
    "Phase",
    "Problem",
    "Rate",
    "Results",
    "Retry",
    "ScaleDown",
    "ScaleUp",
    "Scaling",
    "SourceStatus",
    "Summary",
    "TaskCounts",
    "TaskError",
    "Tasks",
    "Worker",
    "immutable_change",
]
