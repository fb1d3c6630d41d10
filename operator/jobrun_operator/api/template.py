"""``spec.worker.template``: a pod template that is passed through, but for what the operator must own.

A PodTemplateSpec is Kubernetes' to define and to check, so whatever is in one is kept. Only the parts that
the operator sets itself are looked at: a value that would silently lose against the operator's is refused.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from jobrun_operator.api.base import SpecModel, rule

WORKER_CONTAINER = "worker"
"""The container of a template that is merged with the operator's."""

ENV_PREFIX = "JOBRUN_"
"""Environment variables with this prefix are the contract between operator and worker."""


class _Open(SpecModel):
    """An object of Kubernetes' API: what is not named here is kept as it is."""

    model_config = ConfigDict(extra="allow")


class EnvVar(_Open):
    """An environment variable."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the variable."""


class Container(_Open):
    """A container of the pod."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the container."""
    image: Annotated[str, Field(max_length=1024)] | None = None
    """Image of a sidecar; not for the container `worker`."""
    command: (
        Annotated[tuple[Annotated[str, Field(max_length=65536)], ...], Field(strict=False, max_length=256)]
        | None
    ) = None
    """Entry point of a sidecar; not for the container `worker`."""
    args: (
        Annotated[tuple[Annotated[str, Field(max_length=65536)], ...], Field(strict=False, max_length=256)]
        | None
    ) = None
    """Arguments of a sidecar; not for the container `worker`."""
    env: Annotated[tuple[EnvVar, ...], Field(strict=False, max_length=256)] | None = None
    """Environment variables; names that start with JOBRUN_ are the operator's."""

    @rule(
        f"self.name != '{WORKER_CONTAINER}' || !has(self.image)",
        f"the container {WORKER_CONTAINER} gets its image from spec.worker.image; leave it out here",
        field="image",
    )
    def _image_is_ours(self) -> bool:
        return self.name != WORKER_CONTAINER or self.image is None

    @rule(
        f"self.name != '{WORKER_CONTAINER}' || !has(self.command)",
        f"the container {WORKER_CONTAINER} gets its command from the operator; leave it out here",
        field="command",
    )
    def _command_is_ours(self) -> bool:
        return self.name != WORKER_CONTAINER or self.command is None

    @rule(
        f"self.name != '{WORKER_CONTAINER}' || !has(self.args)",
        f"the container {WORKER_CONTAINER} gets its arguments from the operator; leave them out here",
        field="args",
    )
    def _args_are_ours(self) -> bool:
        return self.name != WORKER_CONTAINER or self.args is None

    @rule(
        f"self.name != '{WORKER_CONTAINER}' || !has(self.env) || "
        f"self.env.all(variable, !variable.name.startsWith('{ENV_PREFIX}'))",
        f"environment variables of the container {WORKER_CONTAINER} must not start with {ENV_PREFIX}: "
        "those are the operator's",
        field="env",
    )
    def _env_is_ours(self) -> bool:
        return self.name != WORKER_CONTAINER or not any(
            variable.name.startswith(ENV_PREFIX) for variable in self.env or ()
        )


class PodSpec(_Open):
    """Specification of the pod; fields that are not listed here are Kubernetes' own."""

    containers: Annotated[tuple[Container, ...], Field(strict=False, max_length=32)] | None = None
    """The container `worker`, to add resources, volumes and the like to it, and sidecars."""
    restart_policy: Annotated[str, Field(max_length=32)] | None = None
    """Always, or left out: the workers of a run are a Deployment."""

    @rule(
        "!has(self.restartPolicy) || self.restartPolicy == 'Always'",
        "must be Always or left out: the workers of a run are a Deployment",
        field="restartPolicy",
    )
    def _restarts(self) -> bool:
        return self.restart_policy in (None, "Always")


class PodTemplate(_Open):
    """Template of the workers' pods; fields that are not listed here are Kubernetes' own."""

    metadata: dict[str, Any] | None = None
    """Labels and annotations of the pods."""
    spec: PodSpec | None = None


class _CheckedAs:
    """Check a plain value as a model would, and keep the value: a template goes to Kubernetes as it came."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Any:
            validate(value)
            return copy.deepcopy(value)

        return core_schema.no_info_wrap_validator_function(
            check,
            handler.generate_schema(self._model),
            serialization=core_schema.plain_serializer_function_ser_schema(copy.deepcopy),
        )


Template = Annotated[dict[str, Any], _CheckedAs(PodTemplate)]
