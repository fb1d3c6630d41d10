"""Authorities and certificates for tests, made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path


def need_openssl() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes certificates")


def authority(folder: Path, name: str = "ca") -> Certificate:
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    _openssl("req", "-x509", *_KEY, "-subj", f"/CN={name}", "-days", "2",
             "-keyout", str(made.key), "-out", str(made.cert))  # fmt: skip
    return made


def signed(folder: Path, name: str, by: Certificate) -> Certificate:
    """For 127.0.0.1, as server and as client."""
    made, request = Certificate(folder / f"{name}.crt", folder / f"{name}.key"), folder / f"{name}.csr"
    extensions = folder / f"{name}.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    _openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(request))
    _openssl("x509", "-req", "-in", str(request), "-CA", str(by.cert), "-CAkey", str(by.key),
             "-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(made.cert))  # fmt: skip
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
