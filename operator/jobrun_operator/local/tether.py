"""Ties a process to the one that started it: when the parent ends, in whatever way, the kernel kills the
child.

The local mode promises to leave nothing running, also after a SIGKILL of itself. ``PR_SET_PDEATHSIG`` does
that for direct children, but a process has to ask for it after the fork; ``preexec_fn`` would run Python
between fork and exec of a threaded process, so this file runs as a script of its own in between, and turns
into the command by exec: same process id, same descriptors. What the command starts in turn is the keeper's
business.

The file is run by path with ``-I -S`` and imports only what costs next to nothing: it adds about 20 ms.
Where there is no ``prctl`` (not Linux) the command runs untied.

The signal comes when the *thread* that started the child ends: start children from the main thread only.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # prctl(2)
SIGKILL, SIGPIPE, SIGXFSZ, SIG_DFL = 9, 13, 25, 0  # signal(7); the module would double the start-up time


def tethered(command: Sequence[str], *, nice: int = 0) -> list[str]:
    """``command``, tied to the calling process and ``nice`` steps lower in priority."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(nice), *command]


def main(argv: Sequence[str]) -> None:
    """``PARENT NICE COMMAND [ARGUMENT...]``; never returns unless the command can't be run."""
    parent, nice, *command = argv
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it ended before the request: nobody would send the signal any more
        os.kill(os.getpid(), SIGKILL)
    # Python ignores these two for itself, and exec would hand that down.
    for signal in (SIGPIPE, SIGXFSZ):
        libc.signal(signal, ctypes.c_void_p(SIG_DFL))
    os.nice(int(nice))
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is the point
    except OSError as error:
        sys.stderr.write(f"can't run {command[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
