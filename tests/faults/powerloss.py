"""A power cut, modelled: what of the broker's files is on the disk at any moment, by the system calls that it made.

Killing a process shows nothing of this: what it has written is in the kernel's page cache, and survives it. So strace
records every call with which the server changes files, content included, and ``Disk`` replays them up to a moment and
keeps, for each file, what had been *synced* until then:

- the content that the last fsync or fdatasync of it, or a write through O_SYNC, has seen; a file that was never synced
  is empty;
- a new name, and the removal or the replacement of one, from the moment when its directory was synced: until then the
  old file is still there under its name. The first sync of a new file also makes its name durable, as ext4 and XFS do
  (POSIX does not promise it).

Directories themselves are taken for durable at once. That is harsher than a real disk mostly is: the kernel writes back
by itself what has been dirty for 30 s or so (``vm.dirty_expire_centisecs``). ``write_back`` is that.

What nats-server 2.15.1 syncs, seen with strace:

==============================  ==========================  =====================================================
what                            ``sync_interval: always``   otherwise
==============================  ==========================  =====================================================
a message, before its answer    write, fsync of its block   write alone; blocks are synced every ``sync_interval``
an atomic batch                 staged and synced, then     staged and synced, then written without a sync
                                written and synced once
an ack                          as a message: a record of   write alone
                                30 bytes and an fsync
a consumer's state              O_SYNC, rename, fsync of    write, rename: no sync
                                the directory
configuration of streams and    O_SYNC, rename, fsync of    write, rename: no sync
consumers                       the directory
==============================  ==========================  =====================================================

``sync_interval`` is two minutes where nothing is said. So without ``always`` a power cut takes what the kernel had not
written back, acknowledged or not: the newest tasks and outcomes, and of a run that has just begun its streams.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from faults.strace import Call

_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"(\d+)(?:<(.*?)>)?")


def _strings(arguments: str) -> list[bytes]:
    return [bytes.fromhex(found.replace("\\x", "")) for found in _STRING.findall(arguments)]


# --- the disk -------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _File:
    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    """What of it is on the disk."""

    def sync(self) -> None:
        self.synced = bytes(self.content)

    def put(self, offset: int, data: bytes) -> None:
        if len(self.content) < offset:
            self.content.extend(b"\0" * (offset - len(self.content)))
        self.content[offset : offset + len(data)] = data


@dataclass
class _Open:
    path: str
    file: _File
    offset: int
    writes_through: bool


class Disk:
    """The files below ``root``, as the calls so far have left them."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._names: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._directories: set[str] = {str(root)}
        self._open: dict[int, _Open] = {}

    def apply(self, call: Call) -> None:
        handle = getattr(self, f"_{call.name}", None)
        if handle is not None:
            handle(call)

    def write_back(self, *, but: str = "") -> None:
        """The kernel has written everything to the disk, as it does by itself after a while; or everything but the
        files whose path has ``but`` in it: it knows no order."""

        def written(path: str) -> bool:
            return not but or but not in path

        for path, file in self._names.items():
            if written(path):
                file.sync()
        kept = {path: file for path, file in self._durable.items() if not written(path)}
        self._durable = kept | {path: file for path, file in self._names.items() if written(path)}

    def write_to(self, place: Path) -> None:
        """What a machine finds that is switched on again."""
        for directory in sorted(self._directories):
            self._below(place, directory).mkdir(parents=True, exist_ok=True)
        for path, file in self._durable.items():
            target = self._below(place, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.synced)

    def _below(self, place: Path, path: str) -> Path:
        return place / f"{path}/".removeprefix(self._root)

    def _is_ours(self, path: str) -> bool:
        return path.startswith(self._root)

    # --- one call each ----------------------------------------------------------------------------------

    def _openat(self, call: Call) -> None:
        path = _strings(call.arguments)[0].decode()
        if not self._is_ours(path) or path in self._directories or "O_DIRECTORY" in call.arguments:
            return
        file = self._names.get(path)
        if file is None:
            if "O_CREAT" not in call.arguments:
                return  # a directory
            file = self._names[path] = _File()
        if "O_TRUNC" in call.arguments:
            file.content.clear()
        number = int(call.result.partition("<")[0])
        offset = len(file.content) if "O_APPEND" in call.arguments else 0
        self._open[number] = _Open(path, file, offset, "O_SYNC" in call.arguments)

    def _close(self, call: Call) -> None:
        if found := _DESCRIPTOR.match(call.arguments):
            self._open.pop(int(found[1]), None)

    def _lseek(self, call: Call) -> None:
        if opened := self._opened(call):
            opened.offset = int(call.result.split()[0])

    def _write(self, call: Call) -> None:
        if opened := self._opened(call):
            data = _strings(call.arguments)[-1][: int(call.result.split()[0])]
            self._put(opened, opened.offset, data)
            opened.offset += len(data)

    def _pwrite64(self, call: Call) -> None:
        if opened := self._opened(call):
            data = _strings(call.arguments)[-1][: int(call.result.split()[0])]
            self._put(opened, int(call.arguments.rpartition(",")[2]), data)

    def _put(self, opened: _Open, offset: int, data: bytes) -> None:
        opened.file.put(offset, data)
        if opened.writes_through:
            self._sync(opened)

    def _fsync(self, call: Call) -> None:
        if opened := self._opened(call):
            self._sync(opened)
        elif (found := _DESCRIPTOR.match(call.arguments)) and found[2]:
            self._sync_names(_plain(found[2]))

    _fdatasync = _fsync

    def _sync(self, opened: _Open) -> None:
        opened.file.sync()
        if self._names.get(opened.path) is opened.file and opened.path not in self._durable:
            self._durable[opened.path] = opened.file

    def _sync_names(self, directory: str) -> None:
        def inside(path: str) -> bool:
            return path.rpartition("/")[0] == directory

        for path in [path for path in self._durable if inside(path) and path not in self._names]:
            del self._durable[path]
        self._durable |= {path: file for path, file in self._names.items() if inside(path)}

    def _ftruncate(self, call: Call) -> None:
        if opened := self._opened(call):
            size = int(call.arguments.rpartition(",")[2])
            del opened.file.content[size:]
            opened.file.put(size, b"")

    def _renameat(self, call: Call) -> None:
        old, new = (path.decode() for path in _strings(call.arguments)[:2])
        if not self._is_ours(old):
            return
        if (file := self._names.pop(old, None)) is not None:
            self._names[new] = file
            for opened in self._open.values():
                if opened.file is file:
                    opened.path = new
            return
        # A directory: what is in it goes with it, at once.
        for names in (self._names, self._durable):
            for path in [path for path in names if path.startswith(f"{old}/")]:
                names[new + path.removeprefix(old)] = names.pop(path)
        self._directories = {
            new + path.removeprefix(old) if f"{path}/".startswith(f"{old}/") else path
            for path in self._directories
        }

    _rename = _renameat2 = _renameat

    def _unlinkat(self, call: Call) -> None:
        path = _strings(call.arguments)[0].decode()
        if "AT_REMOVEDIR" in call.arguments:
            self._directories.discard(path)
            for name in [name for name in self._durable if name.startswith(f"{path}/")]:
                del self._durable[name]  # there is no place for it any more
        else:
            self._names.pop(path, None)

    _unlink = _unlinkat

    def _mkdirat(self, call: Call) -> None:
        path = _strings(call.arguments)[0].decode()
        if self._is_ours(path):
            self._directories.add(path)

    def _opened(self, call: Call) -> _Open | None:
        found = _DESCRIPTOR.match(call.arguments)
        return self._open.get(int(found[1])) if found else None


def _plain(annotation: str) -> str:
    """A path as strace shows it beside a descriptor, with or without escapes."""
    if annotation.startswith("\\x"):
        return bytes.fromhex(annotation.replace("\\x", "")).decode()
    return annotation


def disk_after(
    recorded: Iterable[Call], root: Path, *, written_back: float = 0.0, last_but: str = ""
) -> Disk:
    """What is on the disk when the power goes right after these calls.

    ``written_back``: when the kernel last did so by itself, in seconds since the epoch. ``last_but``: it has done so
    at the very end as well, but for files whose path has this in it.
    """
    disk = Disk(root)
    waiting = written_back > 0
    for call in recorded:
        if waiting and call.time > written_back:
            disk.write_back()
            waiting = False
        disk.apply(call)
    if last_but:
        disk.write_back(but=last_but)
    return disk
