"""The broker of the chart, for real: each of its users can do what the code does with it, and nothing else.

The rendered configuration runs in a real nats-server, and the operator's, the worker's and the command line's own code
works against it. What is denied is tried subject by subject.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from jetstream.worker.rig import until
from jobrun_operator.commands.submit import BUCKET
from jobrun_operator.engine.ports import AuditRecord, RunRef, SourceSummary
from jobrun_operator.errors import EnvironmentFault, SourceUnavailable
from jobrun_operator.jetstream import dead
from jobrun_operator.jetstream.client import JetStream, connect
from jobrun_operator.jetstream.holds import JetStreamHolds
from jobrun_operator.jetstream.kept import kept_runs
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.objects import NatsObjects
from jobrun_operator.jetstream.observer import JetStreamObserver
from jobrun_operator.jetstream.ownership import JetStreamOwnership
from jobrun_operator.jetstream.publisher import JetStreamPublisher
from jobrun_operator.jetstream.pulses import JetStreamPulses
from jobrun_operator.jetstream.reports import JetStreamAudit, JetStreamLiveStatus
from jobrun_operator.jetstream.results import read_outcomes
from jobrun_operator.jetstream.retries import JetStreamRetries
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_worker import Fail, Retry
from jobrun_worker.address import CLIENT_INBOX, OPERATOR_INBOX, WORKER_INBOX, BrokerAddress
from jobrun_worker.broker import Broker
from jobrun_worker.handlers import load
from jobrun_worker.holding import Wish
from jobrun_worker.metrics import WorkerMetrics
from jobrun_worker.settings import WorkerSettings
from jobrun_worker.task import Task
from jobrun_worker.wire import Names, Pulse
from jobrun_worker.worker import Worker
from support.chart import ROOT
from support.chart_broker import ChartBroker, decoded, running

UID = "5f0c1a52-0000-4000-8000-000000000001"
RUN = RunRef("team", "backfill", UID)
WORK, OUT = f"jobrun_{UID}", f"jobrun_{UID}_out"
TASKS = 8
AGAIN, BAD = 1, 2
"""Indexes of the task that fails once, and of the one that can't succeed."""


class Operator:
    """The operator's adapters, connected as the operator's user."""

    def __init__(self, js: JetStream, settings: LayoutSettings) -> None:
        self.js = js
        self.streams = JetStreamWorkStreams(js, settings)
        self.publisher = JetStreamPublisher(js, settings.names)
        self.observer = JetStreamObserver(js, settings)
        self.audit = JetStreamAudit(js, settings)
        self.live = JetStreamLiveStatus(js, settings)
        self.objects = NatsObjects(js.client)
        self.ownership = JetStreamOwnership(js, settings)
        self.retries = JetStreamRetries(js, settings)
        self.holds = JetStreamHolds(js, settings.names)
        self.pulses = JetStreamPulses(js, settings.names)


@pytest.fixture
async def broker(render: Any, tmp_path: Path) -> AsyncIterator[ChartBroker]:
    async with running(render(), tmp_path) as broker:
        yield broker


@pytest.fixture
async def operator(broker: ChartBroker, chart: Any) -> AsyncIterator[Operator]:
    client = await connect(address(broker, "operator"), "operator", inbox=OPERATOR_INBOX)
    work_max_bytes = int(chart.values["settings"]["workMaxBytes"])
    yield Operator(JetStream(client), LayoutSettings("test", work_max_bytes=work_max_bytes))
    await client.close()


def address(broker: ChartBroker, user: str) -> BrokerAddress:
    return BrokerAddress(broker.url, user=user, password=broker.passwords[user])


async def provisioned(operator: Operator, run: RunRef = RUN) -> None:
    await operator.streams.provision_installation()
    await operator.streams.provision(run, SourceSummary(TASKS, "sha256:0"), keeps_results=True)


def worker_settings(broker: ChartBroker) -> WorkerSettings:
    return WorkerSettings(
        nats_url=broker.url,
        nats_user="worker",
        nats_password=broker.passwords["worker"],
        uid=UID,
        run=RUN.name,
        namespace=RUN.namespace,
        handler_python="chart.test_broker:handle",
        concurrency=2,
        retain_results=True,
        retry_initial_delay_seconds=0.01,
        ack_wait_seconds=5,
        grace_seconds=5,
    )


