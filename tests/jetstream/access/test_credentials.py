"""``.creds`` files with exactly the permissions that the documentation lists, at a broker of JWTs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import nats
import pytest

from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.errors import BrokerUnavailable, EnvironmentFault
from jobrun_operator.jetstream.client import JetStream, connect
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_worker.address import CLIENT_INBOX, OPERATOR_INBOX, WORKER_INBOX, BrokerAddress
from jobrun_worker.handlers import load
from jobrun_worker.metrics import WorkerMetrics
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.worker import Worker
from support.jwt_broker import Accounts
from support.nats_server import NatsServer

ROOT = Path(__file__).parents[3]
RUN = RunRef("shop", "backfill", "0001")
TASKS = 5


def documented(user: str) -> list[str]:
    """What ``user`` may publish to, by the documentation."""
    text = (ROOT / "docs" / "nats-permissions.md").read_text()
    (block,) = re.findall(rf"user: {user}\n.*?allow: \[\n(.*?)\n\s*\]", text, re.DOTALL)
    return re.findall(r'^\s*"(.+)"$', block, re.MULTILINE)


def documented_to_hear(user: str) -> list[str]:
    """What ``user`` may subscribe to, by the documentation."""
    text = (ROOT / "docs" / "nats-permissions.md").read_text()
    (line,) = re.findall(rf"user: {user}\n.*?subscribe: {{allow: \[(.*?)\]", text, re.DOTALL)
    return re.findall(r'"(.+?)"', line)


def handle(payload: object) -> object:
    return payload


@pytest.fixture
def accounts() -> Accounts:
    return Accounts.make()


@pytest.fixture
async def server(accounts: Accounts, tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path / "nats", accounts.config) as server:
        yield server


async def test_a_run_with_nothing_but_what_is_documented(
    accounts: Accounts, server: NatsServer, tmp_path: Path
) -> None:
    operator = accounts.creds(
        tmp_path / "operator.creds", documented("operator"), documented_to_hear("operator")
    )
    worker = accounts.creds(tmp_path / "worker.creds", documented("worker"), documented_to_hear("worker"))
    client = await connect(BrokerAddress(server.url, credentials=str(operator)), "op", inbox=OPERATOR_INBOX)
    js, layout = JetStream(client), LayoutSettings("here")
    streams = JetStreamWorkStreams(js, layout)
    await streams.provision_installation()
    await streams.provision(RUN, SourceSummary(TASKS, "sha256:0"), keeps_results=True)
    bodies = [b'{"index": %d}' % index for index in range(TASKS)]
    await JetStreamPublisher(js, layout.names).release(RUN.uid, 0, bodies)
    settings = WorkerSettings(
        nats_url=server.url,
        nats_credentials=str(worker),
        uid=RUN.uid,
        run=RUN.name,
        namespace=RUN.namespace,
        handler_python=f"{__name__}:handle",
        retain_results=True,
        grace_seconds=5,
    )
    labour = Worker(settings, load(settings), WorkerMetrics())
    working = asyncio.create_task(labour.run())
    observer = JetStreamObserver(js, layout)
    async with asyncio.timeout(20):
        while (depth := await observer.depth(RUN.uid)) is None or depth.messages:  # noqa: ASYNC110  # another process's state: nothing signals it
            await asyncio.sleep(0.05)
    labour.stop("the test is over")
    assert await working == 0
    ends = await observer.ends(RUN.uid, exact=True)
    assert ends is not None
    assert ends.succeeded == TASKS
    await client.close()
    assert [line for line in server.log.splitlines() if "Violation" in line] == []


async def test_what_is_denied_is_said(accounts: Accounts, server: NatsServer, tmp_path: Path) -> None:
    creds = accounts.creds(tmp_path / "some.creds", ["$JS.API.INFO"], [f"{CLIENT_INBOX}.>"])
    client = await connect(BrokerAddress(server.url, credentials=str(creds)), "test")
    with pytest.raises(BrokerUnavailable, match=r"denies this user to publish to \$JS\.API\.STREAM\.LIST"):
        await JetStream(client).request("$JS.API.STREAM.LIST", b"", timeout=0.5)
    await client.close()


@pytest.mark.parametrize("side", [OPERATOR_INBOX, WORKER_INBOX, CLIENT_INBOX])
async def test_no_side_reads_what_another_is_answered(
    accounts: Accounts, server: NatsServer, tmp_path: Path, side: str
) -> None:
    errors: list[str] = []

    async def on_error(error: Exception) -> None:
        errors.append(str(error).lower())

    creds = accounts.creds(tmp_path / "some.creds", ["x"], [f"{side}.>"])
    client = await nats.connect(server.url, user_credentials=str(creds), error_cb=on_error)
    others = {OPERATOR_INBOX, WORKER_INBOX, CLIENT_INBOX} - {side}
    for subject in (*others, "_INBOX"):
        await client.subscribe(f"{subject}.>")
    await client.flush()
    await client.flush()
    assert len(errors) == 3, errors
    await client.close()


async def test_who_is_not_let_in_is_told_so_at_once(
    accounts: Accounts, server: NatsServer, tmp_path: Path
) -> None:
    others = Accounts.make().creds(tmp_path / "others.creds")
    expired = accounts.creds(tmp_path / "expired.creds", lives_seconds=-60)
    for path in (others, expired):
        with pytest.raises(EnvironmentFault, match=r"Authorization Violation|Authentication Expired"):
            await connect(BrokerAddress(server.url, credentials=str(path)), "test", timeout=30)


async def test_a_file_that_is_none_is_named(server: NatsServer, tmp_path: Path) -> None:
    path = tmp_path / "broken.creds"
    path.write_text("a password, perhaps\n")
    address = BrokerAddress(server.url, credentials=str(path))
    with pytest.raises(EnvironmentFault, match=r"broken\.creds is no \.creds file"):
        await connect(address, "test")
    with pytest.raises(EnvironmentFault, match=r"none\.creds can't be read"):
        await connect(replace(address, credentials=str(tmp_path / "none.creds")), "test")


async def test_credentials_that_are_renewed_in_place_are_taken_when_the_old_ones_expire(
    accounts: Accounts, server: NatsServer, tmp_path: Path
) -> None:
    path = accounts.creds(tmp_path / "user.creds", lives_seconds=2)
    client = await connect(BrokerAddress(server.url, credentials=str(path)), "test")
    accounts.creds(path)
    async with asyncio.timeout(30):
        while not client.stats["reconnects"]:  # noqa: ASYNC110  # another process's state: nothing signals it
            await asyncio.sleep(0.05)
        assert (await JetStream(client).api("INFO"))["streams"] == 0
    await client.close()
