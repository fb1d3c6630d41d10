"""Settings: from the environment, refused by name; every one and every metric is documented in one place."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from jobrun_operator import metrics, settings
from jobrun_operator.errors import InputError
from jobrun_operator.settings import OperatorSettings

ROOT = Path(__file__).parents[3]


def test_defaults() -> None:
    assert OperatorSettings.from_env({}) == OperatorSettings()
    assert OperatorSettings.from_env({"JOBRUN_WATCH_NAMESPACES": "", "JOBRUN_PORT": ""}) == OperatorSettings()


def test_values() -> None:
    found = OperatorSettings.from_env(
        {
            "JOBRUN_NATS_URL": "nats://a:1",
            "JOBRUN_WATCH_NAMESPACES": "shop, mail,",
            "JOBRUN_STREAM_REPLICAS": "3",
            "JOBRUN_ACK_WAIT_SECONDS": "5",
            "OTHER": "x",
        }
    )
    assert (found.nats_url, found.watch_namespaces) == ("nats://a:1", ("shop", "mail"))
    assert (found.stream_replicas, found.ack_wait_seconds) == (3, 5.0)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "http", "whole number"),
        ("PORT", "70000", "0 to 65535"),
        ("STREAM_REPLICAS", "2", "1, 3 or 5"),
        ("ACK_WAIT_SECONDS", "soon", "a number"),
        ("LOG_FORMAT", "xml", "json, text"),
        ("PREFIX", "a.b", "letters"),
        ("NATS_PASSWORD", "x", "NATS_USER"),
        ("API_WRITES_PER_SECOND", "0", "at least 1"),
    ],
)
def test_refused_by_name(name: str, value: str, says: str) -> None:
    with pytest.raises(InputError, match=rf"JOBRUN_{name}.*{says}"):
        OperatorSettings.from_env({f"JOBRUN_{name}": value})


def test_all_problems_at_once() -> None:
    with pytest.raises(InputError) as caught:
        OperatorSettings.from_env({"JOBRUN_PORT": "a", "JOBRUN_STREAM_REPLICAS": "b"})
    assert len(str(caught.value).splitlines()) == 2


def test_every_setting_says_what_it_means() -> None:
    (body,) = [node for node in ast.parse(inspect.getsource(settings)).body if isinstance(node, ast.ClassDef)]
    documented = {
        statement.target.id
        for statement, after in zip(body.body, body.body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(after, ast.Expr)
    }
    assert documented == {field.name for field in fields(OperatorSettings)}


def test_metrics_are_documented_as_they_are() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics.document(), (
        "run: python -m jobrun_operator.metrics > docs/metrics.md"
    )