def handle(payload: Any, task: Task) -> int:
    if task.index == BAD:
        raise Fail("can't be")
    if task.index == AGAIN and task.attempt == 1:
        raise Retry(0.01)
    return task.index


async def test_a_run_from_data_to_results_needs_nothing_that_is_denied(render: Any, tmp_path: Path) -> None:
    async with running(render(), tmp_path) as broker:
        operator_client = await connect(address(broker, "operator"), "operator", inbox=OPERATOR_INBOX)
        client = await connect(address(broker, "client"), "client")
        try:
            operator = Operator(JetStream(operator_client), LayoutSettings("test"))
            await put_and_read_an_object(operator, NatsObjects(client))
            await run_to_its_end(operator, broker)
            (run,) = await kept_runs(JetStream(client), Names())
            assert (run.uid, run.total) == (UID, TASKS)
            await retry_what_failed(operator, broker, JetStream(client))
            outcomes = [one async for one in read_outcomes(JetStream(client), Names(), run.uid, run.total)]
            assert [one.uid for one in await operator.ownership.owned()] == [UID]
            await operator.streams.delete(UID)
            assert await operator.observer.depth(UID) is None
        finally:
            await client.close()
            await operator_client.close()
    assert Counter(one.succeeded for one in outcomes) == {True: TASKS}
    assert [one.attempts for one in outcomes if one.index in (AGAIN, BAD)] == [2, 2]
    assert broker.violations == []


def test_data_goes_where_the_client_may_put_it(chart: Any) -> None:
    assert BUCKET in chart.values["nats"]["uploadBuckets"]


async def test_the_client_lists_and_removes_data_as_documented(broker: ChartBroker) -> None:
    """With the requests that the commands in docs/nats-permissions.md send."""
    text = (ROOT / "docs" / "nats-permissions.md").read_text()
    (subject, body), *_ = re.findall(r"request --raw '(\S+)' '(.+)' \|", text)
    prefixes = set(re.findall(r"--inbox-prefix (\S+)", text))
    assert prefixes == {CLIENT_INBOX}
    client = await connect(address(broker, "client"), "client")

    async def content() -> AsyncIterator[bytes]:
        yield b'{"a": 1}\n' * 40_000

    try:
        objects = NatsObjects(client)
        name = f"sha256-{hashlib.sha256().hexdigest()}.jsonl"
        await objects.put(BUCKET, name, content())
        told = json.loads((await client.request(subject, body.encode())).data)["state"]["subjects"]
        assert [base64.b64decode(one.split(".")[3]).decode() for one in told] == [name]
        before = await client.jetstream().stream_info(f"OBJ_{BUCKET}")
        await (await client.jetstream().object_store(BUCKET)).delete(name)
        after = await client.jetstream().stream_info(f"OBJ_{BUCKET}")
        assert (before.state.messages, after.state.messages) == (4, 1)
        with pytest.raises(SourceUnavailable):
            await objects.digest(BUCKET, name)
        await objects.put(BUCKET, name, content())  # a repeated submit brings it back
        assert await objects.digest(BUCKET, name)
    finally:
        await client.close()


async def put_and_read_an_object(operator: Operator, of_client: NatsObjects) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b'{"a": 1}\n' * 40_000

    for _ in range(2):  # the second one replaces the first
        digest = await of_client.put(BUCKET, "ids.jsonl", content())
    assert await operator.objects.digest(BUCKET, "ids.jsonl") == digest
    assert sum([len(chunk) async for chunk in operator.objects.read(BUCKET, "ids.jsonl")]) == 360_000
    with pytest.raises(SourceUnavailable):
        await operator.objects.digest("not-there", "ids.jsonl")


