"""Logs of the operator: one line an event, as JSON or text, with the run's namespace and name where it is about one.

The engine begins its messages with ``namespace/name:``; that is made fields of its own. The same message of the same
logger is written once a minute: an outage that is noticed by hundreds of runs every second stays readable.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Any

from pythonjsonlogger.json import JsonFormatter

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_ABOUT = re.compile(rf"^({_LABEL})/({_LABEL})(?:: | is )")

_NUMBERS = re.compile(r"\b\d+\b")

REPEAT_SECONDS = 60.0
_MOST_REMEMBERED = 10_000


class About(logging.Filter):
    """Adds ``namespace`` and ``name`` to records about a run."""

    def filter(self, record: logging.LogRecord) -> bool:
        reference = getattr(record, "k8s_ref", None)  # kopf's
        if isinstance(reference, dict):
            record.namespace, record.run = reference.get("namespace"), reference.get("name")
        elif found := _ABOUT.match(record.getMessage()):
            record.namespace, record.run = found.groups()
        return True


class Sparing(logging.Filter):
    """Lets through a warning once a minute, with how often it was held back since."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        key = (record.name, _NUMBERS.sub("#", record.getMessage()))  # of tries, bytes, seconds
        since, held = self._seen.get(key, (float("-inf"), 0))
        if record.created - since < REPEAT_SECONDS:
            self._seen[key] = (since, held + 1)
            return False
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[key] = (record.created, 0)
        if held:
            record.msg, record.args = f"{record.getMessage()} (and {held} times more)", None
        return True


class _Json(JsonFormatter):
    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        log_data["time"] = _time(record)
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()
        for name, field in (("namespace", "namespace"), ("run", "name")):
            if getattr(record, name, None):
                log_data[field] = getattr(record, name)
        if record.exc_info:
            log_data["traceback"] = self.formatException(record.exc_info)


class _Text(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # logging's name
        return _time(record)


def _time(record: logging.LogRecord) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{moment}.{int(record.msecs):03d}Z"


def configure(log_format: str, level: str) -> None:
    """For the process of an operator: a library would leave the root logger alone."""
    stream = logging.StreamHandler(sys.stderr)
    text = _Text("%(asctime)s %(levelname)s %(name)s: %(message)s")
    stream.setFormatter(_Json() if log_format == "json" else text)
    stream.addFilter(About())
    stream.addFilter(Sparing())
    logging.basicConfig(level=level.upper(), handlers=[stream], force=True)
    if level != "debug":
        logging.getLogger("nats").setLevel(logging.WARNING)
        logging.getLogger("aiohttp").setLevel(logging.WARNING)
        logging.getLogger("kopf").setLevel(logging.WARNING)
        # Its one warning is that it runs beside the main thread, which is how it is meant here.
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
