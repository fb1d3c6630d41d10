"""The run of a data directory: kept as an API server would keep it, and whole after any kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobrun_operator.api import JobRun
from jobrun_operator.errors import EnvironmentFault
from jobrun_operator.local.store import RunStore
from support.reports_conformance import StatusWriterConformance, manifest, status


def run(**spec: object) -> JobRun:
    return JobRun.from_wire(manifest(**spec), local=True)


class StoreBench:
    def __init__(self, folder: Path) -> None:
        self.statuses = RunStore(folder)
        self._folder = folder

    async def create(self) -> JobRun:
        return self.statuses.create(run())

    async def edit(self, run_: JobRun) -> None:
        other = RunStore(self._folder)
        stored = other.load()
        assert stored is not None
        other.apply(stored, run(suspend=True))

    async def delete(self, run_: JobRun) -> None:
        RunStore(self._folder).delete()


class TestRunStore(StatusWriterConformance):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> StoreBench:
        return StoreBench(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


def test_a_new_run_has_what_an_api_server_gives_it(tmp_path: Path, store: RunStore) -> None:
    assert store.load() is None
    made = store.create(run())
    assert RunStore(tmp_path).load() == made
    meta = made.metadata
    assert meta.uid
    assert (meta.generation, meta.resource_version) == (1, "1")
    assert meta.creation_timestamp is not None
    assert store.create(run()).uid != made.uid


def test_another_spec_is_another_generation(store: RunStore) -> None:
    first = store.create(run())
    second = store.apply(first, run(rate={"tasks": 5, "periodSeconds": 1}))
    assert (second.metadata.generation, second.metadata.resource_version) == (2, "2")
    assert second.spec.rate is not None
    assert (second.uid, second.metadata.creation_timestamp) == (
        first.uid,
        first.metadata.creation_timestamp,
    )
    assert store.load() == second


def test_the_same_manifest_again_changes_nothing(store: RunStore) -> None:
    first = store.create(run())
    assert store.apply(first, run()) == first
    assert store.load() == first


def test_other_annotations_are_another_version_of_the_same_generation(store: RunStore) -> None:
    first = store.create(run())
    wire = manifest()
    wire["metadata"]["annotations"] = {"team": "blue"}
    second = store.apply(first, JobRun.from_wire(wire, local=True))
    assert (second.metadata.generation, second.metadata.resource_version) == (1, "2")
    assert second.metadata.annotations == {"team": "blue"}


async def test_an_edit_keeps_the_status(store: RunStore) -> None:
    written = await store.write(store.create(run()), status())
    assert store.apply(written, run(suspend=True)).status == status()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Killed(BaseException):
    """Of the process, at this point."""


@pytest.mark.parametrize("leftover", [b"", b'{"apiVersion": "jobr', b"\0" * 100])
async def test_a_kill_while_the_new_file_is_written_leaves_the_old_one(
    tmp_path: Path, store: RunStore, leftover: bytes
) -> None:
    made = store.create(run())
    (tmp_path / "jobrun.new").write_bytes(leftover)
    again = RunStore(tmp_path)
    assert again.load() == made
    written = await again.write(made, status())
    assert RunStore(tmp_path).load() == written


async def test_a_kill_before_the_new_file_takes_its_place_leaves_the_old_one(
    tmp_path: Path, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.create(run())

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(Killed):
            await store.write(made, status())
    assert names(tmp_path) == ["jobrun.json", "jobrun.new"]
    again = RunStore(tmp_path)
    assert again.load() == made
    assert (await again.write(made, status())).status == status()
    assert names(tmp_path) == ["jobrun.json"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"apiVersion": "jobrun.dev', id="cut"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="no run"),
        pytest.param(json.dumps(manifest(tasks={"count": -1})).encode(), id="not acceptable"),
    ],
)
async def test_a_damaged_file_is_told_with_what_to_do(tmp_path: Path, store: RunStore, data: bytes) -> None:
    made = store.create(run())
    (tmp_path / "jobrun.json").write_bytes(data)
    with pytest.raises(EnvironmentFault, match=r"(?s)jobrun\.json can't be read .* use another --data-dir"):
        store.load()
    with pytest.raises(EnvironmentFault):
        await store.write(made, status())
    assert (tmp_path / "jobrun.json").read_bytes() == data


def test_a_directory_that_takes_no_file(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"can't be written: No such file or directory"):
        RunStore(tmp_path / "missing").create(run())


def test_deleting_may_be_repeated(store: RunStore) -> None:
    store.create(run())
    for _ in range(2):
        store.delete()
    assert store.load() is None