async def run_to_its_end(operator: Operator, broker: ChartBroker) -> None:
    await provisioned(operator)
    heard: list[Pulse] = []
    operator.pulses.listen(UID, heard.append)
    await operator.pulses.open()
    await operator.holds.open()
    await operator.holds.hold("another", 30.0, Wish("CircuitBreaker", "too much failed", 30.0))
    assert await operator.holds.read("another") is not None
    await operator.streams.pause(UID, paused=True)
    assert await operator.publisher.release(UID, 0, [b'{"index": 0}']) == 1
    rest = [b'{"index": %d}' % index for index in range(1, TASKS)]
    assert await operator.publisher.release(UID, 1, rest) == TASKS
    flow = await operator.observer.flow(UID)
    assert flow is not None
    assert (flow.waiting, flow.paused) == (TASKS, True)
    await operator.streams.rebuild_consumer(UID, paused=False)
    await operator.streams.rebuild_counters(UID)
    await work_off(operator, broker)
    assert sum(pulse.succeeded for pulse in heard) == TASKS - 1
    ends = await operator.observer.ends(UID)
    assert ends is not None
    assert (ends.failed, ends.succeeded) == (1, TASKS - 1)
    assert [error.index for error in await operator.observer.last_errors(UID)] == [AGAIN, BAD]
    await operator.audit.record(
        AuditRecord("1", RUN, "Completed", "done", "2026-01-01T00:00:00Z", "Completed")
    )
    await operator.live.forget(RUN)


async def work_off(operator: Operator, broker: ChartBroker) -> None:
    async def all_done() -> bool:
        depth = await operator.observer.depth(UID)
        return depth is not None and depth.messages == 0

    await work(worker_settings(broker), all_done)


async def retry_what_failed(operator: Operator, broker: ChartBroker, of_client: JetStream) -> None:
    await operator.retries.open(RUN, SourceSummary(TASKS, "sha256:0"))
    await operator.retries.pause(UID, paused=True)
    await operator.retries.pause(UID, paused=False)
    assert await dead.takes_retries(of_client, Names(), UID)
    (letter,) = [one async for one in dead.dead_letters(of_client, Names(), UID)]
    assert await dead.retry(of_client, Names(), UID, letter)
    assert await dead.being_retried(of_client, Names(), UID, [letter]) == {BAD}
    assert await operator.retries.wanted() == {UID}

    async def all_done() -> bool:
        await operator.retries.permit(UID, 1, 1)
        asked = await operator.retries.asked(UID)
        return asked is not None and asked.messages == 0

    await work(replace(worker_settings(broker), handler_python="builtins:len"), all_done)
    assert await operator.retries.settle(UID, keep=True) == 1
    ends = await operator.observer.ends(UID, exact=True)
    assert ends is not None
    assert (ends.failed, ends.succeeded) == (0, TASKS)
    await operator.streams.results_dropped(UID)
    depth = await operator.observer.depth(UID)
    assert depth is not None
    assert not depth.keeps_results


async def work(settings: WorkerSettings, all_done: Callable[[], Awaitable[bool]]) -> None:
    """One worker, with the workers' own login, until nothing is left."""
    worker = Worker(settings, load(settings), WorkerMetrics())
    working = asyncio.create_task(worker.run())
    try:
        await until("every task is settled", all_done)
    finally:
        worker.stop("the test is over")
        assert await working == 0


