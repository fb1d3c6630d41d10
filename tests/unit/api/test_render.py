"""The files made from the models are those in the repository, and are what an API server takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from jobrun_operator.api.reference import reference
from jobrun_operator.api.render import CRD_FILE, crd_yaml, main
from jobrun_operator.api.schema import Schema, crd, object_schema

ROOT = Path(__file__).parents[3]


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def test_the_files_in_the_repository_are_current() -> None:
    assert main(["--check", str(ROOT / "crds"), "--docs", str(ROOT / "docs" / "api.md")]) == 0, (
        "run `make crds`"
    )


def test_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tmp_path / "crds"), "--docs", str(tmp_path / "api.md")]
    assert main(["--check", *arguments]) == 1
    assert "is out of date: run `make crds`" in capsys.readouterr().err
    assert main(arguments) == 0
    assert (tmp_path / "crds" / CRD_FILE).read_text() == crd_yaml()
    assert main(["--check", *arguments]) == 0
    with pytest.raises(SystemExit):
        main([])


def test_the_file_holds_the_definition() -> None:
    assert yaml.safe_load(crd_yaml()) == crd()
    assert crd_yaml() == crd_yaml()


def test_columns_are_those_of_the_api() -> None:
    (version,) = crd()["spec"]["versions"]
    columns = [(column["name"], column.get("priority", 0)) for column in version["additionalPrinterColumns"]]
    assert [name for name, priority in columns if not priority] == [
        "Phase", "Progress", "Failed", "Outstanding", "Workers", "Rate", "Limited-By", "ETA", "Age"
    ]  # fmt: skip
    assert columns[-2:] == [("Reason", 1), ("Message", 1)]
    assert version["subresources"] == {"status": {}}


def test_the_schema_is_structural() -> None:
    for path, node in nodes(object_schema()):
        assert "type" in node, path
        assert not {"$ref", "anyOf", "allOf", "oneOf", "const", "title", "additionalProperties"} & set(
            node
        ), path


def test_everything_in_spec_is_bounded_and_described() -> None:
    for path, node in nodes(object_schema()["properties"]["spec"], "spec"):
        if node["type"] == "integer":
            assert {"minimum", "maximum"} <= set(node), path
        if node["type"] == "string":
            assert "maxLength" in node or "enum" in node, path
        if node["type"] == "array":
            assert "maxItems" in node, path
        if not path.endswith("[]"):
            assert node.get("description"), path


def test_static_defaults_are_those_of_the_reference() -> None:
    spec = object_schema()["properties"]["spec"]
    defaults = {
        path: node["default"] for path, node in nodes(spec) if "default" in node and "properties" not in node
    }
    assert defaults == {
        ".suspend": False,
        ".maxOutstanding": 50_000,
        ".worker.concurrency": 16,
        ".worker.processes": 1,
        ".worker.taskTimeoutSeconds": 60,
        ".scaling.minReplicas": 0,
        ".scaling.maxReplicas": 10,
        ".scaling.scaleDown.stabilizationWindowSeconds": 30,
        ".circuitBreaker.enabled": True,
        ".circuitBreaker.consecutiveFailures": 20,
        ".circuitBreaker.failurePercent": 80,
        ".circuitBreaker.windowSeconds": 30,
        ".circuitBreaker.minimumAttempts": 20,
        ".circuitBreaker.openSeconds": 30,
        ".retry.maxAttempts": 4,
        ".retry.initialDelaySeconds": 5,
        ".retry.maxDelaySeconds": 300,
        ".results.retain": False,
        ".cleanupSecondsAfterFinished": 604_800,
    }


def test_no_default_in_status() -> None:
    assert not [path for path, node in nodes(object_schema()["properties"]["status"]) if "default" in node]


def test_the_reference_names_every_field() -> None:
    text = reference()
    for top in ("spec", "status"):
        for path, _ in nodes(object_schema()["properties"][top], top):
            name = path.rsplit(".", 1)[-1].removesuffix("[]")
            assert f"`{name}`" in text or f"## `{path}`" in text, path
