"""The broker's disk: full, and slow.

*Full* is real: the broker's store is on a small file system in memory, which is filled to the last byte. That takes
root. *Slow* is made by strace, which lets each write and each sync of the server's files wait (``delay_enter``);
sockets are written by other system calls, so the network stays as it is. What can't be done here is left out, and the
report says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from faults.strace import ATTACH_SECONDS, is_traced

_BYTES = 96 << 20
_CALLS = "pwrite64,fsync,fdatasync"
"""With which nats-server writes its blocks (seen with strace, nats-server 2.15)."""


class SmallDisk:
    """A file system of its own at ``place``; an ordinary folder where that can't be made."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True)
        self.is_small = _mount(place)

    def fill(self) -> None:
        """To the last byte, so that the next write fails."""
        with (self.place / "filler").open("ab", buffering=0) as file:
            for piece in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * piece)

    def free(self) -> None:
        (self.place / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if self.is_small:
            subprocess.run(["umount", "--lazy", str(self.place)], check=True, capture_output=True)


def _mount(place: Path) -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={_BYTES}", "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class SlowDisk:
    """Makes the disk of one process slow, until ``stop``."""

    def __init__(self) -> None:
        self._strace: subprocess.Popen[bytes] | None = None

    def start(self, pid: int, seconds: float) -> None:
        """Each write and each sync of ``pid`` waits ``seconds``."""
        command = ["strace", "--follow-forks", "--quiet=all", "--output=/dev/null", f"--attach={pid}"]
        command += [f"--trace={_CALLS}", f"--inject={_CALLS}:delay_enter={int(seconds * 1e6)}"]
        self._strace = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + ATTACH_SECONDS
        while not is_traced(pid) and self._strace.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop(self) -> None:
        strace, self._strace = self._strace, None
        if strace is not None:
            strace.send_signal(signal.SIGTERM)  # it lets go of the process
            try:
                strace.wait(10)
            except subprocess.TimeoutExpired:
                strace.kill()
                strace.wait()