OPERATOR_MAY_NOT = [
    "jobrun.out.u.end.dead.0",  # outcomes are the workers', but for what a retry came to
    "jobrun.out.u.end.retried.0",
    "jobrun.out.u.attempt.0",
    "jobrun.retry.u.0",
    "jobrun.pulse.u",
    f"$JS.API.CONSUMER.MSG.NEXT.{WORK}.workers",
    f"$JS.API.STREAM.MSG.DELETE.{WORK}",
    f"$JS.API.CONSUMER.DELETE.{OUT}.failed",
    "$JS.ACK.jobrun_u.workers.1.1.1.1.0",
    "$O.inputs.C.x",
    "$KV.other.key",
    "$JS.API.ACCOUNT.PURGE.x",
    "anything",
]
WORKER_MAY_NOT = [
    f"jobrun.work.{UID}",  # would take the index of a task
    f"jobrun.again.{UID}",
    f"jobrun.retry.{UID}.0",
    "jobrun.event.team.backfill.Completed",
    "$KV.jobrun_status.team.backfill",
    "$JS.API.INFO",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.NAMES",
    f"$JS.API.STREAM.INFO.{WORK}",
    f"$JS.API.STREAM.CREATE.{WORK}",
    f"$JS.API.STREAM.DELETE.{WORK}",
    f"$JS.API.STREAM.PURGE.{WORK}",
    f"$JS.API.STREAM.MSG.GET.{WORK}",
    f"$JS.API.STREAM.MSG.DELETE.{OUT}",
    f"$JS.API.DIRECT.GET.{OUT}",  # by sequence, or of other subjects
    f"$JS.API.DIRECT.GET.{OUT}.jobrun.out.{UID}.end.ok.0",
    f"$JS.API.DIRECT.GET.{WORK}.jobrun.work.{UID}",
    "$JS.API.DIRECT.GET.KV_jobrun_status.$KV.jobrun_status.team.backfill",
    f"$JS.API.CONSUMER.CREATE.{OUT}.mine",
    f"$JS.API.CONSUMER.DELETE.{WORK}.workers",
    f"$JS.API.CONSUMER.PAUSE.{WORK}.workers",
    f"$JS.API.CONSUMER.MSG.NEXT.{OUT}.failed",
    f"$JS.ACK.{OUT}.failed.1.1.1.1.0",
    "$O.inputs.C.x",
    "anything",
]
CLIENT_MAY_NOT = [
    f"jobrun.work.{UID}",
    f"jobrun.again.{UID}",
    f"jobrun.pulse.{UID}",
    "jobrun.out.u.end.ok.0",
    "jobrun.out.u.end.retried.0",
    "jobrun.event.team.backfill.Completed",
    "$KV.jobrun_status.team.backfill",
    f"$JS.API.STREAM.CREATE.{WORK}",
    f"$JS.API.STREAM.DELETE.{WORK}",
    f"$JS.API.STREAM.PURGE.{WORK}",
    "$JS.API.STREAM.DELETE.OBJ_inputs",
    "$JS.API.STREAM.CREATE.OBJ_others",
    "$O.others.C.x",
    f"$JS.API.CONSUMER.CREATE.{OUT}.mine",
    f"$JS.API.CONSUMER.CREATE.OBJ_{BUCKET}.mine",  # delivers to wherever it says, also to work subjects
    f"$JS.API.CONSUMER.MSG.NEXT.{WORK}.workers",
    "anything",
]


@pytest.mark.parametrize(
    ("user", "subjects"),
    [("operator", OPERATOR_MAY_NOT), ("worker", WORKER_MAY_NOT), ("client", CLIENT_MAY_NOT)],
    ids=["operator", "worker", "client"],
)
async def test_may_not_publish(
    operator: Operator, broker: ChartBroker, user: str, subjects: list[str]
) -> None:
    await provisioned(operator)
    before = await operator.observer.depth(UID)
    denied = await denials(broker, user, publish=subjects)
    assert [subject for subject in subjects if subject.lower() not in denied] == []
    assert await operator.observer.depth(UID) == before


@pytest.mark.parametrize("user", ["operator", "worker", "client"])
async def test_may_not_listen_in(broker: ChartBroker, user: str) -> None:
    inboxes = {"operator": OPERATOR_INBOX, "worker": WORKER_INBOX, "client": CLIENT_INBOX}
    others = [f"{inbox}.>" for side, inbox in inboxes.items() if side != user]
    subjects = [
        *others,
        "_INBOX.>",
        "jobrun.>",
        f"jobrun.work.{UID}",
        "$JS.API.>",
        "$JS.ACK.>",
        "$KV.>",
        "$O.>",
        ">",
    ]
    assert await denials(broker, user, subscribe=subjects) == subjects_in_lower_case(subjects)


async def denials(
    broker: ChartBroker, user: str, publish: list[str] | None = None, subscribe: list[str] | None = None
) -> set[str]:
    """The subjects, in lower case, that the broker denies to ``user``."""
    errors: list[str] = []

    async def on_error(error: Exception) -> None:
        errors.append(str(error).lower())

    client: Client = await nats.connect(
        broker.url, user=user, password=broker.passwords[user], error_cb=on_error, allow_reconnect=False
    )
    try:
        for subject in publish or []:
            await client.publish(subject, b"{}")
        for subject in subscribe or []:
            await client.subscribe(subject)
        # What is denied is told before the answer to the second one; the first may overtake what is still buffered.
        await client.flush()
        await client.flush()
    finally:
        await client.close()
    assert all("permissions violation" in error for error in errors), errors
    return {error.split('"')[1] for error in errors}


def subjects_in_lower_case(subjects: list[str]) -> set[str]:
    return {subject.lower() for subject in subjects}


@pytest.mark.parametrize(("user", "password"), [("", ""), ("worker", "wrong"), ("somebody", "x")])
async def test_lets_in_nobody_else(render: Any, tmp_path: Path, user: str, password: str) -> None:
    async with running(render(), tmp_path) as broker:
        with pytest.raises(EnvironmentFault):
            await connect(BrokerAddress(broker.url, user=user, password=password), "test")
    assert any("authentication error" in line for line in broker.log), broker.log


