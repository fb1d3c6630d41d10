"""Data on its way into the object store of a real broker: all of it, once, and only when every line is good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from jobrun_operator.commands.submit_data import scan, upload
from jobrun_operator.errors import InputError, SourceError, SourceUnavailable
from jobrun_operator.jetstream.objects import NatsObjects
from jobrun_operator.tasks.files import data_file
from support.nats_server import NatsServer

LIMIT = 1 << 20
BUCKET = "tasks"


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connected = await nats.connect(nats_server.url)
    yield connected
    await connected.close()


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def stored(objects: NatsObjects, name: str) -> bytes:
    return b"".join([chunk async for chunk in objects.read(BUCKET, name)])


@pytest.mark.parametrize(
    ("name", "ending"), [("ids.csv", ".csv"), ("ids.ndjson", ".jsonl"), ("ids.JSONL", ".jsonl")]
)
async def test_the_same_content_is_put_once_whatever_its_name(
    client: Client, tmp_path: Path, name: str, ending: str
) -> None:
    text = "id\n" + "".join(f"{number}\n" for number in range(100_000))
    text = text.partition("\n")[2] if ending == ".jsonl" else text
    objects = NatsObjects(client)
    first = await scan(data_file(written(tmp_path / name, text)), LIMIT)
    assert first.count == 100_000
    assert first.object_name.startswith("sha256-")
    assert first.object_name.endswith(ending)
    assert await upload(first, objects, BUCKET)
    assert await stored(objects, first.object_name) == text.encode()
    again = await scan(data_file(written(tmp_path / f"other{ending}", text)), LIMIT)
    assert again.object_name == first.object_name
    assert not await upload(again, objects, BUCKET)


async def test_other_content_has_another_name(tmp_path: Path) -> None:
    one = await scan(data_file(written(tmp_path / "ids.csv", "id\n1\n")), LIMIT)
    other = await scan(data_file(written(tmp_path / "ids.csv", "id\n2\n")), LIMIT)
    assert one.object_name != other.object_name


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ids.csv", "id,name\n1,a\n2\n", "ids.csv line 3"),
        ("ids.jsonl", '{"id": 1}\nid 2\n', "ids.jsonl line 2"),
        ("ids.csv", "id\n", "there is no task in it"),
    ],
)
async def test_a_bad_line_is_told_before_anything_is_stored(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        await scan(data_file(written(tmp_path / name, text)), LIMIT)


async def test_a_file_that_changes_meanwhile_is_not_stored(client: Client, tmp_path: Path) -> None:
    path = written(tmp_path / "ids.csv", "id\n1\n")
    scanned = await scan(data_file(path), LIMIT)
    written(path, "id\n2\n")
    objects = NatsObjects(client)
    with pytest.raises(InputError, match="was changed while it was read"):
        await upload(scanned, objects, BUCKET)
    with pytest.raises(SourceUnavailable):
        await objects.digest(BUCKET, scanned.object_name)
