"""What a worker process is told, through its environment; part of the wire contract.

The operator writes these (``to_env``), the worker reads them (``from_env``), so that a Deployment, the local
mode and a person with a shell start the same worker in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from jobrun_worker.address import BrokerAddress

ENV_PREFIX = "JOBRUN_"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Each field is ``JOBRUN_<FIELD>`` in the environment."""

    nats_url: str
    uid: str
    """The run's uid: names its streams."""
    run: str
    namespace: str
    prefix: str = "jobrun"
    worker: str = ""
    """This worker's name in results; empty: host name and process id."""

    handler_python: str = ""
    """``module:function``; exactly one of the three handlers is set."""
    handler_exec: tuple[str, ...] = ()
    """A command and its arguments; a JSON list in the environment."""
    handler_http: str = ""
    """A URL that takes a POST per task."""

    concurrency: int = 16
    """Calls of the handler at a time in this process."""
    batch_size: int = 0
    """Tasks that a call takes at the most, as a list; 0: one, as itself."""
    processes: int = 1
    """Processes of this worker, each with so many calls at a time."""
    task_timeout_seconds: float = 60
    ack_wait_seconds: float = 30
    """The consumer's ``ack_wait``; running tasks are kept alive at a third of it."""
    grace_seconds: float = 60
    """How long a drain may take before what still runs is abandoned to redelivery."""
    max_attempts: int = 4
    retry_initial_delay_seconds: float = 5
    retry_max_delay_seconds: float = 300
    retain_results: bool = False

    debug: bool = False
    """Log tracebacks of handlers' errors."""
    port: int = 0
    """Of /healthz, /readyz and /metrics; 0: none."""
    host: str = "0.0.0.0"  # noqa: S104  # a pod's probes come from outside of it; local mode says 127.0.0.1
    nats_credentials: str = ""
    """Path of a NATS ``.creds`` file."""
    nats_user: str = ""
    nats_password: str = ""
    nats_tls_ca: str = ""
    """Path of the certificate authority that signed the broker's certificate."""
    nats_tls_cert: str = ""
    """Path of the certificate to show to the broker, where it wants one."""
    nats_tls_key: str = ""
    """Path of that certificate's key."""
    nats_user_file: str = ""
    """Path of a file with the user, instead of ``nats_user``."""
    nats_password_file: str = ""
    """Path of a file with that user's password."""

    @property
    def slots(self) -> int:
        """Tasks at a time in this process."""
        return self.concurrency * max(1, self.batch_size)

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress(
            self.nats_url,
            self.nats_user,
            self.nats_password,
            self.nats_credentials,
            self.nats_tls_ca,
            self.nats_tls_cert,
            self.nats_tls_key,
            self.nats_user_file,
            self.nats_password_file,
        )

    def to_env(self) -> dict[str, str]:
        """Only what differs from the defaults, so that a Deployment stays readable."""
        env = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                env[ENV_PREFIX + field.name.upper()] = _encode(value)
        return env

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> WorkerSettings:
        """Raises ValueError that names the variable."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            name = ENV_PREFIX + field.name.upper()
            if name not in environ:
                continue
            try:
                values[field.name] = _decode(str(field.type), environ[name])
            except ValueError as error:
                raise ValueError(f"{name}={environ[name]!r}: {error}") from None
        missing = [
            ENV_PREFIX + name.upper()
            for name in ("nats_url", "uid", "run", "namespace")
            if name not in values
        ]
        if missing:
            raise ValueError(f"not set: {', '.join(missing)} (the operator sets them in its Deployments)")
        settings = cls(**values)
        if sum(map(bool, (settings.handler_python, settings.handler_exec, settings.handler_http))) != 1:
            raise ValueError(
                "set exactly one of JOBRUN_HANDLER_PYTHON, JOBRUN_HANDLER_EXEC, JOBRUN_HANDLER_HTTP"
            )
        if settings.batch_size and not settings.handler_python:
            raise ValueError("JOBRUN_BATCH_SIZE is for JOBRUN_HANDLER_PYTHON only")
        return settings


def _encode(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, tuple) else str(value)


def _decode(kind: str, text: str) -> object:
    if kind == "bool":
        if text not in ("true", "false"):
            raise ValueError("true or false expected")
        return text == "true"
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    if kind.startswith("tuple"):
        value = json.loads(text)
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise ValueError("a JSON list of strings expected")
        return tuple(value)
    return text
