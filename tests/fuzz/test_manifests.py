"""Whatever is in a manifest file, it is a run that can be read back, or refused with what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.examples import examples
from jobrun_operator.api import JobRun
from jobrun_operator.errors import InputError
from jobrun_operator.manifest import load_manifest, parse_manifest
from support.manifests import FULL, VALID

_TEXTS = [yaml.safe_dump(case.manifest) for case in VALID] + [yaml.safe_dump(FULL)]
# fmt: off
_PIECES = st.sampled_from([
    "!!binary x", "2026-01-01", "~", "yes", "9" * 400, "null: ", "apiVersion: x\n", "spec: ",
    "kind: List\n", "\n", "  ", ": ", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: ",
    "!!python/object:os.system ", "|\n", ">-\n", "---\n", "...\n", "%YAML 9.9\n", '"', "'", "\t",
    "\x00", "\ufeff", "\u2028", "#", "? ", "0x1p9", "1e999",
])
# fmt: on


_CUTS = st.tuples(st.integers(0), st.integers(0, 40), _PIECES | st.text(max_size=4))


def _leaves(value: Any) -> list[tuple[Any, ...]]:
    """The paths of all that is in a manifest."""
    if isinstance(value, dict):
        inner = [(key, *path) for key, one in value.items() for path in _leaves(one)]
    elif isinstance(value, list):
        inner = [(number, *path) for number, one in enumerate(value) for path in _leaves(one)]
    else:
        inner = []
    return [(), *inner]


_PATHS = [path for path in _leaves(FULL) if path]
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.dates()
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    if isinstance(value, dict):
        return {name: _changed(one, tuple(rest), new) if name == key else one for name, one in value.items()}
    if isinstance(value, list):
        return [_changed(one, tuple(rest), new) if number == key else one for number, one in enumerate(value)]
    return value  # what was there has been changed already


def _read(text: str) -> None:
    for local in (True, False):
        try:
            run = parse_manifest(text, where="run.yaml", local=local)
        except InputError as error:
            said = str(error)
            assert said.startswith("run.yaml")
            assert "Traceback" not in said
            assert "Input should" not in said
            said.encode()
            assert len(said) < 100_000
        else:
            assert JobRun.from_wire(run.to_wire(), local=local) == run


@examples(60)
@given(st.lists(st.tuples(st.sampled_from(_PATHS), _VALUES), min_size=1, max_size=3))
def test_from_the_models(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document: Any = FULL
    for path, value in changes:
        document = _changed(document, path, value)
    _read(yaml.dump(document))


@examples(60)
@given(
    st.sampled_from(_TEXTS),
    st.lists(st.tuples(st.integers(0), st.integers(0, 40), _PIECES | st.text(max_size=4)), max_size=5),
)
@example("a: " + "[" * 20_000, [])
@example("{" * 20_000, [])
@example("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", [])
@example("- " * 5_000, [])
@example("spec: 1" + "0" * 5_000, [])
def test_from_raw_text(text: str, cuts: list[tuple[int, int, str]]) -> None:
    for place, length, piece in cuts:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + length :]
    _read(text)


@examples(30)
@given(
    st.binary(max_size=400) | st.sampled_from([b"\xff\xfe", b"\xef\xbb\xbf", b"\x00" * 9, b"\xed\xa0\x80"])
)
def test_from_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(data)
    with pytest.raises(InputError):
        load_manifest(path, local=True)
