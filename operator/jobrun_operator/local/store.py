"""The one JobRun of a data directory: what the API server is to the operator, a file is to the local mode.

The file is replaced as a whole, so a kill at any moment leaves the old one or the new one. The status in it is what
the engine wrote last; what a newer look at the streams says wins after a restart, as on a cluster.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

from jobrun_operator.api import JobRun, JobRunStatus
from jobrun_operator.errors import Conflict, EnvironmentFault, Gone, InputError

_FILE = "jobrun.json"


class RunStore:
    """The ``StatusWriter`` port on a file, and what ``kubectl apply`` would do besides."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE

    def load(self) -> JobRun | None:
        """The run that this directory is for, or None. Raises EnvironmentFault where the file is damaged."""
        try:
            return JobRun.from_wire(json.loads(self._path.read_bytes()), local=True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, InputError) as error:
            raise EnvironmentFault(f"{self._path} can't be read ({error}); use another --data-dir") from error

    def create(self, run: JobRun) -> JobRun:
        """``run`` as a new object, with a uid of its own."""
        now = datetime.now(UTC).replace(microsecond=0)
        fresh = {
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "resource_version": "1",
            "creation_timestamp": now,
        }
        return self._save(run.model_copy(update={"metadata": run.metadata.model_copy(update=fresh)}))

    def apply(self, stored: JobRun, manifest: JobRun) -> JobRun:
        """``stored`` with the spec and annotations of ``manifest``; its generation grows with a change of spec."""
        meta = stored.metadata
        changed = manifest.spec != stored.spec
        if not changed and manifest.metadata.annotations == meta.annotations:
            return stored
        updated = meta.model_copy(
            update={
                "annotations": manifest.metadata.annotations,
                "labels": manifest.metadata.labels,
                "generation": meta.generation + changed,
                "resource_version": _next(meta.resource_version),
            }
        )
        return self._save(stored.model_copy(update={"metadata": updated, "spec": manifest.spec}))

    def delete(self) -> None:
        self._path.unlink(missing_ok=True)

    async def read(self, run: JobRun) -> JobRun:
        stored = self.load()
        if stored is None or stored.uid != run.uid:
            raise Gone(f"{self._path} does not hold run {run.uid} any more")
        return stored

    async def write(self, run: JobRun, status: JobRunStatus) -> JobRun:
        stored = await self.read(run)
        if stored.metadata.resource_version != run.metadata.resource_version:
            raise Conflict(f"{self._path} was changed since it was read")
        version = {"resource_version": _next(stored.metadata.resource_version)}
        return self._save(
            stored.model_copy(
                update={"metadata": stored.metadata.model_copy(update=version), "status": status}
            )
        )

    def _save(self, run: JobRun) -> JobRun:
        new = self._path.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump(run.to_wire(), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise EnvironmentFault(f"{self._path} can't be written: {error.strerror}") from error
        return run


def _next(version: str) -> str:
    return str(int(version or "0") + 1)