async def test_has_room_for_as_many_runs_as_the_values_say(operator: Operator) -> None:
    await operator.streams.provision_installation()
    for number in range(140):
        run = RunRef("team", f"run-{number}", f"{UID[:-4]}{number:04}")
        await operator.streams.provision(run, SourceSummary(TASKS, "sha256:0"))
    assert len(await operator.ownership.owned()) == 140


async def test_has_room_for_many_small_runs(operator: Operator) -> None:
    await operator.streams.provision_installation()
    for number in range(200):
        run = RunRef("team", f"run-{number}", f"{UID[:-4]}{number:04}")
        await operator.streams.provision(run, SourceSummary(1000, "sha256:0", size=100_000))
    assert len(await operator.ownership.owned()) == 200


async def test_stores_durably_within_its_limits(broker: ChartBroker) -> None:
    status, body = await asyncio.to_thread(get, broker.monitor, "/varz")
    assert status == 200
    config = json.loads(body)["jetstream"]["config"]
    limits = {name: config[name] for name in ("sync_always", "max_storage", "max_memory")}
    assert limits == {"sync_always": True, "max_storage": 9 << 30, "max_memory": 64 << 20}


async def test_answers_its_probes(broker: ChartBroker, render: Any) -> None:
    pod = render().one("StatefulSet", "jobrun-nats")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == "monitor"
        status, body = await asyncio.to_thread(get, broker.monitor, asked["path"])
        assert (status, json.loads(body)) == (200, {"status": "ok"})


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


async def test_users_follow_the_prefix(render: Any, tmp_path: Path) -> None:
    async with running(render({"settings": {"prefix": "other"}}), tmp_path) as broker:
        client = await connect(address(broker, "operator"), "operator", inbox=OPERATOR_INBOX)
        try:
            settings = LayoutSettings("test", names=Names("other"))
            operator = Operator(JetStream(client), settings)
            await provisioned(operator)
            assert await operator.publisher.release(UID, 0, [b"{}"]) == 1
        finally:
            await client.close()
    assert broker.violations == []


async def test_over_tls(render: Any, tmp_path: Path) -> None:
    """The operator and a worker check the broker's certificate against the authority that they are given."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the certificate")
    make_certificate(tmp_path)
    values = {"nats": {"tls": {"secretName": "broker", "ca": (tmp_path / "tls.crt").read_text()}}}
    rendered = render(values)
    ca = tmp_path / "ca.crt"
    ca.write_text(decoded(rendered.one("Secret", "jobrun-nats-worker"), "ca.crt"))
    async with running(rendered, tmp_path, certificates=tmp_path) as broker:
        url = broker.url.replace("nats://", "tls://")
        login = BrokerAddress(url, "operator", broker.passwords["operator"])
        with pytest.raises(EnvironmentFault):
            await connect(login, "test", inbox=OPERATOR_INBOX, timeout=1)
        client = await connect(replace(login, tls_ca=str(ca)), "test", inbox=OPERATOR_INBOX)
        await client.close()
        worker = Broker(replace(worker_settings(broker), nats_url=url, nats_tls_ca=str(ca)))
        await worker.connect()
        assert worker.connected
        await worker.close()


async def test_a_renewed_certificate_is_used_after_a_restart(render: Any, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the certificates")
    make_certificate(tmp_path)
    old, new = tmp_path / "old.crt", tmp_path / "tls.crt"
    shutil.copy(new, old)
    rendered = render({"nats": {"tls": {"secretName": "broker"}}})

    async def shows(broker: ChartBroker, certificate: Path) -> bool:
        login = replace(address(broker, "operator"), tls_ca=str(certificate))
        try:
            client = await connect(login, "test", inbox=OPERATOR_INBOX, timeout=2)
        except EnvironmentFault:
            return False
        await client.close()
        return True

    async with running(rendered, tmp_path, certificates=tmp_path) as broker:
        make_certificate(tmp_path)
        assert (await shows(broker, old), await shows(broker, new)) == (True, False)
    async with running(rendered, tmp_path, certificates=tmp_path) as broker:
        assert (await shows(broker, old), await shows(broker, new)) == (False, True)


def make_certificate(folder: Path) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    names = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=60)
