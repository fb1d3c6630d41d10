"""What ``jobrun local run`` is given: options, manifest, data file; checked before anything is started."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobrun_operator.api import JobRun
from jobrun_operator.api.document import YamlError, read_documents
from jobrun_operator.commands.result_file import ResultFile
from jobrun_operator.errors import InputError
from jobrun_operator.manifest import load_manifest, parse_manifest
from jobrun_operator.tasks.files import DataFile, data_file

_UPLOAD = {"bucket": "tasks", "name": "data"}
"""Where the file of ``--tasks`` goes in the embedded broker's object store. Not named after the file: the same content
under another name is the same tasks."""


@dataclass(frozen=True, slots=True)
class LocalRunOptions:
    """The command line of ``jobrun local run``."""

    manifest: Path
    tasks: Path | None = None
    data_dir: Path | None = None
    results: Path | None = None
    max_workers: int | None = None
    port: int = 0
    json: bool = False

    @property
    def most_workers(self) -> int:
        return self.max_workers or os.cpu_count() or 1

    @property
    def result_file(self) -> ResultFile | None:
        """What ``--results`` names."""
        return None if self.results is None else ResultFile("--results", self.results)

    @property
    def handlers(self) -> Path:
        """Where handlers are imported from, and commands run."""
        return self.manifest.parent.absolute()

    @property
    def resume_command(self) -> str:
        """What to type to go on with the run."""
        words = ["jobrun", "local", "run", str(self.manifest)]
        for option, value in (
            ("--tasks", self.tasks),
            ("--data-dir", self.data_dir),
            ("--results", self.results),
            ("--max-workers", self.max_workers),
            ("--port", self.port or None),
        ):
            words += [] if value is None else [option, str(value)]
        return shlex.join(words + (["--json"] if self.json else []))


@dataclass(frozen=True, slots=True)
class LocalInput:
    """A manifest as the options complete it, and the data that goes with it."""

    options: LocalRunOptions
    content: bytes
    """Of the manifest's file, as it was read."""
    run: JobRun
    data: DataFile | None

    def place(self, *path: str) -> str:
        """Of a field, for messages: "run.yaml:6: spec.worker"."""
        line = ""
        with contextlib.suppress(YamlError, ValueError):  # it was being saved when it was read
            (document,) = read_documents(self.content.decode("utf-8-sig"))
            line = f":{document.line_of(path)}"
        return f"{self.options.manifest}{line}: {'.'.join(path)}"

    def edited(self, content: bytes) -> JobRun:
        """The manifest with other content. Raises InputError."""
        where = str(self.options.manifest)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputError(where, "not UTF-8: save the file in that encoding") from None
        return _completed(
            parse_manifest(text, where=where, local=True, tasks=_tasks(self.data)), self.options
        )


def read_input(options: LocalRunOptions) -> LocalInput:
    """Raises InputError."""
    data = data_file(options.tasks) if options.tasks else None
    # Read before it is loaded: an edit in between is then seen as one.
    content = b""
    with contextlib.suppress(OSError):  # loading tells why
        content = options.manifest.read_bytes()
    run = load_manifest(options.manifest, local=True, tasks=_tasks(data))
    if run.spec.tasks.object is not None and data is None:
        raise InputError(
            f"{options.manifest}: spec.tasks.object",
            "there is no such object here: a local run has a broker of its own; give the data as a file with --tasks",
        )
    _check_results(options, run)
    return LocalInput(options, content, _completed(run, options), data)


def _tasks(data: DataFile | None) -> dict[str, Any] | None:
    return {"object": _UPLOAD, "format": data.format.value} if data else None


def _completed(run: JobRun, options: LocalRunOptions) -> JobRun:
    """``--results`` implies ``results.retain``."""
    if options.results is None or run.spec.results.retain:
        return run
    retained = run.spec.results.model_copy(update={"retain": True})
    return run.model_copy(update={"spec": run.spec.model_copy(update={"results": retained})})


def _check_results(options: LocalRunOptions, run: JobRun) -> None:
    """Before anything is started: they can be written, and overwrite nothing that the run is made of."""
    if options.result_file is None:
        return
    options.result_file.check()
    worker, folder = run.spec.worker, options.handlers
    module = folder.joinpath(*worker.python.partition(":")[0].split(".")) if worker.python else None
    inputs = {
        "the manifest": [options.manifest],
        "the file of --tasks": [options.tasks] if options.tasks else [],
        "the module of spec.worker.python": [module.with_suffix(".py")] if module else [],
        "a file of spec.worker.exec": [folder / word for word in worker.exec.command] if worker.exec else [],
    }
    options.result_file.check_is_none_of(inputs, options.data_dir)
