"""Wrong manifests: fields by the table that all tiers share, and files that are none."""

from __future__ import annotations

import yaml

from accept.wrong_input import Prepare, Refusal, with_options
from support.local_run import LocalRun
from support.manifests import INVALID, Invalid, of_every_field

_GOOD = """\
apiVersion: jobrun.dev/v1alpha1
kind: JobRun
metadata: {name: run}
spec:
  tasks: {count: 3}
  worker: {python: "handlers:logged"}
"""


def _text(text: str | bytes) -> Prepare:
    def write(run: LocalRun) -> None:
        run.manifest.write_bytes(text.encode() if isinstance(text, str) else text)

    return write


_SAID_OF_YAML = {"count beyond 64 bits": "spec.tasks.count: too large: whole numbers end at"}
"""Where a file is refused before its fields are looked at."""


def _field(case: Invalid) -> Refusal:
    given = with_options(prepare=_text(yaml.safe_dump(case.manifest, sort_keys=False)))
    return Refusal(f"field: {case.name}", (_SAID_OF_YAML.get(case.name, case.says),), given)


def _file(name: str, text: str | bytes, *says: str) -> Refusal:
    return Refusal(f"manifest: {name}", ("run.yaml", *says), with_options(prepare=_text(text)))


def _directory(run: LocalRun) -> None:
    run.manifest.unlink()
    run.manifest.mkdir()


def _endless_link(run: LocalRun) -> None:
    run.manifest.unlink()
    run.manifest.symlink_to(run.manifest.name)


MANIFESTS: tuple[Refusal, ...] = (
    *(_field(case) for case in INVALID if case.local),
    *(_field(case) for case in of_every_field() if case.local),
    Refusal(
        "manifest: missing", ("absent.yaml", "there is no such file"), with_options(manifest="absent.yaml")
    ),
    Refusal(
        "manifest: a directory",
        ("run.yaml", "is a directory: name the file"),
        with_options(prepare=_directory),
    ),
    Refusal("manifest: unreadable", ("run.yaml", "can't be read"), with_options(prepare=_endless_link)),
    _file("empty", "", "empty: a manifest is one JobRun"),
    _file("not YAML", _GOOD + "  rate: {tasks: 5\n", ":"),
    _file("tabs", _GOOD.replace("  tasks", "\ttasks"), "run.yaml:5"),
    _file("not UTF-8", _GOOD.encode() + b"# caf\xe9\n", "run.yaml:7", "not UTF-8: save"),
    _file("binary", bytes(range(256)), "run.yaml:"),
    _file("a list", "- a\n- b\n", "must be a JobRun"),
    _file("a text", "backfill\n", "must be a JobRun"),
    _file("another kind", _GOOD.replace("kind: JobRun", "kind: Job"), "kind", "must be JobRun, is"),
    _file("no kind", _GOOD.replace("kind: JobRun\n", ""), "kind", "required, and missing"),
    _file("another version", _GOOD.replace("v1alpha1", "v1"), "apiVersion", "must be jobrun.dev/v1alpha1"),
    _file("two documents", f"{_GOOD}---\n{_GOOD}", "the second of 2 documents"),
    _file("a List", "kind: List\nitems: []\n", "a List: a manifest is one JobRun"),
    _file("a field twice", _GOOD + "  worker: {python: a:b}\n", "worker", "run.yaml:7"),
    _file("too large", _GOOD + "#" * 1_600_000, "larger than 1.5 MiB"),
)
