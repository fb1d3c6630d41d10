"""The settings of the operator's process, each from one variable of its environment, with its meaning next to it.

``JOBRUN_`` and the field's name in capitals is the variable: the chart sets them, and its table of values, as well as
``docs/``, are checked against this class. A value that can't be used is refused at the start, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from jobrun_operator.errors import InputError

PREFIX = "JOBRUN_"

LOG_FORMATS = ("json", "text")
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """Seconds and bytes, but where another unit is named."""

    nats_url: str = "nats://nats:4222"
    """Where the broker is, for the operator and for workers."""
    nats_credentials: str = ""
    """Path of the operator's own .creds file for the broker."""
    nats_user: str = ""
    """The operator's user at the broker, where it has no .creds file."""
    nats_password: str = ""
    """That user's password."""
    nats_tls_ca: str = ""
    """Path of the certificate authority that signed the broker's certificate."""
    nats_tls_cert: str = ""
    """Path of the certificate to show to the broker, where it wants one."""
    nats_tls_key: str = ""
    """Path of that certificate's key."""
    prefix: str = "jobrun"
    """First token of all subjects and streams, for several installations in one account of a broker."""
    release: str = "jobrun"
    """Name of this installation in its cluster; with the cluster's own identity it marks whose a stream is."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces whose runs are taken care of, separated by commas; empty: all."""
    ack_wait_seconds: float = 30.0
    """After so long without a sign of life from its worker, a task is delivered again."""
    stream_replicas: int = 1
    """Copies of each stream in a broker cluster: 1, 3 or 5."""
    work_max_bytes: int = 1 << 26
    """Bytes that the unfinished tasks of one run may take at the broker, which reserves them, or fewer where all of its
    tasks take less, until the run is Completed. Releasing holds while they are used up; what a handler returns is not
    in them."""
    worker_nats_url: str = ""
    """Where the broker is for workers, if they reach it by another address; empty: nats_url."""
    worker_nats_secret: str = ""
    """Secret, in the namespace of each run, with its workers' credentials; empty: workers need none."""
    port: int = 8080
    """Of /healthz, /readyz and /metrics."""
    log_format: str = "json"
    """json or text."""
    log_level: str = "info"
    """debug, info, warning or error."""
    api_writes_per_second: float = 20.0
    """Writes to the Kubernetes API at most, transitions and scaling before progress."""
    interval_seconds: float = 1.0
    """Between two looks at a run, where there are few of them (core.looks)."""
    relist_seconds: float = 60.0
    """Between two comparisons of all runs with what is known, and two sweeps."""
    sweep_age_seconds: float = 300.0
    """Streams that are younger are never swept."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> OperatorSettings:
        """Raises InputError that lists every variable that can't be used, and why."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            text = environ.get(name)
            if text is None or (text == "" and field.default != ""):
                continue  # charts write empty values for what is not set
            try:
                values[field.name] = _parsed(str(field.type), text)
            except ValueError as error:
                problems.append(f"{name}: {error}, is {text!r}")
        if not problems:
            settings = cls(**values)
            problems = settings._problems()
        if problems:
            raise InputError("", "\n".join(problems))
        return settings

    def _problems(self) -> list[str]:
        checks = [
            ("nats_url", bool(self.nats_url), "must be the broker's address, such as nats://nats:4222"),
            ("prefix", self.prefix.replace("-", "").isalnum(), "must be letters, digits and dashes"),
            ("release", bool(self.release), "must not be empty"),
            ("ack_wait_seconds", 1 <= self.ack_wait_seconds <= 3600, "must be 1 to 3600"),
            ("stream_replicas", self.stream_replicas in (1, 3, 5), "must be 1, 3 or 5"),
            ("work_max_bytes", self.work_max_bytes >= 1 << 20, "must be at least 1048576"),
            ("port", 0 <= self.port <= 65535, "must be 0 to 65535; 0: any free one"),
            ("log_format", self.log_format in LOG_FORMATS, f"must be one of {', '.join(LOG_FORMATS)}"),
            ("log_level", self.log_level in LOG_LEVELS, f"must be one of {', '.join(LOG_LEVELS)}"),
            ("api_writes_per_second", self.api_writes_per_second >= 1, "must be at least 1"),
            ("interval_seconds", 0.05 <= self.interval_seconds <= 60, "must be 0.05 to 60"),
            ("relist_seconds", self.relist_seconds >= 0.1, "must be at least 0.1"),
            ("sweep_age_seconds", self.sweep_age_seconds >= 0, "must not be negative"),
            (
                "nats_password",
                bool(self.nats_user) or not self.nats_password,
                f"needs {PREFIX}NATS_USER as well",
            ),
        ]
        return [f"{PREFIX}{field.upper()} {must}" for field, holds, must in checks if not holds]


def _parsed(kind: str, text: str) -> object:
    if kind == "int":
        try:
            return int(text)
        except ValueError:
            raise ValueError("must be a whole number") from None
    if kind == "float":
        try:
            return float(text)
        except ValueError:
            raise ValueError("must be a number") from None
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text
