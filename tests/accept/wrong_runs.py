"""A data directory that has another run, other tasks, or a process that uses it just now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from accept.wrong_input import Refusal, command
from support.local_run import LocalRun


def _runs_first(run: LocalRun, *options: str) -> None:
    """A whole run in the data directory, before the input that is wrong for it."""
    ended = run.start(command(*options)).wait()
    assert ended.code == 0, ended.said
    (run.folder / "had-run").touch()


@contextmanager
def _another_name(run: LocalRun) -> Iterator[Sequence[str]]:
    _runs_first(run)
    run.name = "other"
    run.edit()
    yield command()


@contextmanager
def _another_count(run: LocalRun) -> Iterator[Sequence[str]]:
    _runs_first(run)
    run.edit(tasks={"count": 4})
    yield command()


@contextmanager
def _another_file(run: LocalRun) -> Iterator[Sequence[str]]:
    data = run.folder / "tasks.csv"
    data.write_text("id\n1\n2\n")
    _runs_first(run, "--tasks", "tasks.csv")
    data.write_text("id\n1\n3\n")
    yield command("--tasks", "tasks.csv")


@contextmanager
def _without_its_file(run: LocalRun) -> Iterator[Sequence[str]]:
    (run.folder / "tasks.csv").write_text("id\n1\n2\n")
    _runs_first(run, "--tasks", "tasks.csv")
    yield command()


@contextmanager
def _in_use(run: LocalRun) -> Iterator[Sequence[str]]:
    other = LocalRun(run.folder / "other", {**run.spec, "suspend": True})
    with other:
        other.start(["local", "run", "run.yaml", "--data-dir", str(run.data.absolute())])
        other.until(lambda: run.status().get("phase") == "Suspended", "phase Suspended")
        yield command()


RUNS: tuple[Refusal, ...] = (
    Refusal(
        "data dir: of another run",
        ("--data-dir", "belongs to run 'run', not to 'other'", "use another"),
        _another_name,
    ),
    Refusal("data dir: of other tasks", ("--data-dir", "with other tasks", "spec.tasks"), _another_count),
    Refusal(
        "data dir: changed --tasks", ("--tasks", "has changed since", "use another --data-dir"), _another_file
    ),
    Refusal("data dir: without its --tasks", ("--data-dir", "with other tasks"), _without_its_file),
    Refusal("data dir: in use", ("is in use by process", "choose another --data-dir"), _in_use, code=3),
)
