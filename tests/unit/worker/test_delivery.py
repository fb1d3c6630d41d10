"""What JetStream says of a delivery in its reply subject (ADR-15)."""

from __future__ import annotations

import pytest

from jobrun_worker.wire import Delivery

TIME = 1_764_512_345_678_901_234
NUMBERS = f"3.42.77.{TIME}.5"


@pytest.mark.parametrize(
    "reply",
    [
        f"$JS.ACK.jobrun_1.workers.{NUMBERS}",
        f"$JS.ACK.domain.hash.jobrun_1.workers.{NUMBERS}",
        f"$JS.ACK._.hash.jobrun_1.workers.{NUMBERS}.token",
        f"$JS.ACK._.hash.jobrun_1.workers.{NUMBERS}.token.more",
    ],
)
def test_with_and_without_a_domain(reply: str) -> None:
    assert Delivery.parse(reply.encode()) == Delivery(41, 3, TIME)
    assert Delivery.parse(reply.encode()).released_ns == TIME


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "_INBOX.x.1",
        f"$JS.ACK.workers.{NUMBERS}",
        f"$JS.ACK.jobrun_1.workers.{NUMBERS}.token",
        f"$JS.NAK.jobrun_1.workers.{NUMBERS}",
        f"JS.ACK.jobrun_1.workers.{NUMBERS}",
        f"$JS.ACK.jobrun_1.workers.0.42.77.{TIME}.5",
        f"$JS.ACK.jobrun_1.workers.3.0.77.{TIME}.5",
        "$JS.ACK.jobrun_1.workers.3.42.77.-1.5",
        "$JS.ACK.jobrun_1.workers.3.42.77.99999999999999999999999.5",
        f"$JS.ACK.jobrun_1.workers.three.42.77.{TIME}.5",
    ],
)
def test_what_is_none(reply: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Delivery.parse(reply.encode())
