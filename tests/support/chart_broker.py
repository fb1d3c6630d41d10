"""The broker as the chart configures it: its rendered nats.conf and passwords, with a real nats-server."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support.chart import Object, Rendered
from support.nats_server import START_LIMIT, nats_server_binary

_MONITOR = re.compile(r"Starting http monitor on 127\.0\.0\.1:(\d+)")
_LISTENING = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class ChartBroker:
    url: str
    monitor: int
    """Port of its HTTP monitoring, which probes ask."""
    passwords: dict[str, str]
    """Of each user."""
    log: list[str]
    """What the server wrote; whole once it has ended."""

    @property
    def violations(self) -> list[str]:
        """What was asked for and denied."""
        return [line for line in self.log if "Violation" in line]


@asynccontextmanager
async def running(
    rendered: Rendered, folder: Path, certificates: Path = Path("/etc/nats-tls")
) -> AsyncIterator[ChartBroker]:
    """The server of a rendered release, on a free port of 127.0.0.1, with its data in ``folder``.

    ``certificates``: what stands for the mounted Secret with the server's certificate.
    """
    secret = rendered.one("Secret", "jobrun-nats-auth")
    environment = environment_of(rendered.one("StatefulSet", "jobrun-nats"), secret)
    conf = folder / "nats.conf"
    configured = rendered.one("ConfigMap", "jobrun-nats")["data"]["nats.conf"]
    conf.write_text(local(configured, folder / "data").replace("/etc/nats-tls", str(certificates)))
    log: list[str] = []
    process, reader = await asyncio.to_thread(_start, conf, environment, log)
    try:
        port, monitor = (
            next(int(found.group(1)) for line in log if (found := pattern.search(line)))
            for pattern in (_LISTENING, _MONITOR)
        )
        passwords = {key.removesuffix("-password"): decoded(secret, key) for key in secret["data"]}
        yield ChartBroker(f"nats://127.0.0.1:{port}", monitor, passwords, log)
    finally:
        await asyncio.to_thread(_stop, process)
        await asyncio.to_thread(reader.join)


def environment_of(stateful_set: Object, secret: Object) -> dict[str, str]:
    """What the server's container finds in its environment."""
    (container,) = stateful_set["spec"]["template"]["spec"]["containers"]
    found = {}
    for variable in container["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        if reference:
            assert reference["name"] == secret["metadata"]["name"]
        found[variable["name"]] = decoded(secret, reference["key"]) if reference else variable["value"]
    return found


def decoded(secret: Object, key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def local(conf: str, data: Path) -> str:
    """The configuration with this machine's paths and a free port, and otherwise as it is."""
    for theirs, ours in (
        ('listen: "0.0.0.0:4222"', 'listen: "127.0.0.1:-1"'),
        ('http: "0.0.0.0:8222"', 'http: "127.0.0.1:-1"'),
        ('store_dir: "/data"', f'store_dir: "{data}"'),
    ):
        assert conf.count(theirs) == 1, theirs
        conf = conf.replace(theirs, ours)
    return conf


def _start(
    conf: Path, environment: dict[str, str], log: list[str]
) -> tuple[subprocess.Popen[str], threading.Thread]:
    process = subprocess.Popen(
        [nats_server_binary(), "--config", str(conf)],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    ready = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            log.append(line.rstrip())
            if "Server is ready" in line:
                ready.set()
        process.stderr.close()
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    if not ready.wait(START_LIMIT) or process.poll() is not None:
        process.kill()
        process.wait()
        raise RuntimeError("\n".join(log))
    return process, reader


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(START_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
