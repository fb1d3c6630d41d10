"""``jobrun operator`` as a process, under the permissions of ``rbac.yaml`` and no others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from support.control_plane import free_port

STOP_LIMIT = 10.0


class OperatorProcess:
    """Started and ended as often as a test wants; its log goes on in one file."""

    def __init__(self, folder: Path, kubeconfig: Path, nats_url: str, **settings: str) -> None:
        """``settings``: further ones, as the environment has them: ``relist_seconds="1"``."""
        self.log = folder / "operator.log"
        self._kubeconfig = kubeconfig
        self._settings = {
            "nats_url": nats_url,
            "ack_wait_seconds": "5",
            "interval_seconds": "0.25",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, **settings: str) -> None:
        """``settings``: other ones, from now on."""
        self._settings |= settings
        assert not self.running
        self.port = free_port()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "KUBECONFIG": str(self._kubeconfig),
            "PYTHONWARNINGS": "default",
            **{f"JOBRUN_{name.upper()}": value for name, value in self._settings.items()},
            "JOBRUN_PORT": str(self.port),
        }
        with self.log.open("ab") as output:
            command = [sys.executable, "-m", "jobrun_operator.cli", "operator"]
            self._process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)

    def kill(self) -> None:
        """SIGKILL, as a lost node would end it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code. Fails a test where it takes too long."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_LIMIT)

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def answer(self, path: str) -> tuple[int, str]:
        """(status, text) of a page of its port; 0 where it does not listen."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Its metrics by name and sorted labels."""
        status, text = self.answer("/metrics")
        if status != 200:
            raise RuntimeError(f"no metrics: {text}")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def logged(self) -> list[dict[str, Any]]:
        """Lines of its log; fails where one is not JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
