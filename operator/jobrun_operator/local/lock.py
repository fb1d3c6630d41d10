"""The data directory of the local mode: one process at a time, and never somebody else's directory.

It holds the broker's store, the logs and an installation id, which marks the streams as this directory's.
The lock is a ``flock``, so that it ends with its holder, in whatever way. The keeper holds it too: until
everything that a killed run left behind is gone, the directory is not free, and ``open`` waits for that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from jobrun_operator.errors import EnvironmentFault, InputError

OPTION = "--data-dir"
_INSTALLATION, _LOCK, _IGNORE = "installation", "lock", ".gitignore"
_OURS = {_INSTALLATION, _INSTALLATION + ".new", _LOCK, _IGNORE}
_CLEARING_SECONDS = 40.0
"""How long to wait for the keeper of a run that was killed: a little more than it takes at most."""
_ENDING_SECONDS = 1.0
"""A holder that was killed just now still looks alive: only one that lives on is refused."""
_POLL_SECONDS = 0.02


class DataDirectory:
    """A directory that this process alone uses, until ``close()``."""

    def __init__(self, path: Path, descriptor: int, installation: str) -> None:
        self.path = path
        self.installation = installation
        """Names this directory as the owner of its streams; the same at every start."""
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """Makes the directory where it is missing, and locks it.

        Raises InputError where it can't be used or holds something else, EnvironmentFault where another
        process uses it. Waits only for what a killed run left behind.
        """
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_ours(path)
            descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refusal(path, error) from error
        try:
            _lock(path, descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return cls(path, descriptor, _installation(path))
        except OSError as error:
            os.close(descriptor)
            raise _refusal(path, error) from error
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def fileno(self) -> int:
        """Of the lock: for the keeper to hold."""
        return self._descriptor

    def close(self) -> None:
        """Frees it, once the keeper has ended too. More than once is fine."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_ours(path: Path) -> None:
    names = {entry.name for entry in path.iterdir()}
    # A first start that was killed in between left some of the files, but nothing else.
    if _INSTALLATION not in names and not names <= _OURS:
        other = sorted(names - _OURS)[0]
        raise InputError(
            OPTION,
            f"{path} is not a data directory of JobRun (it holds {other!r}): name an empty or a new one",
        )


def _lock(path: Path, descriptor: int) -> None:
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(descriptor)
        waited = time.monotonic() - began
        if waited > _ENDING_SECONDS and holder and _is_alive(holder):
            raise EnvironmentFault(
                f"{path} is in use by process {holder}: wait for it or end it, or choose another {OPTION}"
            )
        if waited > _CLEARING_SECONDS:
            raise EnvironmentFault(
                f"{path} is still in use by what process {holder or '(unknown)'} left behind: "
                f"end that (fuser {path / _LOCK} names it), or choose another {OPTION}"
            )
        time.sleep(_POLL_SECONDS)


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _is_alive(pid: int) -> bool:
    """A process that has ended but was not yet waited for by its parent is not alive: it holds nothing."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):  # no /proc, or it ended just now: the next look tells
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
    return True


def _installation(path: Path) -> str:
    file = path / _INSTALLATION
    if not file.exists():
        (path / _IGNORE).write_text("*\n")
        new = file.with_name(file.name + ".new")
        with new.open("w") as stream:
            stream.write(f"{uuid.uuid4()}\n")
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    return file.read_text().strip()


def _refusal(path: Path, error: OSError) -> InputError | EnvironmentFault:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFault(f"the disk of {path} is full: make room, or choose another {OPTION}")
    if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP):
        return EnvironmentFault(f"the file system of {path} has no locks: choose another {OPTION}")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return InputError(OPTION, f"{path} is a file, or below one: name a directory")
    return InputError(OPTION, f"{path} can't be used: {error.strerror}")
