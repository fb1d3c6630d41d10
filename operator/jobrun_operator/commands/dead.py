"""``jobrun dead``: the dead letters of a run, as a person works with them.

A letter that somebody else changes in the same moment is left as they made it, and said so: each change names the very
letter that was read.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import click

from jobrun_operator.commands.kept_run import OpenRun, RunChoice, open_run, say
from jobrun_operator.errors import Conflict, InputError
from jobrun_operator.jetstream import dead
from jobrun_operator.jetstream.dead import DeadLetter, dead_letters, letters_of

_MOST_NAMED = 5
_PAGE = 500
"""Letters looked at together."""
_COLUMNS = "{:>10}  {:>8}  {:<13}  {:<20}  {}"
_HEAD = _COLUMNS.format("INDEX", "ATTEMPTS", "REASON", "FAILED-AT", "ERROR")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters a command is about: some by index, those with a text in their error, or all."""

    indexes: tuple[int, ...] = ()
    everything: bool = False
    error: str = ""

    def check(self) -> None:
        """Raises InputError unless it says one thing."""
        if sum((bool(self.indexes), self.everything, bool(self.error))) != 1:
            raise InputError("INDEX", "say which dead letters: one or more INDEX, --error TEXT, or --all")


def list_letters(choice: RunChoice, *, as_json: bool) -> int:
    """A line each. Raises InputError, EnvironmentFault and what else reading does."""
    return asyncio.run(_list(choice, as_json=as_json))


async def _list(choice: RunChoice, *, as_json: bool) -> int:
    shown = discarded = 0
    width = shutil.get_terminal_size((140, 24)).columns if sys.stdout.isatty() else 0
    async with open_run(choice, "jobrun dead list") as opened:
        async for letter in dead_letters(opened.js, opened.names, opened.run.uid):
            if letter.discarded:
                discarded += 1
                continue
            if not shown and not as_json:
                click.echo(_HEAD)
            click.echo(json.dumps(_as_json(letter), ensure_ascii=False) if as_json else _row(letter, width))
            shown += 1
    if not shown:
        say("no dead letters")
    if discarded:
        say(f"discarded before: {discarded:,}")
    return 0


def _row(letter: DeadLetter, width: int) -> str:
    outcome = letter.outcome
    error = " ".join(outcome.error.split())
    failed_at = f"{outcome.finished_at[:19]}Z"
    row = _COLUMNS.format(outcome.index, outcome.attempts, outcome.reason, failed_at, error)
    return row[:width] if width else row


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    outcome = letter.outcome
    return {
        "index": outcome.index,
        "reason": outcome.reason,
        "error": outcome.error,
        "attempts": outcome.attempts,
        "worker": outcome.worker,
        "releasedAt": outcome.released_at,
        "startedAt": outcome.started_at,
        "finishedAt": outcome.finished_at,
        "payload": _payload(outcome.body),
    }


def _payload(body: bytes) -> Any:
    """As the handler got it; None for one that was discarded."""
    return json.loads(body) if body else None


def show(choice: RunChoice, index: int) -> int:
    """All that is known of one. Raises InputError where the task has no dead letter."""
    return asyncio.run(_show(choice, index))


async def _show(choice: RunChoice, index: int) -> int:
    async with open_run(choice, "jobrun dead show") as opened:
        letter = (await _named(opened, [index], changes=False))[0]
    click.echo(json.dumps(_as_json(letter), ensure_ascii=False, indent=2))
    return 0


async def _named(opened: OpenRun, indexes: list[int], *, changes: bool = True) -> list[DeadLetter]:
    """Raises InputError, naming those that are not there, before anything is changed."""
    found = await letters_of(opened.js, opened.names, opened.run.uid, indexes)
    missing = [str(index) for index in indexes if index not in found]
    if missing:
        more = ", ..." if len(missing) > _MOST_NAMED else ""
        raise InputError(
            "INDEX",
            f"no dead letter of task {', '.join(missing[:_MOST_NAMED])}{more} in this run"
            f"{', so nothing is changed' if changes else ''}; "
            f"jobrun dead list {opened.run.name} shows those that are there",
        )
    return [found[index] for index in indexes]


async def _selected(opened: OpenRun, selection: Selection) -> AsyncIterator[DeadLetter]:
    """Those that are not discarded already. Raises InputError."""
    if selection.indexes:
        for letter in await _named(opened, list(dict.fromkeys(selection.indexes))):
            if not letter.discarded:
                yield letter
        return
    async for letter in dead_letters(opened.js, opened.names, opened.run.uid):
        if not letter.discarded and selection.error in letter.outcome.error:
            yield letter


def discard(choice: RunChoice, selection: Selection) -> int:
    """Give them up. Raises InputError."""
    selection.check()
    return asyncio.run(_discard(choice, selection))


async def _discard(choice: RunChoice, selection: Selection) -> int:
    done = changed = retried = 0
    async with open_run(choice, "jobrun dead discard") as opened:
        where = opened.js, opened.names, opened.run.uid
        may_be_retried = await dead.takes_retries(*where)
        async for letters in _in_pages(_selected(opened, selection)):
            busy = await dead.being_retried(*where, letters) if may_be_retried else set()
            retried += len(busy)
            for letter in letters:
                if letter.outcome.index in busy:
                    continue
                try:
                    await dead.discard(*where, letter)
                    done += 1
                except Conflict:
                    changed += 1
    click.echo(f"dead letters discarded: {done:,} (they still count as failed)")
    if retried:
        say(f"being retried, so left as they are: {retried:,}")
    if changed:
        say(f"changed meanwhile, so left as they are: {changed:,}; look at them again")
    return 0


async def _in_pages(letters: AsyncIterator[DeadLetter]) -> AsyncIterator[list[DeadLetter]]:
    page: list[DeadLetter] = []
    async for letter in letters:
        page.append(letter)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


def retry(choice: RunChoice, selection: Selection) -> int:
    """Have them tried once more, with all attempts that the run allows. Raises InputError."""
    selection.check()
    return asyncio.run(_retry(choice, selection))


async def _retry(choice: RunChoice, selection: Selection) -> int:
    asked = before = 0
    async with open_run(choice, "jobrun dead retry") as opened:
        where = opened.js, opened.names, opened.run.uid
        if selection.indexes:
            await _check_payloads(opened, selection.indexes)
        may_be_retried = await dead.takes_retries(*where)
        async for letter in _selected(opened, selection):
            if not may_be_retried:
                raise InputError(
                    "NAME",
                    f"run {opened.run.name} takes no retries: it has failed, and a failed run is over; "
                    "or its operator has not seen its dead letters yet, then ask again in a moment",
                )
            if await dead.retry(*where, letter):
                asked += 1
            else:
                before += 1
    click.echo(f"dead letters to be retried: {asked:,}")
    if before:
        say(f"asked for before, and not settled yet: {before:,}")
    if asked and choice.data_dir is not None:
        say("the command jobrun local run with this --data-dir goes on with them")
    return 0


async def _check_payloads(opened: OpenRun, indexes: tuple[int, ...]) -> None:
    """Raises InputError for those that can't be retried, before anything is asked for."""
    letters = await _named(opened, list(dict.fromkeys(indexes)))
    gone = [str(letter.outcome.index) for letter in letters if letter.discarded]
    if gone:
        raise InputError(
            "INDEX",
            f"task {', '.join(gone[:_MOST_NAMED])} was discarded, and its payload with it: it can't be retried, "
            "so nothing is",
        )
