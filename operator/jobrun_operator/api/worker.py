"""``spec.worker``: the handler that does a task, and the process or pod that runs it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from jobrun_operator.api.base import SpecModel, rule
from jobrun_operator.api.template import Template
from jobrun_operator.api.types import NO_BLANKS, PYTHON_FUNCTION, Name, SecondsInDay, Url


class HandlerKind(StrEnum):
    """Which of the three handlers a worker has."""

    PYTHON = "python"
    EXEC = "exec"
    HTTP = "http"


class ExecHandler(SpecModel):
    """A command per task, for any language."""

    command: Annotated[
        tuple[Annotated[str, Field(max_length=4096)], ...], Field(strict=False, min_length=1, max_length=64)
    ]
    """The program and its arguments, not run by a shell. It gets the payload on standard input; exit code 0
    is success with standard output as the result, 75 asks for a retry, any other is a failed attempt."""

    @rule(
        "self.command[0] != ''",
        "the first entry is the program to run and must not be empty",
        field="command",
    )
    def _program(self) -> bool:
        return self.command[0] != ""


class HttpHandler(SpecModel):
    """A POST per task, for any language: a service, or a sidecar of the worker."""

    url: Url
    """Where to POST the payload; http or https. 2xx is success with the body as the result; 429 and 503 with
    Retry-After make the worker pause; 408, 425, other 429, 5xx and no answer are failed attempts; any other
    4xx fails the task."""


class Worker(SpecModel):
    """What runs the tasks: exactly one of python, exec and http."""

    # On Kubernetes there is no worker without an image; locally there are no images. The schema is that of
    # Kubernetes.
    model_config = ConfigDict(json_schema_extra={"required": ["image"]})

    image: Annotated[str, Field(min_length=1, max_length=1024, pattern=NO_BLANKS)] | None = None
    """Image with `jobrun[worker]` and the handler. Required on Kubernetes, ignored in local mode."""
    python: Annotated[str, Field(max_length=253, pattern=PYTHON_FUNCTION)] | None = None
    """A Python function, `module:function`, called as `function(payload)` or `function(payload, task)`; sync
    or async."""
    exec: ExecHandler | None = None
    http: HttpHandler | None = None
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 16
    """Calls of the handler at a time in one process: tasks, where there is no batchSize."""
    batch_size: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Call the Python function with a list of so many payloads at the most; it returns a list with an entry for each:
    a result, or `Retry(...)`, `Fail(...)`, `Throttled(...)` or another exception. Without it, one payload a call."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes of one worker, each with `concurrency` calls at a time: for handlers that keep Python busy, as many as
    the CPUs that the template's requests give the container."""
    task_timeout_seconds: SecondsInDay = 60
    """Time that one attempt may take, in seconds: 1 to a day. An attempt that takes longer has failed."""
    template: Template | None = None
    """PodTemplateSpec of the workers. Its container named `worker` is merged with the operator's, which sets
    image, command, args and environment variables named JOBRUN_*; other containers are sidecars."""
    nats_secret_name: Name | None = None
    """Secret in the namespace of the run with the workers' credentials for the broker. By default the
    operator's setting."""

    @property
    def handler(self) -> HandlerKind:
        """Which handler is set."""
        if self.python is not None:
            return HandlerKind.PYTHON
        return HandlerKind.EXEC if self.exec is not None else HandlerKind.HTTP

    @property
    def process_slots(self) -> int:
        """Tasks at a time in one process."""
        return self.concurrency * (self.batch_size or 1)

    @property
    def slots(self) -> int:
        """Tasks at a time in one worker."""
        return self.processes * self.process_slots

    @property
    def pod_template(self) -> dict[str, Any]:
        """``template``, or an empty one."""
        return self.template or {}

    @rule(
        "[has(self.python), has(self.exec), has(self.http)].exists_one(one, one)",
        "set exactly one handler: python, exec or http",
    )
    def _one_handler(self) -> bool:
        return sum(handler is not None for handler in (self.python, self.exec, self.http)) == 1

    @rule(
        "!has(self.batchSize) || has(self.python)",
        "is for python handlers only: a command or a request takes one task",
        field="batchSize",
    )
    def _batches_in_python(self) -> bool:
        return self.batch_size is None or self.python is not None

    @rule(
        "self.processes * self.concurrency * (has(self.batchSize) ? self.batchSize : 1) <= 16000",
        "processes times concurrency (16 unless set) times batchSize must not exceed 16,000 tasks in one worker",
    )
    def _bounded(self) -> bool:
        return self.slots <= 16_000

    @rule(
        "",
        "required on Kubernetes: the image that holds the handler (jobrun local run ignores it)",
        field="image",
        cluster_only=True,
    )
    def _image_on_kubernetes(self) -> bool:
        return self.image is not None
