"""Tasks from a web server: what is asked, and what each answer means for the run."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jobrun_operator.errors import JobRunError, SourceError, SourceUnavailable
from jobrun_operator.tasks import httpget
from jobrun_operator.tasks.http import HttpBytes
from jobrun_operator.tasks.jsonlines import JsonLines
from jobrun_operator.tasks.streamed import StreamedSource
from support.byte_streams import MAX_PAYLOAD, payloads
from support.http_source import Response, answer, http_server, ranged
from support.memory_configs import MemorySecrets

LINES = b"".join(b'{"id": %d}\n' % i for i in range(10_000))
LOGIN = {"Authorization": "Bearer x\n", "X-Team": "blue"}


def source(url: str, login: dict[str, str] | None = None) -> StreamedSource:
    secrets = MemorySecrets()
    if login is not None:
        secrets.stored["default", "login"] = login
    stream = HttpBytes(url, secrets, "default", None if login is None else "login")
    return StreamedSource(stream, JsonLines, max_payload=MAX_PAYLOAD)


async def refused(
    *responses: Response, login: dict[str, str] | None = None, path: str = "/ids.jsonl"
) -> JobRunError:
    async with http_server(*responses) as server:
        with pytest.raises(JobRunError) as caught:
            await source(server.url(path), login).scan()
    return caught.value


async def test_a_real_server_is_read_and_asked_for_the_plain_body() -> None:
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        response = web.StreamResponse(headers={"ETag": '"v1"'})
        await response.prepare(request)
        for start in range(0, len(LINES), 10_000):
            await response.write(LINES[start : start + 10_000])
        return response

    app = web.Application()
    app.router.add_get("/ids.jsonl", handle)
    async with TestServer(app, host="127.0.0.1") as server:
        found = source(str(server.make_url("/ids.jsonl")), LOGIN)
        summary = await found.scan()
        assert (summary.count, summary.version) == (10_000, '"v1"')
        assert await payloads(found, 9_999) == [b'{"id": 9999}']
    assert [request.headers["Accept-Encoding"] for request in seen] == ["identity"] * 2
    assert [request.headers.get("If-Match") for request in seen] == [None, '"v1"']
    assert {request.headers["Authorization"] for request in seen} == {"Bearer x"}
    assert {request.headers["X-Team"] for request in seen} == {"blue"}


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        ("500 Internal Server Error", SourceUnavailable, "answered 500 Internal Server Error"),
        ("503 Busy", SourceUnavailable, "answered 503"),
        ("429 Too Many Requests", SourceUnavailable, "answered 429"),
        ("408 Request Timeout", SourceUnavailable, "answered 408"),
        ("404 Not Found", SourceError, "answered 404 Not Found; check the address"),
        ("410 Gone", SourceError, "answered 410"),
        ("401 Unauthorized", SourceError, "entries of spec.tasks.http.secretName: check them"),
        ("403 Forbidden", SourceError, "entries of spec.tasks.http.secretName: check them"),
        ("204 No Content", SourceError, "answered 204"),
        ("206 Partial Content", SourceError, "answered with a part only"),
        ("304 Not Modified", SourceError, "answered 304"),
    ],
)
async def test_statuses(status: str, kind: type[JobRunError], says: str) -> None:
    error = await refused(answer(b"" if status[0] == "3" or status[:3] == "204" else b"1\n", status))
    assert type(error) is kind
    assert says in str(error)


async def test_no_server_may_come_yet() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for scheme in ("http", "https"):
        with pytest.raises(SourceUnavailable, match=r"ids\.jsonl can't be read: Connection refused$"):
            await source(f"{scheme}://127.0.0.1:{port}/ids.jsonl").scan()


async def test_a_name_that_is_not_known() -> None:
    with pytest.raises(SourceUnavailable, match="can't be read: ") as caught:
        await source("https://jobrun.invalid/ids.jsonl").scan()
    assert "ssl:" not in str(caught.value)


async def test_a_server_that_does_not_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobrun_operator.tasks.http.READ_TIMEOUT", 0.05)
    silent = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SourceUnavailable, match="does not answer in time"):
            await source(f"http://127.0.0.1:{port}/ids.jsonl").scan()
        silent.set()


@pytest.mark.parametrize(
    "url", ["ftp://host/a.jsonl", "http:///a.jsonl", "http://[::1/a.jsonl", "http://h:99999/a"]
)
async def test_bad_addresses(url: str) -> None:
    with pytest.raises(SourceError, match="not an address") as caught:
        await source(url).scan()
    assert caught.value.where == "spec.tasks.http.url"


class TestVersion:
    @pytest.mark.parametrize(
        ("etag", "version"), [('"abc"', '"abc"'), ('W/"abc"', ""), ("abc", ""), ('""', '""'), ("", "")]
    )
    async def test_only_a_strong_etag_counts(self, etag: str, version: str) -> None:
        async with http_server(answer(LINES, ETag=etag)) as server:
            assert (await source(server.url()).scan()).version == version

    async def test_unchanged_by_etag_reads_no_body(self) -> None:
        async with http_server(ranged(LINES, '"v1"'), ranged(LINES, '"v1"', cut=0)) as server:
            known = await source(server.url()).scan()
            assert await source(server.url()).is_unchanged(known)

    async def test_changed_by_etag(self) -> None:
        async with http_server(ranged(LINES, '"v1"'), ranged(LINES, '"v2"')) as server:
            known = await source(server.url()).scan()
            assert not await source(server.url()).is_unchanged(known)

    async def test_without_etag_the_payloads_decide(self) -> None:
        async with http_server(answer(LINES), answer(LINES), answer(LINES[:-13])) as server:
            known = await source(server.url()).scan()
            assert await source(server.url()).is_unchanged(known)
            assert not await source(server.url()).is_unchanged(known)

    @pytest.mark.parametrize(
        "later",
        [ranged(LINES, '"v2"'), answer(LINES, ETag='"v2"'), answer(LINES, ETag='W/"v1"'), answer(LINES)],
    )
    async def test_a_body_that_changed_is_not_read(self, later: Response) -> None:
        async with http_server(ranged(LINES, '"v1"'), later) as server:
            found = source(server.url())
            await found.scan()
            with pytest.raises(SourceError, match="the source changed"):
                await payloads(found)


class TestHeaders:
    async def test_a_missing_secret_may_come_yet(self) -> None:
        stream = HttpBytes("http://127.0.0.1:1/a.jsonl", MemorySecrets(), "default", "login")
        with pytest.raises(SourceUnavailable, match="default/login"):
            await stream.version()

    @pytest.mark.parametrize(
        ("entries", "says"),
        [
            ({"not a header": "x"}, "'not a header' is no name of a header"),
            ({"X-Key": "a\nX-Evil: 1"}, "'X-Key' can't be a header"),
            ({"X-Key": "a\0b"}, "'X-Key' can't be a header"),
        ],
    )
    async def test_entries_that_are_no_headers(self, entries: dict[str, str], says: str) -> None:
        error = await refused(answer(LINES), login=entries)
        assert isinstance(error, SourceError)
        assert error.where == "spec.tasks.http.secretName"
        assert says in str(error)
        assert "evil" not in str(error).lower()

    async def test_a_login_in_the_address_is_sent_and_not_shown(self) -> None:
        async with http_server(answer(b"oops\n")) as server:
            url = server.url("/ids.jsonl?token=secret2#x").replace("//", "//user:secret1@")
            with pytest.raises(SourceError) as caught:
                await source(url).scan()
        assert caught.value.where == f"{server.url()} line 1"
        assert server.requests[0]["authorization"] == "Basic dXNlcjpzZWNyZXQx"
        assert server.requests[0][":path"] == "/ids.jsonl?token=secret2"


class TestRedirects:
    @pytest.mark.parametrize(
        "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
    )
    async def test_followed_on_the_same_origin_with_credentials(self, status: str) -> None:
        async with http_server(answer(status=status, Location="/other?a=1"), answer(LINES)) as server:
            assert (await source(server.url(), LOGIN).scan()).count == 10_000
        assert [request[":path"] for request in server.requests] == ["/ids.jsonl", "/other?a=1"]
        assert server.requests[1]["authorization"] == "Bearer x"

    async def test_followed_anywhere_without_credentials(self) -> None:
        async with http_server(answer(LINES)) as target:
            redirect = answer(status="302 Found", Location=target.url("/there"))
            async with http_server(redirect) as server:
                assert (await source(server.url()).scan()).count == 10_000

    @pytest.mark.parametrize("by_address", [False, True])
    async def test_credentials_do_not_leave_their_origin(self, by_address: bool) -> None:
        async with http_server(answer(LINES)) as target:
            async with http_server(answer(status="302 Found", Location=target.url("/there"))) as server:
                url = server.url().replace("//", "//user:pw@") if by_address else server.url()
                with pytest.raises(SourceError, match="redirects to another origin"):
                    await source(url, None if by_address else LOGIN).scan()
            assert target.requests == []

    @pytest.mark.parametrize("location", ["ftp://x/y", "", "http://[bad/"])
    async def test_to_no_address(self, location: str) -> None:
        error = await refused(answer(status="302 Found", Location=location))
        assert isinstance(error, SourceError)
        assert "not an http or https address" in str(error)

    async def test_in_a_circle(self) -> None:
        error = await refused(answer(status="302 Found", Location="/ids.jsonl"))
        assert isinstance(error, SourceError)
        assert f"more than {httpget.MAX_REDIRECTS} times" in str(error)


class TestCutShort:
    async def test_without_an_etag_it_is_unavailable(self) -> None:
        error = await refused(answer(LINES, cut=50_000))
        assert type(error) is SourceUnavailable

    async def test_at_the_end_of_a_line_too(self) -> None:
        error = await refused(answer(LINES, cut=LINES.index(b"\n", 50_000) + 1))
        assert type(error) is SourceUnavailable

    async def test_chunked_without_its_end(self) -> None:
        body = b"%x\r\n%s\r\n" % (len(LINES), LINES)
        error = await refused(answer(body, length=None, Transfer_Encoding="chunked"))
        assert type(error) is SourceUnavailable

    async def test_a_body_without_a_length_is_refused(self) -> None:
        error = await refused(answer(LINES, length=None))
        assert isinstance(error, SourceError)
        assert "does not say how long it is" in str(error)

    async def test_gone_on_with_where_an_etag_proves_it(self) -> None:
        async with http_server(ranged(LINES, '"v1"', cut=30_000)) as server:
            found = source(server.url())
            assert (await found.scan()).count == 10_000
            assert await payloads(found, 5_000) == LINES.splitlines()[5_000:]
        assert [request.get("range") for request in server.requests[:3]] == [
            None,
            "bytes=30000-",
            "bytes=60000-",
        ]

    async def test_gone_on_with_by_a_server_without_ranges(self) -> None:
        async with http_server(answer(LINES, ETag='"v1"', cut=30_000), answer(LINES, ETag='"v1"')) as server:
            assert await payloads(source(server.url())) == LINES.splitlines()

    @pytest.mark.parametrize(
        ("later", "kind"),
        [
            (ranged(LINES, '"v2"'), SourceError),
            (answer(LINES, ETag='"v2"'), SourceError),
            (answer(LINES[:20_000], ETag='"v1"'), SourceError),
            (answer(LINES, ETag='"v1"', cut=20_000), SourceUnavailable),
            (ranged(LINES, '"v1"', cut=0), SourceUnavailable),
            (answer(status="503 Busy"), SourceUnavailable),
            (answer(status="416 Range Not Satisfiable"), SourceUnavailable),
            (answer(LINES[30_000:], "206 Partial Content", ETag='"v1"'), SourceUnavailable),
            (
                answer(
                    LINES[9:99], "206 Partial Content", ETag='"v1"', Content_Range=f"bytes 9-98/{len(LINES)}"
                ),
                SourceUnavailable,
            ),
            (
                answer(
                    LINES[30_000:99_999],
                    "206 Partial Content",
                    ETag='"v1"',
                    Content_Range=f"bytes 30000-99998/{len(LINES)}",
                ),
                SourceUnavailable,
            ),
        ],
    )
    async def test_never_silently_shorter_or_mixed(self, later: Response, kind: type[JobRunError]) -> None:
        error = await refused(ranged(LINES, '"v1"', cut=30_000), later)
        assert type(error) is kind


class TestGzip:
    async def test_decoded(self) -> None:
        for body in (gzip.compress(LINES), gzip.compress(LINES[:999]) + gzip.compress(LINES[999:])):
            async with http_server(answer(body, Content_Encoding="gzip")) as server:
                assert await payloads(source(server.url())) == LINES.splitlines()

    async def test_what_compresses_well_stays_small_in_memory(self) -> None:
        body = gzip.compress(b"1\n" * 5_000_000)
        async with (
            http_server(answer(body, Content_Encoding="GZIP")) as server,
            HttpBytes(server.url(), None, "", None).open() as opened,
        ):
            sizes = [len(chunk) async for chunk in opened.chunks]
        assert (sum(sizes), max(sizes)) == (10_000_000, 64 * 1024)

    async def test_gone_on_with_in_the_encoded_bytes(self) -> None:
        body = gzip.compress(LINES)

        def respond(request: dict[str, str]) -> bytes:
            whole = ranged(body, '"v1"', cut=len(body) // 2)(request)
            return whole.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)

        async with http_server(respond) as server:
            assert await payloads(source(server.url())) == LINES.splitlines()

    async def test_a_whole_body_with_half_a_stream(self) -> None:
        body = gzip.compress(LINES)
        error = await refused(answer(body[: len(body) // 2], Content_Encoding="gzip"))
        assert type(error) is SourceUnavailable

    @pytest.mark.parametrize("body", [LINES, gzip.compress(LINES)[:-8] + bytes(8), zlib.compress(LINES)])
    async def test_what_is_no_gzip(self, body: bytes) -> None:
        error = await refused(answer(body, Content_Encoding="gzip"))
        assert isinstance(error, SourceError)
        assert "not the gzip stream" in str(error)

    async def test_other_encodings(self) -> None:
        error = await refused(answer(LINES, Content_Encoding="br"))
        assert isinstance(error, SourceError)
        assert "encoded as br" in str(error)


async def test_a_reader_may_stop_early() -> None:
    async with http_server(answer(LINES * 100)) as server:
        async for chunk in source(server.url()).read(0):
            assert len(chunk) == 1000
            break


@pytest.mark.parametrize("etag", ["", 'W/"v1"'])
@pytest.mark.parametrize("start", [0, 3])
async def test_without_a_strong_etag_other_content_is_told_all_the_same(etag: str, start: int) -> None:
    before, now = (answer(b"%d\n" % digit * 5, ETag=etag) for digit in (1, 2))
    async with http_server(before, now) as server:
        found = source(server.url())
        await found.scan()
        with pytest.raises(SourceError, match="the source changed after the run was accepted"):
            await payloads(found, start)
