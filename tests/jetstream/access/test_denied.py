"""A login or a permission that is taken away, or was never given: said by name, and over as soon as it is mended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from jobrun_operator.errors import BrokerUnavailable, EnvironmentFault
from jobrun_operator.jetstream.client import JetStream, connect
from jobrun_worker import client as module
from jobrun_worker.address import CLIENT_INBOX, BrokerAddress
from jobrun_worker.broker import Broker
from jobrun_worker.client import LastingClient
from jobrun_worker.errors import BrokerUnavailable as Unavailable
from jobrun_worker.handlers import load
from jobrun_worker.health import ready
from jobrun_worker.metrics import WorkerMetrics
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.worker import Worker
from support.nats_server import NatsServer

PASSWORD = "pass"  # noqa: S105  # of a server that lives as long as a test
ALL = ["$JS.API.>", "jobrun.>", "$KV.>"]
INBOXES = ["_INBOX.>", "$KV.>"]
INFO = "$JS.API.STREAM.LIST"


def users(publish: list[str] = ALL, subscribe: list[str] = INBOXES, password: str = PASSWORD) -> str:
    """A configuration with one user, who may do just this."""
    allowed = f"publish: {{allow: {quoted(publish)}}}, subscribe: {{allow: {quoted(subscribe)}}}"
    return f'authorization {{ users: [{{user: "u", password: "{password}", permissions: {{{allowed}}}}}] }}'


def quoted(subjects: list[str]) -> str:
    return "[" + ", ".join(f'"{one}"' for one in subjects) + "]"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path / "nats", users()) as server:
        yield server


def login(server: NatsServer) -> BrokerAddress:
    return BrokerAddress(server.url, "u", PASSWORD)


def worker_settings(server: NatsServer) -> WorkerSettings:
    return WorkerSettings(
        nats_url=server.url, nats_user="u", nats_password=PASSWORD,
        uid="0001", run="backfill", namespace="shop", handler_python="builtins:len", grace_seconds=1,
    )  # fmt: skip


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # another process's state: nothing signals it
            await asyncio.sleep(0.02)


def stopped(pid: int) -> bool:
    """Each thread of it: the signal reaches one after the other, and one is enough to answer."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)


async def test_a_permission_that_is_given_again_is_not_held_against_the_user(server: NatsServer) -> None:
    client = await connect(login(server), "test")
    js = JetStream(client)
    await server.reload(users(publish=["$JS.API.INFO"]))
    with pytest.raises(
        BrokerUnavailable, match=r"denies this user to publish to \$JS\.API\.STREAM\.LIST: docs/"
    ):
        await js.request(INFO, b"", timeout=1)
    await server.reload(users())
    await js.request(INFO, b"")
    os.kill(server.pid, signal.SIGSTOP)
    await until(lambda: stopped(server.pid))
    try:
        with pytest.raises(BrokerUnavailable, match=r"no answer from the broker \(TimeoutError\)"):
            await js.request(INFO, b"", timeout=0.3)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await client.close()


