"""Every wrong input ends with the right exit code and one message, before anything is released."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from accept.bound import Bound, at_least, same, true
from accept.wrong_data import DATA
from accept.wrong_input import Refusal
from accept.wrong_manifests import MANIFESTS
from accept.wrong_options import OPTIONS
from accept.wrong_runs import RUNS
from support.local_run import LocalRun
from support.process_marks import Overdue

_AT_A_TIME = 2
"""Processes; each takes a core for most of its second."""
LEAST = 60


def table() -> list[Refusal]:
    return [*MANIFESTS, *OPTIONS, *DATA, *RUNS]


def all_refused(folder: Path) -> Iterator[Bound]:
    cases = table()
    yield at_least("wrong inputs", len(cases), LEAST)
    yield from refused(folder, cases)


def refused(folder: Path, cases: Iterable[Refusal]) -> Iterator[Bound]:
    """One bound for each case that is not refused as it should be, and the count of those that are."""
    cases = list(cases)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        found = list(
            pool.map(lambda numbered: _try(folder / str(numbered[0]), numbered[1]), enumerate(cases))
        )
    for case, problem in zip(cases, found, strict=True):
        if problem:
            yield true(case.name, False, problem)
    yield same("refused with one message that says where, and nothing left", found.count(""), len(cases))


def _try(folder: Path, case: Refusal) -> str:
    """What is wrong with how ``case`` was refused; empty: nothing."""
    try:
        with LocalRun(folder, case.spec) as run, case.given(run) as command:
            ended = run.start(command).wait(within=60)
            run.seconds_until_gone()
    except Overdue as late:
        return str(late)
    said = ended.stderr.strip()
    messages = [line for line in said.splitlines() if line.startswith("Error:")]
    problems = [
        *([] if ended.code == case.code else [f"exit code {ended.code}, not {case.code}"]),
        *([] if len(messages) == 1 else [f"{len(messages)} messages"]),
        *(["a traceback"] if "Traceback" in ended.said else []),
        *(f"does not say {part!r}" for part in case.says if part not in said),
        *(["something was released"] if _released(run) else []),
    ]
    if not problems:
        shutil.rmtree(folder, ignore_errors=True)
    return f"{'; '.join(problems)}: {ended.said[-400:]}" if problems else ""


def _released(run: LocalRun) -> bool:
    tasks = run.status().get("tasks") or {}
    return bool(run.starts() or tasks.get("released")) and not (run.folder / "had-run").exists()
