"""Runs that the API server has stored and the models refuse: each gets a stand-in, which ends as any failure does.

An older CRD, a rule that a schema can't express, or models that have become stricter let them through. What is written
can't be trusted then, so nothing of it is started; but what had begun before is ended, and freed in its time.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from jobrun_operator.api import InvalidObject, JobRun, JobRunSpec, JobRunStatus
from jobrun_operator.api.jobrun import Metadata
from jobrun_operator.core.lifecycle import Fault
from jobrun_operator.core.reasons import Reason
from jobrun_operator.kubernetes.api import Object, metadata

_SPEC = {"tasks": {"count": 1}, "worker": {"image": "refused", "python": "refused:refused"}}
"""Nothing of it is ever used."""

_KEPT = ("results", "cleanupSecondsAfterFinished", "ttlSecondsAfterFinished")
"""What of a spec is acted by after the end."""


def fault_of(error: InvalidObject) -> Fault:
    return Fault(Reason.INVALID_SPEC, str(error))


def stand_in(item: Object, spec: JobRunSpec | None = None) -> JobRun:
    """The run that this object is, as far as it can be read. ``spec``: the last that was acceptable, where there is
    one; else its own is only what clean-up goes by."""
    return JobRun.model_construct(
        metadata=_metadata_of(metadata(item)),
        spec=spec or _spec_of(item.get("spec")),
        status=_status_of(item.get("status")),
    )


def _metadata_of(found: Any) -> Metadata:
    try:
        return Metadata.model_validate(found)
    except ValidationError:
        return Metadata.model_construct(**found)  # a name that is none of ours still names the object


def _spec_of(found: Any) -> JobRunSpec:
    written = found if isinstance(found, dict) else {}
    spec = JobRunSpec.model_validate(_SPEC)
    kept = dict(_SPEC)
    for name in _KEPT:
        try:
            spec = JobRunSpec.model_validate({**kept, name: written.get(name)})
        except ValidationError:
            continue  # its default, then
        kept[name] = written.get(name)
    return spec


def _status_of(found: Any) -> JobRunStatus:
    try:
        return JobRunStatus.model_validate(found or {})
    except ValidationError:
        return JobRunStatus()
