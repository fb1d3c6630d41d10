"""Retries of dead letters on the real broker: asked for, permitted, and settled, whatever happens in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobrun_operator.engine.ports import Asked, Ends, RunRef, SourceSummary
from jobrun_operator.errors import BrokerUnavailable, JobRunError
from jobrun_operator.jetstream import dead
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.ownership import JetStreamOwnership
from jobrun_operator.jetstream.results import read_outcomes
from jobrun_operator.jetstream.retries import JetStreamRetries
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_worker.wire import EXPECTED_LAST_SUBJECT_SEQUENCE, Names, Outcome
from support.kept_runs import outcome_of

UID = "u1"
RUN = RunRef("team", "backfill", UID)
SOURCE = SourceSummary(10, "sha256:0")
NAMES = Names()
SETTINGS = LayoutSettings("here")


class _Cut(JetStream):
    """Fails at its ``at``-th request, and from then on: what an engine that is killed leaves."""

    def __init__(self, js: JetStream, at: int) -> None:
        super().__init__(js.client)
        self.left = at

    async def request(self, subject, body, headers=None, timeout=5.0):  # type: ignore[no-untyped-def]
        if not self.left:
            raise BrokerUnavailable("cut")
        self.left -= 1
        return await super().request(subject, body, headers, timeout)


@pytest.fixture
async def retries(js: JetStream) -> JetStreamRetries:
    await JetStreamWorkStreams(js, SETTINGS).provision(RUN, SOURCE, keeps_results=True)
    made = JetStreamRetries(js, SETTINGS)
    await made.open(RUN, SOURCE)
    return made


async def bury(js: JetStream, *indexes: int) -> None:
    for index in indexes:
        outcome = outcome_of(index, good=False)
        await js.publish(NAMES.dead(UID, index), outcome.body, outcome.headers())


async def ask(js: JetStream, *indexes: int) -> list[bool]:
    letters = await dead.letters_of(js, NAMES, UID, indexes)
    return [await dead.retry(js, NAMES, UID, letters[index]) for index in indexes]


async def note(js: JetStream, index: int) -> Outcome:
    """What a worker stores when the retry has succeeded."""
    outcome = replace(outcome_of(index), attempts=5)
    await js.publish(NAMES.retried(UID, index), outcome.body, outcome.headers())
    return outcome


async def ends(js: JetStream) -> Ends:
    found = await JetStreamObserver(js, SETTINGS).ends(UID, exact=True)
    assert found is not None
    return found


async def test_nothing_is_asked_for_where_there_is_no_place_for_it(js: JetStream) -> None:
    await JetStreamWorkStreams(js, SETTINGS).provision(RUN, SOURCE)
    made = JetStreamRetries(js, SETTINGS)
    assert await made.asked(UID) is None
    assert not await dead.takes_retries(js, NAMES, UID)
    await made.pause(UID, paused=True)
    await made.close(UID)
    assert await made.wanted() == set()


async def test_asking_twice_asks_once(js: JetStream, retries: JetStreamRetries) -> None:
    await bury(js, 1, 2)
    assert await ask(js, 1, 2, 1) == [True, True, False]
    assert await retries.asked(UID) == Asked(2, waiting=2)
    assert await retries.wanted() == {UID}
    await retries.open(RUN, SOURCE)
    assert await retries.asked(UID) == Asked(2, waiting=2)


async def test_a_success_takes_the_place_of_its_dead_letter(js: JetStream, retries: JetStreamRetries) -> None:
    await bury(js, 1, 2)
    await ask(js, 1)
    kept = await note(js, 1)
    assert await retries.settle(UID, keep=True) == 1
    assert await retries.settle(UID, keep=True) == 0
    assert await retries.asked(UID) == Asked(0)
    assert await ends(js) == Ends(failed=1, succeeded=1)
    found = [outcome async for outcome in read_outcomes(js, NAMES, UID, 10)]
    assert found == [kept, outcome_of(2, good=False)]


@pytest.mark.parametrize("index", ["7", "x"])
async def test_a_note_that_can_not_be_read_changes_nothing(
    js: JetStream, retries: JetStreamRetries, index: str
) -> None:
    await bury(js, 7)
    await js.publish(NAMES.retried(UID, index), b"{}")
    assert await retries.settle(UID, keep=True) == 1
    assert await retries.settle(UID, keep=True) == 0
    assert await ends(js) == Ends(failed=1, succeeded=0)


async def test_without_kept_results_none_is_stored(js: JetStream, retries: JetStreamRetries) -> None:
    await bury(js, 1)
    await note(js, 1)
    await retries.settle(UID, keep=False)
    assert await ends(js) == Ends(0, 0)


async def test_settling_may_be_cut_off_anywhere(js: JetStream, retries: JetStreamRetries) -> None:
    """The counts of whoever looks next are right: it settles before it counts."""
    cuts = 0
    for at in range(20):
        index = at % 10
        await bury(js, index)
        await ask(js, index)
        await note(js, index)
        cut = JetStreamRetries(_Cut(js, at), SETTINGS)
        try:
            await cut.settle(UID, keep=True)
        except JobRunError:
            cuts += 1
        found = [outcome async for outcome in read_outcomes(js, NAMES, UID, 10) if outcome.index == index]
        assert found == [replace(outcome_of(index), attempts=5)]  # readers see the success from its note on
        while await retries.settle(UID, keep=True):
            pass
        assert await retries.asked(UID) == Asked(0)
        assert await ends(js) == Ends(failed=0, succeeded=1)
        await js.api(f"STREAM.PURGE.{NAMES.out_stream(UID)}")
    assert 4 <= cuts < 20


async def test_permits_go_to_one_worker_each(js: JetStream, retries: JetStreamRetries) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    for _ in range(3):
        subscription = await js.client.subscribe(NAMES.again(UID), queue="workers")
        task = asyncio.create_task(_hear(subscription, heard))
        task.add_done_callback(lambda _: None)
    await js.client.flush()
    await retries.permit(UID, 10, 4)
    async with asyncio.timeout(10):
        assert sorted([await heard.get() for _ in range(3)]) == [b"2", b"4", b"4"]
    await js.client.flush()
    assert heard.empty()


async def _hear(subscription, heard: asyncio.Queue[bytes]) -> None:  # type: ignore[no-untyped-def]
    async for message in subscription.messages:
        heard.put_nowait(message.data)


async def test_paused_and_going_on(js: JetStream, retries: JetStreamRetries) -> None:
    for paused in (True, False):
        await retries.pause(UID, paused=paused)
        asked = await retries.asked(UID)
        assert asked is not None
        assert asked.paused == paused


async def test_freed_with_the_run_and_swept_with_it(js: JetStream, retries: JetStreamRetries) -> None:
    (owned,) = await JetStreamOwnership(js, SETTINGS).owned()
    assert owned.uid == UID
    await JetStreamWorkStreams(js, SETTINGS).delete(UID)
    assert await retries.asked(UID) is None
    assert await JetStreamOwnership(js, SETTINGS).owned() == []


async def test_those_of_another_installation_stay(js: JetStream, retries: JetStreamRetries) -> None:
    with pytest.raises(JobRunError, match="another installation"):
        await JetStreamRetries(js, LayoutSettings("there")).close(UID)
    assert await retries.asked(UID) == Asked(0)


async def test_who_is_told_that_a_letter_is_being_retried(js: JetStream, retries: JetStreamRetries) -> None:
    await bury(js, 1, 2, 3)
    await ask(js, 2)
    letters = [letter async for letter in dead.dead_letters(js, NAMES, UID)]
    assert await dead.being_retried(js, NAMES, UID, letters) == {2}
    header = {EXPECTED_LAST_SUBJECT_SEQUENCE: "0"}
    with pytest.raises(JobRunError):
        await js.publish(NAMES.retry(UID, 2), b"{}", header)


@pytest.mark.parametrize("lost", [False, True], ids=["there", "lost"])
async def test_what_delivers_requests_is_made_again(
    js: JetStream, retries: JetStreamRetries, lost: bool
) -> None:
    await bury(js, 3, 5)
    assert await ask(js, 3, 5) == [True, True]
    if lost:
        await js.api(f"CONSUMER.DELETE.{NAMES.retry_stream(UID)}.workers")
    await retries.rebuild(UID, paused=True)
    assert await retries.asked(UID) == Asked(2, 2, 0, 0, paused=True)
    await retries.rebuild(UID, paused=False)
    assert await retries.asked(UID) == Asked(2, 2, 0, 0)
