"""Settings, logs and error texts: what a person reads of a worker."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jobrun_worker.describe import LONGEST, describe, shorten
from jobrun_worker.logs import OneLine, Sparing
from jobrun_worker.main import check
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.settlement import nak

SETTINGS = WorkerSettings(
    nats_url="nats://127.0.0.1:1",
    uid="u",
    run="run",
    namespace="ns",
    worker="w-1",
    handler_python="json:loads",
)


def test_an_error_says_where_the_users_code_raised_it() -> None:
    try:
        int("x")
    except ValueError as error:
        text = describe(error)
    assert text.startswith("ValueError: invalid literal for int() with base 10: 'x' (at test_process.py:")


def test_an_error_of_several_lines_is_one_line_of_bounded_length() -> None:
    error = KeyError("a\nb " + "x" * 10_000)
    text = describe(error)
    assert "\n" not in text
    assert len(text) == LONGEST
    assert describe(RuntimeError()) == "RuntimeError"


def test_a_long_text_keeps_its_beginning_and_the_ending() -> None:
    assert shorten("abcdef", " (end)", 10) == "abc… (end)"
    assert shorten("abcd", " (end)", 10) == "abcd (end)"


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("jobrun_worker", logging.INFO, "file", 1, message, arguments, None)


def test_a_log_line_names_run_and_worker_and_is_one_line() -> None:
    line = OneLine(replace(SETTINGS, run="100%")).format(record("%s", "two\nlines"))
    assert line.endswith("Z INFO ns/100% w-1 two\\nlines")


def test_lines_of_a_kind_are_bounded_in_a_second() -> None:
    sparing = Sparing(most=3)
    records = [record("task %d failed", number) for number in range(5)] + [record("other")]
    for one in records:
        one.created = 1.5
    assert [sparing.filter(one) for one in records] == [True, True, True, False, False, True]
    assert "more like this" in records[2].getMessage()
    later = record("task %d failed", 6)
    later.created = 2.0
    assert sparing.filter(later)


def test_nak_delays_are_nanoseconds() -> None:
    assert nak(0) == b"-NAK"
    assert nak(1.5) == b'-NAK {"delay": 1500000000}'


def test_a_check_uses_no_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(SETTINGS.to_env()) == 0
    assert check(replace(SETTINGS, handler_python="json:none").to_env()) == 2
    assert capsys.readouterr().err.startswith("jobrun worker: the module 'json' has no 'none'")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"JOBRUN_UID": None}, "not set: JOBRUN_UID"),
        ({"JOBRUN_CONCURRENCY": "many"}, "JOBRUN_CONCURRENCY='many'"),
        ({"JOBRUN_HANDLER_PYTHON": "nowhere_to_be_found:f"}, "ModuleNotFoundError"),
        ({"JOBRUN_HANDLER_HTTP": "http://x"}, "exactly one of"),
        ({"JOBRUN_NATS_CREDENTIALS": "/no/such.creds"}, "/no/such.creds can't be read"),
    ],
)
def test_a_worker_that_cannot_work_says_why_in_one_line_and_exits_with_2(
    tmp_path: Path, change: dict[str, str | None], said: str
) -> None:
    merged = SETTINGS.to_env() | change
    environ = {name: value for name, value in merged.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-m", "jobrun_worker"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("jobrun worker: ")
    assert done.stderr.count("\n") == 1


def test_settings_survive_the_environment() -> None:
    settings = replace(
        SETTINGS,
        handler_python="",
        handler_exec=("sh", "-c", "true"),
        retain_results=True,
        debug=True,
        ack_wait_seconds=5.0,
    )
    assert WorkerSettings.from_env(settings.to_env()) == settings
