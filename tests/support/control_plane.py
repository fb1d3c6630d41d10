"""A real Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager as processes.

The binaries come from ``KUBEBUILDER_ASSETS`` or ``/usr/local/kubebuilder/bin``, as envtest's do. Nothing listens but on
127.0.0.1, every process is ended by its own id, and all data is in one folder that is thrown away. There is no kubelet
and no scheduler: ``support.kubelet`` plays both.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from support.audit import AuditLog
from support.plane import TOKEN, Plane

START_SECONDS = 120
STOP_SECONDS = 20
CONTROLLERS = (
    "deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller,"
    "resourcequota-controller"
)


def binaries(*names: str) -> Path | str:
    """The folder with all of these programs, or why there is none."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS", "/usr/local/kubebuilder/bin"))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        return f"no {' and '.join(missing)} in {folder}: set KUBEBUILDER_ASSETS to where envtest put them"
    if shutil.which("openssl") is None:
        return "no openssl, which makes the key that kube-apiserver signs tokens with"
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ControlPlane(Plane):
    def __init__(self, folder: Path, programs: Path) -> None:
        super().__init__(folder)
        self._programs = programs
        self._etcd_port, self.port = free_port(), free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.audit = AuditLog(folder)
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca_file = folder / "certificates" / "apiserver.crt"

    @property
    def kubectl(self) -> Path:
        return self._programs / "kubectl"

    def start(self) -> None:
        """Return when the API answers. Raises RuntimeError with the server's log where it does not."""
        key = self._folder / "service-accounts.key"
        if not key.exists():
            subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
            (self._folder / "tokens.csv").write_text(f'{TOKEN},administrator,1,"system:masters"\n')
        self._run("etcd", self._etcd())
        self.start_api()

    def start_api(self) -> None:
        self._run("kube-apiserver", self._api_server())
        self._wait_until_ready()

    def stop_api(self) -> None:
        """At once, as a crash would."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait()

    def start_controllers(self) -> None:
        command = [
            str(self._programs / "kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig('controllers', TOKEN)}",
            f"--controllers={CONTROLLERS}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]
        self._run("kube-controller-manager", command)

    def stop(self) -> None:
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, name: str, command: Sequence[str]) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def _etcd(self) -> list[str]:
        url = f"http://127.0.0.1:{self._etcd_port}"
        return [
            str(self._programs / "etcd"),
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync",
        ]

    def _api_server(self) -> list[str]:
        key = self._folder / "service-accounts.key"
        return [
            str(self._programs / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self._folder / 'certificates'}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://localhost",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            *self.audit.flags(),
        ]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        log = self._folder / "kube-apiserver.log"
        while time.monotonic() < deadline:
            ended = self._processes["kube-apiserver"].poll()
            if ended is not None:
                raise RuntimeError(f"kube-apiserver ended with {ended}:\n{log.read_text()[-4000:]}")
            try:
                if self.request("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"kube-apiserver was not ready in {START_SECONDS} s:\n{log.read_text()[-4000:]}")
