"""Finds every process below a test, whoever started it and whatever became of its parent.

What a test starts carries a mark in its environment, which children inherit; ``/proc`` shows it. A process that has
ended but was not yet waited for shows no environment any more, so it doesn't count.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

VARIABLE = "LOCAL_RUN_TEST_MARK"
"""Not named ``JOBRUN_*``: those variables a worker keeps from the commands that it runs."""

_POLL_SECONDS = 0.01


class Overdue(AssertionError):
    """What was waited for did not happen in time."""


def until(look: Callable[[], T], what: str | Callable[[], str], within: float = 30.0) -> T:
    """What ``look`` returns once that is true. Raises Overdue, with ``what`` it was to be, after ``within`` seconds."""
    deadline = time.monotonic() + within
    while True:
        if seen := look():
            return seen
        if time.monotonic() > deadline:
            raise Overdue(f"not within {within:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(_POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was seen."""

    pid: int
    command: str

    @property
    def is_worker(self) -> bool:
        return "-m jobrun_worker" in self.command and "--check" not in self.command

    @property
    def is_broker(self) -> bool:
        return self.command.partition(" ")[0].endswith("nats-server")

    def send(self, number: signal.Signals) -> None:
        """Does nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def marked(mark: str) -> list[Process]:
    """The living processes that carry ``mark``, oldest first."""
    return sorted(_marked(f"{VARIABLE}={mark}".encode()), key=lambda process: process.pid)


def _marked(entry: bytes) -> Iterator[Process]:
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        try:
            if entry not in (directory / "environ").read_bytes().split(b"\0"):
                continue
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended just now, or is another user's
            continue
        yield Process(int(directory.name), command.strip())


def resident(pid: int) -> int:
    """Bytes of memory that a process has (its resident set); 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def processor_seconds(pid: int | str) -> float:
    """Used so far by a process ("self": this one), in user and system mode. Raises OSError where it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)


def kill_marked(mark: str, within: float = 10.0) -> None:
    """SIGKILL until none is left. Raises Overdue."""

    def none_left() -> bool:
        left = marked(mark)
        for process in left:
            process.send(signal.SIGKILL)
        return not left

    until(none_left, lambda: f"the end of {marked(mark)}", within)
