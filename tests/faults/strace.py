"""What a server does to its files, as strace records it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ATTACH_SECONDS = 10.0
"""That strace may take until it has a process."""
_CALLS = (
    "openat,close,lseek,write,pwrite64,fsync,fdatasync,ftruncate,mkdirat,"
    "rename,renameat,renameat2,unlink,unlinkat"
)
_DATA_BYTES = 16 << 20
"""Of one write, recorded at most: above nats-server's largest block."""


class Tracer:
    """Records what a server does to its files."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace
        self._strace: subprocess.Popen[bytes] | None = None

    def attach(self, pid: int) -> None:
        """Return when it records. Before ``pid`` has anything open that matters: files are known by their opening."""
        command = ["strace", "--follow-forks", "--quiet=all", "-ttt", "-y", "-xx", f"--attach={pid}"]
        command += [f"--string-limit={_DATA_BYTES}", f"--output={self.trace}", f"--trace={_CALLS}"]
        self._strace = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + ATTACH_SECONDS
        while not is_traced(pid) and self._strace.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if not is_traced(pid):
            self.stop()
            raise RuntimeError("strace can't trace here")

    def stop(self) -> None:
        """Let go of the server, where it still runs, and write the trace to its end."""
        strace, self._strace = self._strace, None
        if strace is None:
            return
        strace.send_signal(signal.SIGTERM)
        try:
            strace.wait(30)
        except subprocess.TimeoutExpired:
            strace.kill()
            strace.wait()


# --- the trace ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that has succeeded."""

    time: float
    """When it began: seconds since the epoch."""
    name: str
    arguments: str
    result: str


_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (\S+.*)", re.DOTALL)


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """In the order in which they returned: strace splits those during which another thread's came."""
    begun: dict[str, tuple[float, str]] = {}
    for line in lines:
        if not (found := _LINE.match(line)):
            continue
        thread, at, text = found[1], float(found[2]), found[3].rstrip("\n")
        if text.endswith(_UNFINISHED):
            begun[thread] = (at, text.removesuffix(_UNFINISHED))
            continue
        if resumed := _RESUMED.match(text):
            if thread not in begun:
                continue
            at, start = begun.pop(thread)
            text = start + resumed[2]
        if (call := _CALL.fullmatch(text)) and not call[3].startswith(("-1", "?")):
            yield Call(at, call[1], call[2], call[3])


@cache
def can_trace() -> bool:
    """Whether strace is installed, and may attach to a process of this user (a container or Yama may forbid it)."""
    if shutil.which("strace") is None:
        return False
    victim = subprocess.Popen(["sleep", "60"])
    strace = subprocess.Popen(
        ["strace", "--quiet=all", "--output=/dev/null", f"--attach={victim.pid}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + ATTACH_SECONDS
        while not (traced := is_traced(victim.pid)) and strace.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return traced
    finally:
        for process in (strace, victim):
            process.kill()
            process.wait()


def is_traced(pid: int) -> bool:
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
