"""What a person sees of a local run: a live view in a terminal, plain lines elsewhere.

It is fed with the same statuses as everybody else; nothing is counted here.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobrun_operator.api import ConditionType, JobRun, JobRunStatus, LimitedBy, Phase, TaskCounts
from jobrun_operator.core import summary
from jobrun_operator.core.reasons import Reason
from jobrun_operator.engine.ports import RunRef
from jobrun_operator.engine.releasing import LONGEST_WAIT

_PLAIN_SECONDS = 5.0
"""Between two plain lines, where nothing else has changed."""

_LEAST_BAR = 10

_PHASE_STYLES = {
    Phase.RUNNING: "bold cyan",
    Phase.SUSPENDED: "bold yellow",
    Phase.COMPLETED: "bold green",
    Phase.FAILED: "bold red",
}


class Output(Console):
    """A console whose reader may leave (``| head``): then the run ends as other programs do, by SIGPIPE's exit code."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE)


class Progress:
    """Shows statuses as they come; ``live`` needs a terminal."""

    def __init__(self, console: Console, run: JobRun) -> None:
        self._console = console
        self._run = run
        self._name = run.name
        self._foretold = False
        self.status = run.status
        """The newest that was shown."""
        self.first_error = ""
        """What went wrong first of this time, in a line."""
        self._begun_before = run.status.start_time is not None
        self._earlier_errors = list(run.status.last_errors)
        self._live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        )
        self._printed_at = float("-inf")
        self._printed: tuple[object, ...] | None = None
        self._told: list[str] = []
        self._held = ""

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """One line that stays, above the live view."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def show(self, status: JobRunStatus) -> None:
        self.status = status
        self._foretell(status)
        self._note_failures(status)
        if self._live is not None:
            self._live.update(self._view(status), refresh=True)
        else:
            self._print(status)

    def _note_failures(self, status: JobRunStatus) -> None:
        """What the first look at a run that is gone on with has found is of an earlier time."""
        if self._begun_before and status.tasks is not None:
            self._earlier_errors += status.last_errors
            self._begun_before = False
        errors = [error for error in status.last_errors if error not in self._earlier_errors]
        if errors and not self.first_error:
            first = min(errors, key=lambda error: (error.attempt, error.index))
            self.first_error = (
                f"first failure: task {first.index}, attempt {first.attempt}: {_one_line(first.error)}"
            )

    def _foretell(self, status: JobRunStatus) -> None:
        """Say what will happen as soon as the number of tasks is known."""
        total = status.source.count if status.source else None
        if self._foretold or total is None:
            return
        self._foretold = True
        if status.phase in (None, Phase.PENDING, Phase.RUNNING, Phase.SUSPENDED):
            self.say(f"{self._name}: {forecast(self._run, total)}")
            if warning := self._run.spec.deadline_warning(total):
                self.say(f"warning: {warning}", style="yellow")

    # --- in a terminal ----------------------------------------------------------------------------------

    def _view(self, status: JobRunStatus) -> Group:
        tasks, said = status.tasks or TaskCounts(total=0), status.summary
        total, ended = tasks.total or 0, tasks.succeeded + tasks.failed
        phase, width = status.phase or Phase.PENDING, self._console.width
        name, done, numbers = self._name, (said and said.progress) or "0%", f"{ended:,}/{total:,}"
        head = Table.grid(padding=(0, 1))
        cells: list[Text | ProgressBar] = [
            Text(name, style="bold", no_wrap=True, overflow="ellipsis"),
            Text(phase, style=_PHASE_STYLES.get(phase, "bold"), no_wrap=True),
            Text(done, no_wrap=True),
            Text(numbers, style="dim", no_wrap=True),
        ]
        room = width - sum(map(len, (name, phase, done, numbers))) - len(cells)
        if room >= _LEAST_BAR:
            bar = ProgressBar(total=max(1, total), completed=ended, width=min(40, room))
            cells.insert(2, bar)
        head.add_row(*cells)
        counts = [
            Text(f"released {tasks.released:,}"),
            Text(f"waiting {tasks.waiting:,}"),
            Text(f"outstanding {tasks.outstanding:,}"),
            Text(f"succeeded {tasks.succeeded:,}", style="green"),
            Text(f"failed {tasks.failed:,}", style="red" if tasks.failed else ""),
        ]
        rows: list[Table | Text] = [head, *_lines(counts, width)]
        if said is not None:
            pace = [Text(f"rate {said.rate}"), Text(f"workers {said.workers}")]
            if (limit := _limit(status)) is not None:
                pace.append(Text(limit, style="dim"))
            if said.eta is not None:
                pace.append(Text(f"time left {said.eta}"))
            rows += _lines(pace, width)
        rows += [Text(f"  {line}", style="yellow") for line in self._notes(status)]
        return Group(*rows)

    # --- without one ------------------------------------------------------------------------------------

    def _print(self, status: JobRunStatus) -> None:
        held, notes = _hold(status), self._notes(status)
        # That a hold is raised again, for longer, is no news that can't wait for the next line.
        key = (status.phase, bool(held), *(note for note in notes if note != held))
        now = time.monotonic()
        if key == self._printed and now - self._printed_at < _PLAIN_SECONDS:
            return
        fresh = [note for note in notes if note not in self._told]
        if status.phase == Phase.RUNNING and self._held and not held:
            fresh.append("the hold is over: the run goes on")
        self._printed, self._printed_at, self._told, self._held = key, now, notes, held
        self.say(plain_line(self._name, status))
        for note in fresh:
            self.say(f"  {note}")

    def _notes(self, status: JobRunStatus) -> list[str]:
        """What is in the way, and the first task that was seen to fail: the others mostly say the same."""
        notes = [held] if (held := _hold(status)) else []
        ready = status.condition(ConditionType.READY)
        if ready is not None and not ready.is_true and status.phase == Phase.RUNNING:
            notes.append(f"{ready.reason}: {ready.message}")
        reconciling = status.condition(ConditionType.RECONCILING)
        if reconciling is not None and reconciling.is_true and reconciling.reason != "Accepted":
            again = f"; it is tried again within {LONGEST_WAIT:g} s"
            unread = reconciling.reason == Reason.SOURCE_UNAVAILABLE
            notes.append(f"{reconciling.reason}: {reconciling.message}{again if unread else ''}")
        if self.first_error:
            notes.append(self.first_error)
        return notes


def _hold(status: JobRunStatus) -> str:
    """Why nothing is begun for a while, and until when; empty: that is not so."""
    held = status.condition(ConditionType.HELD)
    if held is None or not held.is_true or status.phase != Phase.RUNNING:
        return ""
    return f"held ({held.reason}) {_one_line(held.message, 400)}"


def _limit(status: JobRunStatus) -> str | None:
    """Why no more is released just now."""
    if status.limited_by is None:
        return None
    if status.limited_by == LimitedBy.WAITING and not status.ready_replicas:
        return "waits for a worker"
    return f"limited by {status.limited_by}"


def _lines(parts: list[Text], width: int) -> list[Text]:
    """As many parts in a line as fit."""
    lines = [Text("  ").append_text(parts[0])]
    for part in parts[1:]:
        if len(lines[-1]) + 2 + len(part) > width:
            lines.append(Text("  ").append_text(part))
        else:
            lines[-1].append("  ").append_text(part)
    return lines


def plain_line(name: str, status: JobRunStatus) -> str:
    """A status in one line."""
    tasks, said = status.tasks, status.summary
    parts = [name, str(status.phase or Phase.PENDING)]
    if tasks is not None and said is not None:
        parts += [
            said.progress or "",
            f"released={tasks.released}/{tasks.total}",
            f"waiting={tasks.waiting}",
            f"outstanding={tasks.outstanding}",
            f"succeeded={tasks.succeeded}",
            f"failed={tasks.failed}",
            f"rate={said.rate}",
            f"workers={said.workers}",
        ]
        if said.eta is not None:
            parts.append(f"left={said.eta}")
    return " ".join(parts)


def forecast(run: JobRun, total: int) -> str:
    """What will happen: "2,000,000 tasks at 600/min: about 55 h 33 min"."""
    tasks = summary.counted(total, "task")
    rate = run.spec.rate
    if rate is None:
        return f"{tasks} as fast as the workers keep up"
    left = run.spec.least_seconds(total)
    return f"{tasks} at {summary.asked_rate(rate.fraction(total))}: about {summary.spoken_duration(left)}"


def outcome(run: JobRun) -> str:
    """How it ended, in one sentence."""
    status = run.status
    type_ = ConditionType.COMPLETE if status.phase == Phase.COMPLETED else ConditionType.FAILED
    condition = status.condition(type_)
    text = f"{status.phase}: {condition.message}" if condition else str(status.phase)
    took = _took(status.start_time, status.completion_time)
    return f"{text} in {took}" if took else text


def _one_line(text: str, most: int = 200) -> str:
    return " ".join(text.split())[:most]


def _took(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return ""
    return summary.spoken_duration((end - start).total_seconds())


class ShownStatus:
    """The ``LiveStatus`` port for a terminal; passes on to another one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    async def put(self, run: RunRef, status: JobRunStatus) -> None:
        self._progress.show(status)

    async def forget(self, run: RunRef) -> None:
        """Nothing to forget: what was printed stays."""
