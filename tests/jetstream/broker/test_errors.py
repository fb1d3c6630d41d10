"""JetStream's errors as instructions to the engine."""

from __future__ import annotations

import pytest

from jobrun_operator.errors import BrokerBusy, BrokerUnavailable, Conflict, JobRunError, TemporaryError
from jobrun_operator.jetstream.client import NotFound, Refused, checked

TABLE: list[tuple[int, int, type[JobRunError]]] = [
    (400, 10071, Conflict),
    (404, 10059, NotFound),
    (404, 10014, NotFound),
    (404, 10037, NotFound),
    (400, 10002, BrokerBusy),
    (503, 10023, BrokerBusy),
    (500, 10028, BrokerBusy),
    (500, 10047, BrokerBusy),
    (503, 10077, BrokerBusy),
    (429, 10167, BrokerBusy),
    (400, 10176, BrokerBusy),
    (429, 10210, BrokerBusy),
    (503, 10008, BrokerUnavailable),
    (500, 10000, BrokerUnavailable),
    (400, 10058, Refused),
    (400, 10148, Refused),
    (400, 10052, Refused),
    (403, 10107, Refused),
]


@pytest.mark.parametrize(("code", "err_code", "kind"), TABLE)
def test_each_is_what_the_engine_makes_of_it(code: int, err_code: int, kind: type[JobRunError]) -> None:
    with pytest.raises(JobRunError) as raised:
        checked({"error": {"code": code, "err_code": err_code, "description": "because"}}, "STREAM.INFO.x")
    assert type(raised.value) is kind
    assert "because" in str(raised.value)
    assert isinstance(raised.value, TemporaryError) is (kind not in (NotFound, Refused))


def test_the_code_stays_with_what_is_final() -> None:
    with pytest.raises(Refused) as refused:
        checked({"error": {"code": 400, "err_code": 10058}}, "x")
    assert refused.value.code == 10058
    with pytest.raises(NotFound) as missing:
        checked({"error": {"code": 404, "err_code": 10014}}, "x")
    assert missing.value.code == 10014


@pytest.mark.parametrize("answer", [{}, {"seq": 7}, {"error": None}])
def test_what_is_no_error_is_the_answer(answer: dict[str, object]) -> None:
    assert checked(answer, "x") is answer
