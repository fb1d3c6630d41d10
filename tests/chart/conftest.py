"""The chart as Helm's own engine renders it, and an API server to install it on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.chart import CHART, Rendered, objects
from support.control_plane import ControlPlane, binaries


@pytest.fixture(scope="session")
def chart() -> Iterator[Any]:
    """The loaded chart."""
    helm = pytest.importorskip("helm_python", reason="no Helm engine: pip install helm-python-sdk")
    with helm.Chart.load(CHART) as loaded:
        yield loaded


@pytest.fixture
def render(chart: Any) -> Any:
    """``render(values)``: the objects of a release "jobrun" in the namespace "jobrun"."""

    def rendered(values: dict[str, Any] | None = None, *, name: str = "jobrun") -> Rendered:
        return objects(chart.render(values or {}, name=name, namespace="jobrun"))

    return rendered


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real API server; there are no nodes, so no pod ever runs."""
    pytest.importorskip("helm_python", reason="no Helm engine: pip install helm-python-sdk")
    programs = binaries("etcd", "kube-apiserver")
    if isinstance(programs, str):
        pytest.skip(programs)
    control_plane = ControlPlane(tmp_path_factory.mktemp("cluster"), programs)
    try:
        control_plane.start()
        yield control_plane
    finally:
        control_plane.stop()
