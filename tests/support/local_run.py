"""``jobrun local run`` as a real process, in a folder of its own: started, waited for, hurt and read.

Everything that is waited for has a bound, and whatever a test does, leaving the ``with`` leaves no process behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from support import task_handlers
from support.measure import nanoseconds
from support.process_marks import VARIABLE, Overdue, Process, kill_marked, marked, until

JOBRUN = Path(sys.executable).with_name("jobrun")
GONE_SECONDS = 5.0
"""After its end nothing of a local run may live for longer, on a machine that has nothing else to do."""

_FOR_GOOD = 60.0
"""Seconds after which what still lives counts as left behind, on any machine."""

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How one start of the command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        return self.stdout + self.stderr

    @property
    def jobrun(self) -> dict[str, Any]:
        """What ``--json`` printed. Raises ValueError where the last line is not JSON."""
        found: dict[str, Any] = json.loads((self.stdout.splitlines() or [""])[-1])
        return found

    @property
    def tasks(self) -> dict[str, int]:
        """``status.tasks``, as ``--json`` printed it."""
        found: dict[str, int] = self.jobrun["status"]["tasks"]
        return found


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a handler, from ``starts.log``."""

    time: int
    """Nanoseconds since the epoch."""
    index: int
    attempt: int
    pid: int


class LocalRun:
    """A folder with manifest and handlers; ``start`` may be called again after each end."""

    def __init__(
        self,
        folder: Path,
        spec: Mapping[str, Any],
        *options: str,
        name: str = "run",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """``options`` follow ``--data-dir data --results results.jsonl --json``; paths are relative to ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.spec = dict(spec)
        self.name = name
        self.manifest = folder / "run.yaml"
        self.data = folder / "data"
        self.command = [
            "local",
            "run",
            "run.yaml",
            "--data-dir",
            "data",
            "--results",
            "results.jsonl",
            "--json",
        ]
        self.command += options
        self.mark = os.urandom(8).hex()
        self._env = os.environ | {VARIABLE: self.mark} | dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        shutil.copy(task_handlers.__file__, folder / "handlers.py")
        self.edit()

    def edit(self, **fields: Any) -> int:
        """Write the manifest, with other values for fields of spec: the moment just before, in nanoseconds."""
        self.spec |= fields
        document = {
            "apiVersion": "jobrun.dev/v1alpha1",
            "kind": "JobRun",
            "metadata": {"name": self.name},
            "spec": self.spec,
        }
        return self.edit_text(yaml.safe_dump(document))

    def edit_text(self, text: str) -> int:
        """As an editor does it: a new file takes the place of the old one."""
        new = self.manifest.with_name(".run.yaml.new")
        new.write_text(text)
        now = time.time_ns()
        new.replace(self.manifest)
        return now

    # --- the process ------------------------------------------------------------------------------------

    def start(self, command: Sequence[str] | None = None) -> Self:
        """``command``: other words after ``jobrun``."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        self._starts += 1
        with self._output("out").open("wb") as out, self._output("err").open("wb") as err:
            self._process = subprocess.Popen(
                [str(JOBRUN), *(command or self.command)],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self

    def wait(self, within: float = 60.0) -> Ended:
        """Its end. Raises Overdue, and ends it, after ``within`` seconds."""
        assert self._process is not None, "it was never started"
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            kill_marked(self.mark)
            raise Overdue(f"jobrun did not end within {within:g} s:\n{self.said()[-3000:]}") from None
        return Ended(code, self._said("out"), self._said("err"))

    def run(self, within: float = 60.0) -> Ended:
        return self.start().wait(within)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the command alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_all(self) -> None:
        """SIGKILL to the command and everything below it."""
        kill_marked(self.mark)
        assert self._process is not None
        self._process.wait()

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def processes(self) -> list[Process]:
        """All that lives below this folder's starts, the command itself included."""
        return marked(self.mark)

    def workers(self) -> list[Process]:
        return [process for process in self.processes() if process.is_worker]

    def seconds_until_gone(self, within: float = _FOR_GOOD) -> float:
        """How long anything of it went on living. Raises Overdue."""
        began = time.monotonic()
        until(lambda: not self.processes(), lambda: f"the end of {self.processes()}", within)
        return time.monotonic() - began

    # --- waiting for a state ----------------------------------------------------------------------------

    def until(self, look: Callable[[], Any], what: str, within: float = 60.0) -> Any:
        """As ``until``; also ends where the command has ended without it."""
        seen = until(
            lambda: look() or (self.ended and "ended"), lambda: f"{what}\n{self.said()[-3000:]}", within
        )
        if seen == "ended" and not (seen := look()):
            raise Overdue(f"jobrun ended before {what}:\n{self.said()[-3000:]}")
        return seen

    def until_status(self, look: Callable[[dict[str, Any]], Any], what: str, within: float = 60.0) -> Any:
        return self.until(lambda: look(self.status()), what, within)

    def until_phase(self, phase: str, within: float = 60.0) -> None:
        self.until_status(lambda status: status.get("phase") == phase, f"phase {phase}", within)

    def until_started(self, tasks: int, within: float = 60.0) -> None:
        """So many starts of handlers were logged."""
        self.until(lambda: len(self.starts()) >= tasks, f"{tasks} started tasks", within)

    def until_workers(self, number: int, within: float = 60.0) -> list[Process]:
        """So many workers are ready: as the status has it, which is written once a second at most."""

        def ready() -> list[Process]:
            workers = self.workers()
            return workers if len(workers) == number == self.status().get("readyReplicas") else []

        found: list[Process] = self.until(ready, f"{number} ready workers", within)
        return found

    # --- what it says and leaves ------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """As the data directory has it now; empty before there is any."""
        try:
            found: dict[str, Any] = json.loads((self.data / "jobrun.json").read_bytes()).get("status", {})
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return found

    def said(self) -> str:
        """What the last start has printed so far."""
        return self._said("out") + self._said("err")

    def starts(self) -> list[Start]:
        try:
            text = (self.folder / "starts.log").read_text()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]
        return [Start(*map(int, line.split())) for line in whole.splitlines()]

    def results(self) -> list[Line]:
        with (self.folder / "results.jsonl").open() as file:
            return [json.loads(line) for line in file]

    def released(self) -> list[int]:
        """``releasedAt`` of all tasks, in the order of index, in nanoseconds."""
        return [nanoseconds(line["releasedAt"]) for line in self.results()]

    def _said(self, what: str) -> str:
        path = self._output(what)
        return path.read_text(errors="replace") if path.exists() else ""

    def _output(self, what: str) -> Path:
        return self.folder / f"{what}.{self._starts}.txt"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill_marked(self.mark)
        if self._process is not None:
            self._process.wait()
