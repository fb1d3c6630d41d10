"""Where the broker is, and how to be let in: the same for operator, workers and people's commands.

What is let in is told apart by its inbox as well: each side takes its answers under a prefix of its own, so that the
permissions of one can't be used to read the answers of another.

Files are read again at each attempt to connect (Kubernetes renews a mounted Secret in place): credentials by the client
library, the others by ``client``.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPERATOR_INBOX = "_INBOX.jobrun-operator"
WORKER_INBOX = "_INBOX.jobrun-worker"
CLIENT_INBOX = "_INBOX.jobrun-client"

_SECRET = re.compile(r"://[^@/]*@")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """``url``: one or several, separated by commas."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    credentials: str = ""
    """Path of a ``.creds`` file (a user's JWT and its seed)."""
    tls_ca: str = ""
    """Path of the certificate authority that signed the broker's certificate."""
    tls_cert: str = ""
    """Path of the certificate to show, where the broker wants one."""
    tls_key: str = ""
    """Path of that certificate's key."""
    user_file: str = ""
    """Path of a file with the user, instead of ``user``."""
    password_file: str = ""
    """Path of a file with that user's password."""

    @property
    def shown(self) -> str:
        """``url`` without what may be a secret in it: a token, or a user and its password."""
        return ",".join(_SECRET.sub("://", one) for one in self.servers)

    @property
    def servers(self) -> list[str]:
        return self.url.split(",")

    @property
    def how_to_log_in(self) -> str:
        """Which settings to look at where the broker does not let this user in: the same variables on every side."""
        if self.credentials:
            return f"check the file that JOBRUN_NATS_CREDENTIALS names ({self.credentials}), and the user at the broker"
        if self.user_file:
            return f"check {self.user_file} and {self.password_file}, and the user at the broker"
        if self.user:
            return (
                f"check JOBRUN_NATS_USER ({self.user}) and JOBRUN_NATS_PASSWORD, and the user at the broker"
            )
        if self.tls_cert:
            return f"check the certificate that JOBRUN_NATS_TLS_CERT names ({self.tls_cert})"
        return "it wants a login: set JOBRUN_NATS_USER and JOBRUN_NATS_PASSWORD, or JOBRUN_NATS_CREDENTIALS"

    def login(self) -> dict[str, Any]:
        """Arguments of the client's ``connect``. Raises ValueError that names the file that can't be used."""
        options: dict[str, Any] = {}
        if self.credentials:
            self._check_credentials()
            options["user_credentials"] = self.credentials
        if self.user_file or self.password_file:
            if not (self.user_file and self.password_file) or self.user or self.password:
                raise ValueError(
                    "JOBRUN_NATS_USER_FILE and JOBRUN_NATS_PASSWORD_FILE are given together, and instead of "
                    "JOBRUN_NATS_USER and JOBRUN_NATS_PASSWORD"
                )
            options |= {"user": _word(self.user_file), "password": _word(self.password_file)}
        elif self.user:
            options |= {"user": self.user, "password": self.password}
        tls = self.tls()
        if tls is not None:
            options["tls"] = tls
        return options

    def tls(self) -> ssl.SSLContext | None:
        """None where nothing asks for more than the machine's own authorities. Raises ValueError."""
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("a certificate to show to the broker needs its key, and the key its certificate")
        if not (self.tls_ca or self.tls_cert):
            return None
        context = ssl.create_default_context()
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        if self.tls_ca:
            try:
                context.load_verify_locations(cafile=self.tls_ca)
            except OSError as error:  # SSLError is one
                raise ValueError(f"{self.tls_ca} is no certificate authority (PEM): {error}") from error
        if self.tls_cert:
            try:
                context.load_cert_chain(self.tls_cert, self.tls_key)
            except OSError as error:
                raise ValueError(
                    f"{self.tls_cert} and {self.tls_key} are no certificate with its key (PEM): {error}"
                ) from error

    def _check_credentials(self) -> None:
        try:
            text = Path(self.credentials).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.credentials} can't be read: {error}") from error
        if "BEGIN NATS USER JWT" not in text or "BEGIN USER NKEY SEED" not in text:
            raise ValueError(
                f"{self.credentials} is no .creds file, which has a NATS USER JWT and a USER NKEY SEED"
            )


def _word(path: str) -> str:
    """What is in a file, without the line end that an editor leaves. Raises ValueError."""
    try:
        word = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} can't be read: {error}") from error
    if not word:
        raise ValueError(f"{path} is empty")
    return word
