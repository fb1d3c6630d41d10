"""What is read off the broker is what it should be, or a ValueError: never another error, and never a wrong type."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.examples import examples
from jobrun_operator.errors import JobRunError
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import checked, decoded
from jobrun_operator.jetstream.observer import _of_attempt, _of_dead_letter
from jobrun_worker.decisions import RetryPolicy, Succeeded, after_run, before_run
from jobrun_worker.wire import (
    MOST_PERMITS,
    AttemptRecord,
    Delivery,
    Outcome,
    RetryRequest,
    format_time,
    permits,
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
_RECORDS = st.fixed_dictionaries({}, optional={"failures": _JSON, "returns": _JSON, "error": _JSON})
_BODIES = (_JSON | _RECORDS).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)
_NUMBERS = st.integers().map(str) | st.sampled_from(
    ["", "²", "٣", "1_0", " 1", "-1", "9" * 5000, "1e9", "NaN"]
)
_DEEP = b"[" * 200_000


@examples(150)
@given(_BODIES, st.integers(1, 10**19), st.integers(1, 5))
@example(_DEEP, 1, 1)
@example(b'{"failures": ' + b"9" * 4000 + b', "returns": 0}', 1, 1)
def test_attempt_records(body: bytes, delivered: int, most: int) -> None:
    _of_attempt(1, "jobrun.out.u.attempt.7", {}, body)
    try:
        record = AttemptRecord.decode(body)
    except ValueError:
        return
    assert record.failures >= 0
    assert record.returns >= 0
    before_run(delivered, record, most)
    after_run(Succeeded(), record, RetryPolicy(most, 1.0, 2.0), lost=record.lost(delivered), roll=0.5)
    assert AttemptRecord.decode(record.encode()) == record


@examples(150)
@given(_BODIES)
@example(_DEEP)
@example(b'{"index": true, "deadLetter": 1}')
@example(b"9" * 30)
def test_requests_for_retries_and_permits(body: bytes) -> None:
    assert 0 <= permits(body) <= MOST_PERMITS
    try:
        request = RetryRequest.decode(body)
    except ValueError:
        return
    assert request.index >= 0
    assert RetryRequest.decode(request.encode()) == request


@examples(100)
@given(
    st.sampled_from(["jobrun.out.u.end.dead.7", "jobrun.out.u.end.ok.7", "jobrun.out.u.end.dead.x", "x", ""]),
    st.dictionaries(
        st.sampled_from(["Jobrun-Attempts", "Jobrun-Error", "Jobrun-Reason", "Jobrun-Worker"]),
        _NUMBERS | _BODIES.map(lambda body: body.decode(errors="replace")),
    ),
)
@example("jobrun.out.u.end.dead.7", {"Jobrun-Attempts": "1", "Jobrun-Error": _DEEP.decode()})
def test_outcomes(subject: str, headers: dict[str, str]) -> None:
    _of_dead_letter(1, subject, headers, b"x")
    try:
        outcome = Outcome.parse(subject, headers, b"x")
    except ValueError:
        return
    assert isinstance(outcome.index, int)
    assert isinstance(outcome.attempts, int)
    assert isinstance(outcome.error, str)


@examples(150)
@given(st.lists(_NUMBERS | st.text(max_size=9), max_size=12))
@example(["jobrun_u", "workers", "1", "0", "1", "1", "0"])
@example(["jobrun_u", "workers", "1", "1", "1", "99999999999999999999999", "0"])
@example(["0"] * 8)
def test_reply_subjects(tokens: list[str]) -> None:
    try:
        delivery = Delivery.parse(".".join(["$JS", "ACK", *tokens]).encode(errors="surrogatepass"))
    except ValueError:
        return
    assert delivery.index >= 0
    assert delivery.delivered >= 1
    format_time(delivery.released_ns)


@examples(60)
@given(st.dictionaries(st.sampled_from(["jobrun-source-count", "jobrun-source-digest"]), _NUMBERS))
@example({"jobrun-source-count": "²"})
@example({"jobrun-source-count": "9" * 5000})
def test_metadata_of_streams(meta: dict[str, str]) -> None:
    source = layout.source_of(meta)
    assert source is None or source.count >= 0
    assert layout.keeps_results(meta) is False


@examples(80)
@given(_BODIES)
@example(_DEEP)
@example(b'{"error": {"err_code": "x"}}')
@example(b'{"error": "no"}')
def test_answers(body: bytes) -> None:
    try:
        checked(decoded(body, "INFO"), "INFO")
    except JobRunError as error:
        str(error).encode()


@pytest.mark.parametrize("text", ["", "\ud800", "a\x00b\nc"])
def test_errors_can_be_written_anywhere(text: str) -> None:
    from jobrun_worker.describe import describe

    described = describe(ValueError(text))
    described.encode()
    assert "\n" not in described
