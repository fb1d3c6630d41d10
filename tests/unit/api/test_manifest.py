"""Manifest files: the line of every problem, and no word that two YAML readers understand differently."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from jobrun_operator.api import JobRun
from jobrun_operator.errors import InputError
from jobrun_operator.manifest import MAX_BYTES, load_manifest, parse_manifest
from support.manifests import FULL, INVALID, VALID, Invalid, Valid

TOP = "apiVersion: jobrun.dev/v1alpha1\nkind: JobRun\nmetadata: {name: a}\nspec:\n"
GOOD = TOP + "  tasks: {count: 5}\n  worker: {python: push:call}\n"
"""Six lines; more fields of spec follow on line 7."""


def refused(text: str, *, local: bool = True) -> list[str]:
    with pytest.raises(InputError) as raised:
        parse_manifest(text, where="run.yaml", local=local)
    return str(raised.value).splitlines()


def items(text: str) -> str:
    return TOP + f"  worker: {{python: push:call}}\n  tasks:\n    items:\n      - {text}\n"


def item(text: str) -> object:
    run = parse_manifest(items(f"{{x: {text}}}"), where="run.yaml", local=True)
    assert run.spec.tasks.items is not None
    return run.spec.tasks.items[0]["x"]


# --- lines and paths ------------------------------------------------------------------------------------


def test_names_file_line_field_and_what_is_wrong() -> None:
    assert refused(GOOD + "  rate:\n    tasks: 0\n    periodSeconds: 60\n") == [
        "run.yaml:8: spec.rate.tasks: must be at least 1, is 0"
    ]


def test_lists_all_problems_in_the_order_of_the_file() -> None:
    text = GOOD + "  retry:\n    maxAttempts: '4'\n  rate: {tasks: 1.5, periodSecond: 60}\n  suspend: 1\n"
    assert refused(text) == [
        'run.yaml:8: spec.retry.maxAttempts: must be a whole number, is the text "4": leave out the quotes',
        "run.yaml:9: spec.rate.tasks: must be a whole number, is 1.5: write it without point and exponent",
        "run.yaml:9: spec.rate.periodSecond: unknown field; did you mean periodSeconds?",
        "run.yaml:10: spec.suspend: must be true or false, is 1",
    ]


def test_a_missing_field_is_on_the_line_of_what_lacks_it() -> None:
    assert refused(TOP + "  tasks: {count: 1}\n  worker:\n    exec: {}\n") == [
        "run.yaml:7: spec.worker.exec.command: required, and missing"
    ]


def test_entries_of_lists_have_lines() -> None:
    text = TOP + "  worker: {python: push:call}\n  tasks:\n    items:\n      - {a: 1}\n      - 5\n"
    assert refused(text) == ["run.yaml:9: spec.tasks.items[1]: must be an object with fields, is 5"]


def test_odd_keys_are_shown_as_they_are() -> None:
    assert refused(GOOD + '  "a b": 1\n')[0].startswith(
        "run.yaml:7: spec[a b]: unknown field; the fields here"
    )


def test_where_and_message_are_apart() -> None:
    with pytest.raises(InputError) as raised:
        parse_manifest(GOOD + "  suspend: 1\n", where="run.yaml", local=True)
    assert raised.value.where == "run.yaml:7: spec.suspend"
    assert raised.value.message == "must be true or false, is 1"
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_the_table_is_refused_with_lines(case: Invalid) -> None:
    text = yaml.safe_dump(case.manifest, sort_keys=False, allow_unicode=True)
    lines = refused(text, local=False)
    assert all(line.startswith("run.yaml:") and line.split(":")[1].isdigit() for line in lines)


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.name)
@pytest.mark.parametrize("dump", [yaml.safe_dump, json.dumps], ids=["yaml", "json"])
def test_the_table_is_read_as_it_is(case: Valid, dump: Callable[[object], str]) -> None:
    run = parse_manifest(dump(case.manifest), where="run.yaml", local=case.local)
    assert run == JobRun.from_wire(case.manifest, local=case.local)


def test_image_is_for_kubernetes() -> None:
    assert parse_manifest(GOOD, where="run.yaml", local=True).spec.worker.image is None
    assert refused(GOOD, local=False) == [
        "run.yaml:6: spec.worker.image: required on Kubernetes: the image that holds the handler "
        "(jobrun local run ignores it)"
    ]


def test_status_is_not_for_manifests() -> None:
    assert (
        parse_manifest(GOOD + "status: {phase: Nonsense}\n", where="run.yaml", local=True).status.phase
        is None
    )


# --- what is not one JobRun -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "run.yaml: empty: a manifest is one JobRun"),
        ("# only this\n---\n", "run.yaml: empty: a manifest is one JobRun"),
        (GOOD + "---\n" + GOOD, "run.yaml:8: the second of 2 documents"),
        ("- a\n", "run.yaml:1: must be a JobRun, an object with fields, is a list"),
        ("backfill", 'run.yaml:1: must be a JobRun, an object with fields, is the text "backfill"'),
        ("apiVersion: v1\nkind: List\nitems: []\n", "run.yaml:2: kind: a List: a manifest is one JobRun"),
        (
            "apiVersion: jobrun.dev/v1alpha1\nkind: Job\n",
            'run.yaml:2: kind: must be JobRun, is the text "Job"',
        ),
        (
            "apiVersion: jobrun.dev/v1\nkind: JobRun\n",
            "run.yaml:1: apiVersion: must be jobrun.dev/v1alpha1, is",
        ),
        (
            "kind: JobRun\n",
            "run.yaml:1: apiVersion: required, and missing: write apiVersion: jobrun.dev/v1alpha1",
        ),
        (TOP, "run.yaml:4: spec: required, and missing"),
    ],
)
def test_refuses_what_is_not_one_jobrun(text: str, says: str) -> None:
    assert refused(text)[0].startswith(says)


def test_empty_documents_around_it_do_not_count() -> None:
    parse_manifest("---\n# first\n---\n" + GOOD + "---\n", where="run.yaml", local=True)


# --- what is not YAML, or not the same YAML to all ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            GOOD + "\tsuspend: true\n",
            "run.yaml:7: not valid YAML: the line is indented with a tab; use spaces",
        ),
        (GOOD + "  a: b: c\n", "run.yaml:7: not valid YAML: a ':' too many"),
        (GOOD + "  a: [1\n", "run.yaml:8: not valid YAML: "),
        (GOOD + "  a: 'x\n", "run.yaml:8: not valid YAML: a quote is opened and not closed"),
        (GOOD + "  a: @x\n", "run.yaml:7: not valid YAML: text that begins like this must be in quotes"),
        (GOOD + "  a: *x\n", "run.yaml:7: not valid YAML: it refers to an anchor"),
        (GOOD + "  a: \x00\n", "run.yaml:7: not text: a control character (code 0)"),
        (
            GOOD + "  suspend: !!bool 'true'\n",
            "run.yaml:7: spec.suspend: the tag tag:yaml.org,2002:bool is not",
        ),
        (GOOD + "  rate: !rate {}\n", "run.yaml:7: spec.rate: the tag !rate is not supported"),
        (
            GOOD + "  suspend: true\n  suspend: false\n",
            "run.yaml:8: spec.suspend: is here twice, first on line 7",
        ),
        (GOOD + "  ? [a]\n  : 1\n", "run.yaml:7: spec: the name of a field must be text"),
        (GOOD + "  true: 1\n", "run.yaml:7: spec.true: the name of a field must be text: put it in quotes"),
        (GOOD + "  <<: 5\n", "run.yaml:7: spec: << takes an object with fields"),
        ("a: &a [*a]", "run.yaml:1: a[0]: an alias that holds itself"),
        ("[" * 200, "run.yaml:1: nested more than 100 levels deep"),
    ],
)
def test_refuses_what_is_not_plain_yaml(text: str, says: str) -> None:
    assert refused(text)[0].startswith(says)


def test_aliases_may_not_explode() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for name, last in zip("bcdefgh", "abcdefg", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]")
    assert "more than 500,000 values" in refused("\n".join(lines))[0]


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off", "y", "N"])
def test_refuses_words_that_are_booleans_to_kubectl(word: str) -> None:
    meant = "true" if word.lower() in ("yes", "on", "y") else "false"
    advice = f'{word} is {meant} to some readers of YAML: write {meant}, or "{word}" for text'
    assert refused(GOOD + f"  suspend: {word}\n") == [f"run.yaml:7: spec.suspend: {advice}"]
    assert refused(items(f"{{answer: {word}}}")) == [f"run.yaml:8: spec.tasks.items[0].answer: {advice}"]
    assert refused(items(f"{{{word}: 1}}")) == [f"run.yaml:8: spec.tasks.items[0].{word}: {advice}"]
    assert item(f'"{word}"') == word


@pytest.mark.parametrize(
    "number", ["0755", "0o17", "0x1F", "1_000", "0b11", "+5", ".5", "5.", "-012", ".inf", ".NaN"]
)
def test_refuses_numbers_that_readers_disagree_about(number: str) -> None:
    assert (
        "is different things to readers of YAML: write a decimal number"
        in refused(items(f"{{x: {number}}}"))[0]
    )
    assert item(f"'{number}'") == number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("1.2.3", "1.2.3"),
        ("1e3", 1000.0),
        ("-0.5", -0.5),
        ("1.10", 1.1),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("!!str 5", "5"),
        ('"a\\nb"', "a\nb"),
    ],
)
def test_reads_the_rest_as_json_would(text: str, value: object) -> None:
    read = item(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("number", ["9223372036854775808", "1" * 5000, "1e999"])
def test_refuses_numbers_that_do_not_fit(number: str) -> None:
    assert "too large" in refused(items(f"{{x: {number}}}"))[0]


def test_sixty_based_numbers_are_text() -> None:
    assert refused(GOOD + "  rate: 1:30\n") == [
        'run.yaml:7: spec.rate: must be an object with fields, is the text "1:30"'
    ]


def test_a_value_that_is_not_read_is_not_also_missing() -> None:
    text = TOP + "  tasks: {count: 0x10}\n  worker: {python: push:call, concurrency: 0}\n"
    lines = refused(text)
    assert [line.split(": ")[1] for line in lines] == ["spec.tasks.count", "spec.worker.concurrency"]


def test_anchors_and_merges_are_as_in_kubectl() -> None:
    text = (
        TOP
        + "  <<: [{tasks: {count: 1}}, {tasks: {count: 2}, suspend: true}]\n  worker: {python: push:call}\n"
    )
    run = parse_manifest(text, where="run.yaml", local=True)
    assert (run.spec.tasks.count, run.spec.suspend) == (1, True)


def test_json_may_be_indented_with_tabs() -> None:
    text = json.dumps(FULL, indent="\t")
    assert parse_manifest(text, where="run.json", local=False) == JobRun.from_wire(FULL)


# --- files ----------------------------------------------------------------------------------------------


def test_loads_a_file_with_or_without_bom(tmp_path: Path) -> None:
    for data in (GOOD.encode(), b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode()):
        path = tmp_path / "run.yaml"
        path.write_bytes(data)
        assert load_manifest(path, local=True).spec.tasks.count == 5
        assert load_manifest(str(path), local=True).name == "a"


def test_says_why_a_file_is_not_read(tmp_path: Path) -> None:
    huge, latin = tmp_path / "huge.yaml", tmp_path / "latin.yaml"
    huge.write_bytes(b"#" * (MAX_BYTES + 1))
    latin.write_bytes(b"a: 1\nb: \xe9\n")
    for path, says in {
        tmp_path / "none.yaml": "there is no such file",
        tmp_path: "is a directory: name the file with the JobRun",
        huge: "larger than 1.5 MiB, more than Kubernetes takes: put the tasks in a file of their own",
        latin: "not UTF-8: save the file in that encoding",
        latin / "run.yaml": "can't be read: Not a directory",
    }.items():
        with pytest.raises(InputError) as raised:
            load_manifest(path, local=True)
        assert str(raised.value).startswith(str(path))
        assert says in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(GOOD)
    path.chmod(0)
    with pytest.raises(InputError, match="can't be read: Permission denied"):
        load_manifest(path, local=True)
