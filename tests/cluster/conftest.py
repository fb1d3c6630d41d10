"""A real control plane for the tests of this folder, and for each test a namespace, a broker and what runs the pods.

Where the programs are not there, the tests are skipped and say so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cluster.world import World, install
from support.control_plane import ControlPlane, binaries
from support.nats_server import NatsServer


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One etcd and one kube-apiserver for the whole session."""
    programs = binaries("etcd", "kube-apiserver")
    if isinstance(programs, str):
        pytest.skip(programs)
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), programs)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Another one, with controllers and our CRD installed, which a test may stop and start."""
    programs = binaries("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
    if isinstance(programs, str):
        pytest.skip(programs)
    plane = ControlPlane(tmp_path_factory.mktemp("cluster"), programs)
    try:
        plane.start()
        plane.start_controllers()
        install(plane)
        yield plane
    finally:
        plane.stop()


@pytest.fixture
async def world(control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[World]:
    """A namespace, a broker, a kubelet; no operator yet."""
    async with NatsServer(tmp_path / "nats") as broker, World.make(control_plane, broker, tmp_path) as world:
        yield world
