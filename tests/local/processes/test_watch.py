"""Edits of a manifest, in the ways that editors make them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from jobrun_operator.local.watch import edits


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text("rate: 1")
    return path


@pytest.fixture
async def seen(manifest: Path) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    watch = edits(manifest, b"rate: 1")
    yield watch
    await watch.aclose()


def save(path: Path, text: str) -> None:
    path.write_text(text)


def replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}~")
    new.write_text(text)
    new.replace(path)


def remove(path: Path) -> None:
    path.unlink()


async def following(seen: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(30):
        return await anext(seen)


async def test_written_in_place_and_replaced(manifest: Path, seen: AsyncIterator[bytes]) -> None:
    save(manifest, "rate: 2")  # before the watch has begun
    assert await following(seen) == b"rate: 2"
    save(manifest, "rate: 3")
    assert await following(seen) == b"rate: 3"
    replace(manifest, "rate: 4")
    assert await following(seen) == b"rate: 4"


async def test_absent_for_a_moment(manifest: Path, seen: AsyncIterator[bytes]) -> None:
    pending = asyncio.ensure_future(following(seen))
    remove(manifest)
    await asyncio.wait({pending}, timeout=0.6)
    assert not pending.done()
    save(manifest, "rate: 5")
    assert await pending == b"rate: 5"


async def test_a_save_without_a_change_is_none(manifest: Path, seen: AsyncIterator[bytes]) -> None:
    pending = asyncio.ensure_future(following(seen))
    save(manifest, "rate: 1")
    save(manifest.with_name("other.yaml"), "rate: 9")
    await asyncio.wait({pending}, timeout=0.6)
    assert not pending.done()
    save(manifest, "rate: 6")
    assert await pending == b"rate: 6"


async def test_a_link_to_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    target = tmp_path / "store" / "v1.yaml"
    target.write_text("rate: 1")
    link = tmp_path / "run.yaml"
    link.symlink_to(target)
    watch = edits(link, b"rate: 1")
    target.write_text("rate: 7")
    assert await following(watch) == b"rate: 7"
    await watch.aclose()
