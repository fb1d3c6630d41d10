"""One line per event on standard error, with the run and the worker in it; users' own log lines included."""

from __future__ import annotations

import logging
import sys
import time

from jobrun_worker.settings import WorkerSettings

MOST_ALIKE = 20
"""Lines of one kind in a second; the rest are counted. A run whose every task fails stays readable."""


class OneLine(logging.Formatter):
    """Times in UTC; line breaks of a message are shown, not made."""

    def __init__(self, settings: WorkerSettings) -> None:
        where = f"{settings.namespace}/{settings.run} {settings.worker}".replace("%", "%%")
        super().__init__(f"%(asctime)s.%(msecs)03dZ %(levelname)s {where} %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        return super().formatMessage(record).replace("\n", "\\n")


class Sparing(logging.Filter):
    """Lets through so many lines of one kind (one template) a second."""

    def __init__(self, most: int = MOST_ALIKE) -> None:
        super().__init__()
        self._most = most
        self._second = 0
        self._seen: dict[object, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        second = int(record.created)
        if second != self._second:
            self._second, self._seen = second, {}
        count = self._seen.get(record.msg, 0) + 1
        self._seen[record.msg] = count
        if count == self._most:
            record.msg = f"{record.getMessage()} (more like this are not shown for a second)"
            record.args = None
        return count <= self._most


def configure(settings: WorkerSettings) -> None:
    """For the process of a worker: a library would leave the root logger alone."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(OneLine(settings))
    logging.basicConfig(level=logging.INFO, handlers=[stream], force=True)
    ours = logging.getLogger("jobrun_worker")
    ours.setLevel(logging.DEBUG if settings.debug else logging.INFO)
    sparing = Sparing()
    stream.addFilter(lambda record: not record.name.startswith("jobrun_worker") or sparing.filter(record))
