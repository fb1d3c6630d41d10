"""A Kubernetes API as an administrator of the tests asks it, whatever serves it."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOKEN = "test-administrator"  # noqa: S105  # of a server that lives as long as the tests


class Plane:
    """``ca_file``: the authority of its certificate; None where it serves plain HTTP."""

    url: str
    token = TOKEN
    ca_file: Path | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def kubeconfig(self, name: str, token: str, namespace: str = "default") -> Path:
        """A kubeconfig file for who has ``token``."""
        cluster = {"server": self.url}
        if self.ca_file is not None:
            cluster["certificate-authority"] = str(self.ca_file)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [
                {"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}
            ],
        }
        path = self._folder / f"{name}-{namespace}.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> tuple[int, dict[str, Any]]:
        """(HTTP status, answer). Raises OSError while the server does not listen."""
        address = urlsplit(self.url)
        host, port = address.hostname or "", address.port
        connection: http.client.HTTPConnection
        if self.ca_file is None:
            connection = http.client.HTTPConnection(host, port, timeout=30)
        else:
            context = ssl.create_default_context(cafile=str(self.ca_file))
            connection = http.client.HTTPSConnection(host, port, timeout=30, context=context)
        try:
            headers = {
                "Authorization": f"Bearer {self.token}",
                "Content-Type": content_type,
                "Accept": accept,
            }
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, json.loads(text) if text.startswith(b"{") else {"text": text.decode()}

    def make(self, path: str, body: Any) -> dict[str, Any]:
        """POST; the object as it was stored. Raises RuntimeError where it was not."""
        return self.ask("POST", path, body)

    def get(self, path: str) -> dict[str, Any]:
        """Raises RuntimeError where it is not there."""
        return self.ask("GET", path)

    def ask(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """The answer. Raises RuntimeError where it is a refusal."""
        status, answer = self.request(method, path, body, content_type=content_type)
        if status >= 300:
            raise RuntimeError(f"{path}: {status}: {answer.get('message', answer)}")
        return answer
