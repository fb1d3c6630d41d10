"""A broker that speaks TLS only and lets in by ``.creds`` files, each with the permissions that are documented.

All of JobRun goes there: the operator, workers by their Secret, and the commands of people.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.test_submit import ids, of_csv, written
from cluster.world import World
from jetstream.access.test_credentials import documented, documented_to_hear
from support.certificates import authority, need_openssl, signed
from support.command_line import jobrun_soon, lines
from support.control_plane import ControlPlane
from support.jwt_broker import Accounts
from support.nats_server import NatsServer

CHART = Path(__file__).parents[2] / "helm" / "jobrun" / "templates" / "nats" / "_config.tpl"
SECRET = "nats-worker"  # noqa: S105  # its name


def for_people() -> tuple[list[str], list[str]]:
    """What the chart lets the commands of people publish and subscribe to."""
    text = CHART.read_text().split("user: client")[1]
    text = text.replace("{{ $prefix }}", "jobrun").replace("{{ . }}", "tasks")
    publish = re.findall(r"allow: \[\n(.*?)\n\s*\]", text, re.DOTALL)[0]
    subscribe = re.findall(r"subscribe: \{allow: \[(.*?)\]", text)[0]
    return re.findall(r'"(.+?)"', publish), re.findall(r'"(.+?)"', subscribe)


@dataclass(frozen=True)
class Secured:
    world: World
    ca: Path
    creds: Path
    """Of people."""

    def options(self) -> tuple[str | Path, ...]:
        return ("--nats-url", self.world.broker.url, "--nats-ca", self.ca, "--nats-creds", self.creds)


@pytest.fixture
async def secured(control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Secured]:
    need_openssl()
    accounts, ca = Accounts.make(), authority(tmp_path)
    server = signed(tmp_path, "server", ca)
    tls = f'tls {{ cert_file: "{server.cert}", key_file: "{server.key}" }}'
    files = {
        "operator": accounts.creds(
            tmp_path / "operator.creds", documented("operator"), documented_to_hear("operator")
        ),
        "worker": accounts.creds(
            tmp_path / "worker.creds", documented("worker"), documented_to_hear("worker")
        ),
        "person": accounts.creds(tmp_path / "person.creds", *for_people()),
    }
    broker = NatsServer(tmp_path / "nats", f"{accounts.config}\n{tls}")
    async with broker, World.make(control_plane, broker, tmp_path) as world:
        keys = {"nats.creds": files["worker"], "ca.crt": ca.cert}
        data = {key: base64.b64encode(file.read_bytes()).decode() for key, file in keys.items()}
        path = f"/api/v1/namespaces/{world.namespace}/secrets"
        control_plane.make(path, {"metadata": {"name": SECRET}, "data": data})
        world.operator(
            nats_credentials=str(files["operator"]), nats_tls_ca=str(ca.cert), worker_nats_secret=SECRET
        )
        yield Secured(world, ca.cert, files["person"])


async def test_a_csv_in_and_results_out(secured: Secured) -> None:
    world = secured.world
    config = world.plane.kubeconfig("person", world.plane.token, world.namespace)
    manifest = written(world.folder / "run.yaml", json.dumps(of_csv()))
    ended = await jobrun_soon(
        "submit", manifest, "--tasks", ids(world, 40), "--wait", *secured.options(), KUBECONFIG=str(config)
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "Completed: all 40 tasks succeeded"
    results = await jobrun_soon("results", "backfill", "-n", world.namespace, *secured.options())
    assert results.returncode == 0, results.stderr
    assert [line["index"] for line in lines(results.stdout)] == list(range(40))
    assert [line for line in world.broker.log.splitlines() if "Violation" in line] == []
    # Who shows nothing, or trusts another authority, is told which setting to look at.
    common = ("results", "backfill", "-n", world.namespace, "--nats-url", world.broker.url)
    nobody = await jobrun_soon(*common, "--nats-ca", secured.ca)
    assert nobody.returncode == 3
    assert "Authorization Violation" in nobody.stderr
    assert "JOBRUN_NATS_CREDENTIALS" in nobody.stderr
    other = authority(world.folder, "other")
    trust = ("--nats-ca", other.cert, "--nats-creds", secured.creds)
    stranger = await jobrun_soon(*common, *trust, patience=3)
    assert stranger.returncode == 3
    assert "certificate verify failed" in stranger.stderr
    assert "JOBRUN_NATS_TLS_CA" in stranger.stderr
