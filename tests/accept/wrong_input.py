"""A wrong input: what is prepared for it, the command, and what must be said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from accept.complete import worker
from support.local_run import LocalRun

SPEC: Mapping[str, Any] = {"tasks": {"count": 3}, "worker": worker("logged")}

Prepare = Callable[[LocalRun], None]
Given = Callable[[LocalRun], AbstractContextManager[Sequence[str]]]
"""Prepares the folder, and keeps what is needed while the command runs; gives the words after ``jobrun``."""


def command(*options: str, manifest: str = "run.yaml") -> list[str]:
    return ["local", "run", manifest, "--data-dir", "data", *options]


def with_options(*options: str, manifest: str = "run.yaml", prepare: Prepare = lambda run: None) -> Given:
    """Nothing is held while the command runs."""

    @contextmanager
    def given(run: LocalRun) -> Iterator[Sequence[str]]:
        prepare(run)
        yield command(*options, manifest=manifest)

    return given


@dataclass(frozen=True)
class Refusal:
    name: str
    says: Sequence[str]
    """Each is part of the message: the field, line or option, and what to do."""
    given: Given = field(default_factory=with_options)
    spec: Mapping[str, Any] = field(default_factory=lambda: SPEC)
    code: int = 2
