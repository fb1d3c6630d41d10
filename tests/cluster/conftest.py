"""A real API server for the tests of this folder: etcd and kube-apiserver as processes, as envtest starts them.

The binaries come from ``KUBEBUILDER_ASSETS`` or ``/usr/local/kubebuilder/bin``; where there are none the tests
are skipped and say so. Nothing listens but on 127.0.0.1, and every process is ended by its own id.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 120
STOP_SECONDS = 20
TOKEN = "test-administrator"  # noqa: S105  # of a server that lives as long as the tests


@dataclass(frozen=True)
class ApiServer:
    """How to reach it: as an administrator, over TLS with the authority in ``ca_file``."""

    port: int
    ca_file: Path
    token: str = TOKEN

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: Any = None, accept: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """(HTTP status, answer). Raises OSError while the server does not listen."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        try:
            headers = {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "Accept": accept,
            }
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, json.loads(text) if text.startswith(b"{") else {"text": text.decode()}


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One etcd and one kube-apiserver for the whole session."""
    binaries = _binaries()
    folder = tmp_path_factory.mktemp("api-server")
    etcd_port, port = _free_port(), _free_port()
    with ExitStack() as processes:
        etcd = f"http://127.0.0.1:{etcd_port}"
        processes.enter_context(_process(_etcd(binaries, folder, etcd), folder / "etcd.log"))
        command = _api_server(binaries, folder, etcd, port)
        process = processes.enter_context(_process(command, folder / "kube-apiserver.log"))
        server = ApiServer(port, folder / "certificates" / "apiserver.crt")
        _wait_until_ready(server, process, folder / "kube-apiserver.log")
        yield server


def _binaries() -> Path:
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS", "/usr/local/kubebuilder/bin"))
    missing = [name for name in ("etcd", "kube-apiserver") if not (folder / name).is_file()]
    if missing:
        pytest.skip(
            f"no {' and '.join(missing)} in {folder}: set KUBEBUILDER_ASSETS to where envtest put them"
        )
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the key that kube-apiserver signs tokens with")
    return folder


def _etcd(binaries: Path, folder: Path, url: str) -> list[str]:
    return [
        str(binaries / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--unsafe-no-fsync",
    ]


def _api_server(binaries: Path, folder: Path, etcd: str, port: int) -> list[str]:
    key = folder / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{TOKEN},administrator,1,"system:masters"\n')
    return [
        str(binaries / "kube-apiserver"),
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={tokens}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://localhost",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
    ]


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(server: ApiServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"kube-apiserver ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            status, _ = server.request("GET", "/readyz")
            if status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"kube-apiserver was not ready after {START_SECONDS} s:\n{log.read_text()[-4000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
