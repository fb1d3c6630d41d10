"""How the command of a person reaches a cluster's broker: by options or the environment, with the same variables as
the operator and its workers; and what to do where neither says it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobrun_operator.errors import InputError
from jobrun_operator.jetstream.client import close, connect
from jobrun_worker.address import BrokerAddress
from jobrun_worker.client import LastingClient

URL = "JOBRUN_NATS_URL"
CREDENTIALS = "JOBRUN_NATS_CREDENTIALS"
USER = "JOBRUN_NATS_USER"
PASSWORD = "JOBRUN_NATS_PASSWORD"  # noqa: S105  # the variable's name; an option would be seen in lists of processes
TLS_CA = "JOBRUN_NATS_TLS_CA"

_HOW = f"""\
say where the cluster's broker is, with this option or in {URL}. The broker that the chart brings is reached so \
(with -n and the namespace that the chart is in; jobrun is the name of its release):
  kubectl port-forward service/jobrun-nats 4222 &
  export {URL}=nats://127.0.0.1:4222 {USER}=client
  export {PASSWORD}=$(kubectl get secret jobrun-nats-auth -o jsonpath='{{.data.client-password}}' | base64 -d)"""


@asynccontextmanager
async def cluster_broker(address: BrokerAddress, name: str) -> AsyncIterator[LastingClient]:
    """A connection for the body. Raises InputError for options that can't be used, EnvironmentFault."""
    check_address(address)
    client = await connect(address, name)
    try:
        yield client
    finally:
        await close(client)


def check_address(address: BrokerAddress) -> None:
    """What can be told without a connection. Raises InputError."""
    if not address.url:
        raise InputError("--nats-url", _HOW)
    files = {
        "--nats-creds": address.credentials,
        "--nats-ca": address.tls_ca,
        "--nats-cert": address.tls_cert,
        "--nats-key": address.tls_key,
    }
    for option, path in files.items():
        if path and not Path(path).is_file():
            raise InputError(option, f"there is no file {path}")
    try:
        address.login()
    except ValueError as error:
        raise InputError("--nats-...", str(error)) from error
