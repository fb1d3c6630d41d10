"""A broker in operator mode: accounts and users are JWTs, and who logs in has a ``.creds`` file.

The format of the tokens: github.com/nats-io/jwt, version 2 ("Decentralized JWT Authentication" of NATS' documentation).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkeys

OPERATOR, ACCOUNT, USER = nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER

_NO_LIMIT = -1


def _seed(kind: int) -> bytes:
    return bytes(nkeys.encode_seed(os.urandom(32), kind))


def _token(claims: Mapping[str, Any], seed: bytes, subject: str, lives_seconds: float | None = None) -> str:
    """A JWT of ``claims`` about ``subject``, signed with ``seed``."""
    signer = nkeys.from_seed(bytearray(seed))
    payload: dict[str, Any] = {
        "iat": int(time.time()),
        "iss": signer.public_key.decode(),
        "sub": subject,
        "name": claims["type"],
        "nats": {"version": 2, **claims},
    }
    if lives_seconds is not None:
        payload["exp"] = int(time.time() + lives_seconds)
    payload["jti"] = (
        base64.b32encode(hashlib.sha256(json.dumps(payload).encode()).digest()).decode().strip("=")
    )
    parts = [_base64({"typ": "JWT", "alg": "ed25519-nkey"}), _base64(payload)]
    signed = ".".join(parts).encode()
    return ".".join([*parts, base64.urlsafe_b64encode(signer.sign(signed)).decode().rstrip("=")])


def _base64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _public(seed: bytes) -> str:
    return str(nkeys.from_seed(bytearray(seed)).public_key.decode())


@dataclass(frozen=True)
class Accounts:
    """``config`` is for ``NatsServer``; ``creds`` writes the file of a user of its only account."""

    config: str
    _account: bytes

    @classmethod
    def make(cls) -> Accounts:
        operator, account, system = _seed(OPERATOR), _seed(ACCOUNT), _seed(ACCOUNT)
        names = {
            "mem_storage": _NO_LIMIT,
            "disk_storage": _NO_LIMIT,
            "streams": _NO_LIMIT,
            "consumer": _NO_LIMIT,
        }
        limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), _NO_LIMIT)
        tokens = {
            _public(account): _token(
                {"type": "account", "limits": {**limits, "wildcards": True, **names}},
                operator,
                _public(account),
            ),
            _public(system): _token({"type": "account", "limits": limits}, operator, _public(system)),
        }
        trusted = _token({"type": "operator", "system_account": _public(system)}, operator, _public(operator))
        preload = "\n".join(f"{name}: {token}" for name, token in tokens.items())
        config = f"operator: {trusted}\nresolver: MEMORY\nresolver_preload: {{\n{preload}\n}}"
        return cls(config, account)

    def creds(
        self,
        path: Path,
        publish: Sequence[str] = (),
        subscribe: Sequence[str] = (),
        lives_seconds: float | None = None,
    ) -> Path:
        """``publish`` and ``subscribe``: all that is allowed; empty: everything."""
        user = _seed(USER)
        claims: dict[str, Any] = {
            "type": "user",
            "pub": {"allow": list(publish)} if publish else {},
            "sub": {"allow": list(subscribe)} if subscribe else {},
            "subs": _NO_LIMIT,
            "data": _NO_LIMIT,
            "payload": _NO_LIMIT,
        }
        token = _token(claims, self._account, _public(user), lives_seconds)
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.decode()}\n------END USER NKEY SEED------\n"
        )
        return path
