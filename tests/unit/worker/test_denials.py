"""What the broker has denied, as a sentence; and what is to blame for an answer that does not come."""

from __future__ import annotations

import pytest

from jobrun_worker.address import BrokerAddress
from jobrun_worker.client import is_refusal
from jobrun_worker.denials import Denial, Denials

INBOX = "_INBOX.jobrun-worker"
GET = "$JS.API.DIRECT.GET.X"


@pytest.mark.parametrize(
    ("text", "denial"),
    [
        (f'nats: permissions violation for publish to "{GET.lower()}"', Denial("publish", GET.lower())),
        ('Permissions Violation for Publish to "A.b"', Denial("publish", "a.b")),
        ('permissions violation for subscription to "a.>" using queue "q"', Denial("subscription", "a.>")),
        ("nats: 'authorization violation'", None),
        ("nats: maximum payload violation", None),
    ],
)
def test_what_the_broker_says(text: str, denial: Denial | None) -> None:
    assert Denial.parse(text) == denial


def denied(*denials: tuple[str, str, float]) -> Denials:
    made = Denials(INBOX)
    for kind, subject, at in denials:
        made.add(Denial(kind, subject), at)
    return made


@pytest.mark.parametrize(
    ("denials", "since", "why"),
    [
        ((), 0.0, ""),
        ((("publish", GET.lower(), 7.0),), 7.0, f"publish to {GET}"),
        ((("publish", GET.lower(), 7.0),), 7.1, ""),  # of an earlier request; this one was not denied
        ((("publish", "another", 7.0),), 0.0, ""),
        ((("subscription", f"{INBOX.lower()}.abc.*", 1.0),), 7.0, f"subscribe to {INBOX}.>"),
        ((("subscription", "$kv.jobrun_control.*", 7.0),), 0.0, ""),  # answers come all the same
    ],
)
def test_why_there_is_no_answer(denials: tuple[tuple[str, str, float], ...], since: float, why: str) -> None:
    said = denied(*denials).why(GET, since)
    assert (why in said) if why else said == ""
    assert ("docs/nats-permissions.md" in said) is bool(why)


def test_another_connection_is_another_matter() -> None:
    denials = denied(("publish", GET.lower(), 7.0), ("subscription", INBOX.lower(), 7.0))
    assert not denials.add(Denial("publish", GET.lower()), 8.0)
    denials.forget()
    assert (denials.why(GET, 0.0), denials.of_inbox) == ("", False)
    assert denials.add(Denial("publish", GET.lower()), 9.0)


@pytest.mark.parametrize(
    ("address", "names"),
    [
        (
            BrokerAddress("nats://x"),
            "set JOBRUN_NATS_USER and JOBRUN_NATS_PASSWORD, or JOBRUN_NATS_CREDENTIALS",
        ),
        (
            BrokerAddress("nats://x", user="ann", password="hunter2"),  # noqa: S106  # no secret
            "JOBRUN_NATS_USER (ann) and JOBRUN_NATS_PASSWORD",
        ),
        (BrokerAddress("nats://x", user_file="/u", password_file="/p"), "check /u and /p, and the user"),  # noqa: S106
        (BrokerAddress("nats://x", credentials="/a.creds"), "JOBRUN_NATS_CREDENTIALS names (/a.creds)"),
        (
            BrokerAddress("nats://x", tls_cert="/a.crt", tls_key="/a.key"),
            "JOBRUN_NATS_TLS_CERT names (/a.crt)",
        ),
    ],
)
def test_which_setting_to_look_at(address: BrokerAddress, names: str) -> None:
    assert names in address.how_to_log_in
    assert "hunter2" not in address.how_to_log_in


def test_what_is_a_refusal() -> None:
    assert is_refusal("nats: 'Authorization Violation'")
    assert is_refusal("nats: user authentication expired")
    assert not is_refusal('nats: permissions violation for publish to "x"')
