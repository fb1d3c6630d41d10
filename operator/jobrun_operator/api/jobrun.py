"""``JobRun``: X tasks, at Y a minute, on 0 to N workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from jobrun_operator.api.base import SpecModel
from jobrun_operator.api.problems import InvalidObject, explain
from jobrun_operator.api.spec import JobRunSpec
from jobrun_operator.api.status import JobRunStatus
from jobrun_operator.api.types import DNS_LABEL, Timestamp

GROUP = "jobrun.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "JobRun"
PLURAL = "jobruns"
PAUSED_ANNOTATION = f"{GROUP}/paused"
MAX_NAME_LENGTH = 52


class Metadata(SpecModel):
    """Kubernetes' metadata of an object; what is not named here is kept as it is."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=DNS_LABEL)]
    """A DNS label of at most 52 characters: names of Deployments and pods are made from it."""
    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)] = "default"
    """Namespace of the run."""
    uid: str = ""
    """Identity of the object; empty before it is created."""
    resource_version: str = ""
    """Version of the stored object, for writes that must not overwrite another."""
    generation: int = 0
    """Counts the changes of spec."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the object."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations of the object."""
    creation_timestamp: Timestamp | None = None
    """When the object was created."""
    deletion_timestamp: Timestamp | None = None
    """When deleting it was asked for."""


class JobRun(SpecModel):
    """A finite batch of tasks, released at a given rate to workers that are scaled with what waits."""

    api_version: Literal["jobrun.dev/v1alpha1"] = "jobrun.dev/v1alpha1"
    """Version of the API: jobrun.dev/v1alpha1."""
    kind: Literal["JobRun"] = "JobRun"
    """Kind of the object: JobRun."""
    metadata: Metadata
    spec: JobRunSpec
    status: JobRunStatus = JobRunStatus()

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """``metadata.namespace``."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        """``metadata.uid``; names the run's streams."""
        return self.metadata.uid

    @property
    def is_suspended(self) -> bool:
        """Whether the run shall hold: by ``spec.suspend``, or by the annotation for runs that live in Git."""
        return self.spec.suspend or self.metadata.annotations.get(PAUSED_ANNOTATION) == "true"

    def with_status(self, status: JobRunStatus) -> Self:
        """The same run with another status."""
        return self.model_copy(update={"status": status})

    def to_wire(self) -> dict[str, Any]:
        """The object as plain JSON values: of metadata and spec what was set, of status what is known."""
        wire: dict[str, Any] = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": self.metadata.to_wire(),
            "spec": self.spec.to_wire(),
        }
        if self.status != JobRunStatus():
            wire["status"] = self.status.to_wire()
        return wire

    @classmethod
    def from_wire(cls, data: Mapping[str, Any], *, local: bool = False) -> Self:
        """The JobRun of an object as the API server or a manifest holds it.

        Raises InvalidObject that lists every problem, a line each, with the field's path and what to do. With
        ``local`` it is checked for the local mode, which needs no image.
        """
        try:
            return cls.model_validate(dict(data), context={"local": local}, by_alias=True, by_name=False)
        except ValidationError as error:
            raise InvalidObject(explain(error, cls)) from None