async def test_without_an_inbox_there_is_no_talk_of_jetstream(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrun_operator.jetstream.client.JetStream.request.__defaults__", (None, 0.5))
    await server.reload(users(subscribe=["_INBOX.another.>"]))
    with pytest.raises(EnvironmentFault) as fault:
        await connect(login(server), "test")
    assert f"denies this user to subscribe to {CLIENT_INBOX}.>: docs/nats-permissions.md" in str(fault.value)
    assert "JetStream" not in str(fault.value)


async def test_an_inbox_is_asked_for_again(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker looks at a subscription once; what it allows later only another connection finds out."""
    monkeypatch.setattr(module, "DENIED_SECONDS", 0.2)
    monkeypatch.setattr("jobrun_worker.broker.REQUEST_TIMEOUT", 0.3)
    await server.reload(users(subscribe=["another"]))
    broker = Broker(worker_settings(server))
    await broker.connect()
    async with asyncio.timeout(20):
        while True:
            with pytest.raises(Unavailable) as refused:
                await broker.last("X", "a")
            if "denies this user to subscribe to _INBOX.jobrun-worker.>" in str(refused.value):
                break  # else another connection is just being made
    await server.reload(users())
    async with asyncio.timeout(20):
        while True:
            try:
                await broker.now("X")
            except Unavailable as error:
                if "not an answer of JetStream" in str(error):  # it answers: there is no such stream
                    break
    await broker.close()


async def test_a_worker_names_what_it_was_denied(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobrun_worker.broker.REQUEST_TIMEOUT", 0.5)
    await server.reload(users(publish=["jobrun.out.*.attempt.*"]))
    broker = Broker(worker_settings(server))
    await broker.connect()
    with pytest.raises(Unavailable, match=r"to publish to jobrun\.out\.0001\.end\.ok\.7: docs"):
        await broker.store("jobrun.out.0001.end.ok.7", b"", {})
    with pytest.raises(
        Unavailable, match=r"to publish to \$JS\.API\.DIRECT\.GET\.OUT\.jobrun\.out\.0001\.attempt\.7"
    ):
        await broker.last("OUT", "jobrun.out.0001.attempt.7")
    await broker.close()


async def test_a_worker_that_may_not_pull_is_not_ready_and_says_why(server: NatsServer) -> None:
    await server.reload(users(publish=["$JS.API.DIRECT.>", "$JS.API.STREAM.>"]))
    settings = worker_settings(server)
    worker = Worker(settings, load(settings), WorkerMetrics())
    working = asyncio.create_task(worker.run())
    await until(lambda: "denies" in ready(worker))
    assert "publish to $JS.API.CONSUMER.MSG.NEXT.jobrun_0001.workers" in ready(worker)
    worker.stop("the test is over")
    await working


async def test_a_login_that_is_refused_in_mid_run_is_said_and_comes_back(server: NatsServer) -> None:
    client, worker = await connect(login(server), "test"), Broker(worker_settings(server))
    await worker.connect()
    await server.reload(users(password="another"))  # noqa: S106
    await until(lambda: "does not let this user in" in client.why_silent("", 0))
    with pytest.raises(BrokerUnavailable) as refused:
        await JetStream(client).request(INFO, b"", timeout=0.2)
    assert str(refused.value) == (
        "the broker does not let this user in (Authorization Violation): "
        "check JOBRUN_NATS_USER (u) and JOBRUN_NATS_PASSWORD, and the user at the broker"
    )
    await until(lambda: "does not let this user in" in worker.unheard("x"))
    await server.reload(users())
    await until(lambda: client.is_connected and worker.connected)
    assert (client.why_silent("", 0), worker.unheard("x")) == ("", "")
    await JetStream(client).request(INFO, b"")
    await client.close()
    await worker.close()


async def test_who_has_no_login_is_told_how_to_give_one(server: NatsServer) -> None:
    with pytest.raises(EnvironmentFault, match="set JOBRUN_NATS_USER and JOBRUN_NATS_PASSWORD, or"):
        await connect(BrokerAddress(server.url), "test")
    await server.stop()
    with pytest.raises(EnvironmentFault, match="check JOBRUN_NATS_URL, and that nats-server runs there"):
        await connect(login(server), "test", timeout=0.5)


async def test_what_is_denied_is_told_once(server: NatsServer) -> None:
    told: list[str] = []

    async def hear(error: Exception) -> None:
        told.append(str(error))

    await server.reload(users(publish=["x"]))
    client = LastingClient(login(server), CLIENT_INBOX)
    await client.connect(server.url, user="u", password=PASSWORD, error_cb=hear)
    for _ in range(5):
        await client.publish("y", b"")
        await client.publish("z", b"")
    await client.flush()
    await client.flush()
    assert len(told) == 2
    await client.close()
