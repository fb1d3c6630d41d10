"""The guardian that outlives the local mode, to kill what it would leave behind.

A tethered worker dies with the local mode, but what its handler started (``sh -c "sleep 100"``) does not.
So every process of the local mode carries a marker in its environment, ``_JOBRUN_KEEPER=<id>/<part>``,
which children inherit, and one small process waits for the end of a pipe that only the local mode holds
open. At its end, whether by a clean close, a crash or SIGKILL, the guardian kills every process with the
marker, again and again until two looks in a row find none, and ends.

It holds the descriptors that it is given until then: with the lock of the data directory among them, the
next start waits until nothing of this one is alive. A directory that is for this one run it removes then.

Linux only, by ``/proc``: elsewhere nothing is found and nothing killed. A process that was started with an
emptied environment, or overwrites it (as ``setproctitle`` does), is not found either.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

VARIABLE = "_JOBRUN_KEEPER"
"""Not among ``JOBRUN_*``: those are settings, which a worker does not hand down to the commands it runs."""
SWEEP_SECONDS = 30.0
"""How long the guardian goes on against processes that can't be killed (in the kernel on a dead disk)."""
_PAUSE = 0.01


def new_marker(environ: Mapping[str, str] = os.environ) -> str:
    """A marker of its own; below the outer one where a handler of a local run starts a local run."""
    outer, own = environ.get(VARIABLE), os.urandom(8).hex()
    return f"{outer}/{own}" if outer else own


def marked(marker: str) -> Iterator[int]:
    """Ids of the processes that carry ``marker`` or one below it (``marker/...``), without the caller."""
    entry = f"{VARIABLE}={marker}".encode()
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for pid in (int(name) for name in names if name.isdigit()):
        if pid != os.getpid() and _carries(pid, entry):
            yield pid


def kill_marked(marker: str) -> int:
    """SIGKILL to every process that carries ``marker`` or one below it; how many got it.

    What they start in the meantime is missed: call it until it returns 0.
    """
    return sum(_kill(pid, marker) for pid in marked(marker))


def _kill(pid: int, marker: str) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except OSError:  # a sandbox without the call
        return _signal(lambda: os.kill(pid, signal.SIGKILL))
    try:
        # A second look, with the handle held: the id may have gone to another process since the first.
        entry = f"{VARIABLE}={marker}".encode()
        return _carries(pid, entry) and _signal(lambda: signal.pidfd_send_signal(handle, signal.SIGKILL))
    finally:
        os.close(handle)


def _signal(send: Callable[[], None]) -> bool:
    try:
        send()
    except (ProcessLookupError, PermissionError):  # gone, or a set-user-id program: not ours to kill
        return False
    return True


def sweep(marker: str, within: float = SWEEP_SECONDS) -> bool:
    """Kill until two looks in a row find nobody (one can miss a process in the middle of an exec).

    Returns whether nobody is left after at most ``within`` seconds.
    """
    deadline = time.monotonic() + within
    clean = 0
    while clean < 2:
        clean = 0 if kill_marked(marker) else clean + 1
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _carries(pid: int, entry: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environ = file.read()
    except OSError:  # gone, or another user's
        return False
    return any(one == entry or one.startswith(entry + b"/") for one in environ.split(b"\0"))


class Keeper:
    """The guardian, as the local mode holds it; processes are to be started with its ``environment()``."""

    def __init__(self, marker: str, process: asyncio.subprocess.Process) -> None:
        self.marker = marker
        self.pid = process.pid
        self._process = process

    @classmethod
    async def start(cls, hold: Sequence[int] = (), remove: Path | None = None) -> Keeper:
        """``hold``: descriptors that stay open until everything marked is gone; ``remove``: a directory to remove
        then."""
        import asyncio  # here, so that the guardian itself stays small

        marker = new_marker()
        environ = {name: value for name, value in os.environ.items() if name != VARIABLE}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", __file__, marker, *([] if remove is None else [str(remove)])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=environ,
            pass_fds=hold,
            start_new_session=True,  # a Ctrl-C or hang-up of the terminal is not for the guardian
        )
        return cls(marker, process)

    def environment(self, part: str = "") -> dict[str, str]:
        """The marker as an environment; ``part`` names a piece that ``kill_marked`` can kill alone."""
        return {VARIABLE: self.marker_of(part)}

    def marker_of(self, part: str) -> str:
        return f"{self.marker}/{part}" if part else self.marker

    async def clear(self, part: str, within: float = 5.0) -> bool:
        """Kill all that carries the marker of ``part``: whether nothing is left of it."""
        import asyncio

        return await asyncio.to_thread(sweep, self.marker_of(part), within)

    async def aclose(self) -> None:
        """Have it kill what is left, and wait for its end."""
        stdin = self._process.stdin
        if stdin is not None:
            stdin.close()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it was killed: nobody to tell
                await stdin.wait_closed()
        await self._process.wait()


def main(marker: str, remove: str = "") -> None:
    # Its end is the end of the pipe alone: whoever ends a group of processes politely must not get it first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    sweep(marker)
    if remove:
        import shutil  # here, so that the guardian stays small until its end

        shutil.rmtree(remove, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
