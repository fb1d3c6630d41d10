"""Events on a real API server: the same news is one Event, by whomever and however often it is told."""

from __future__ import annotations

import pytest

from cluster.world import World
from jobrun_operator.kubernetes import events as module
from jobrun_operator.kubernetes.api import KubeApi
from jobrun_operator.kubernetes.budget import WriteBudget
from jobrun_operator.kubernetes.events import KubeEvents, Regarding
from jobrun_operator.metrics import OperatorMetrics
from support.kubelet import administrator


async def test_the_same_news_is_one_event(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    api = KubeApi(administrator(world.plane), OperatorMetrics())
    first, second = (KubeEvents(api, WriteBudget(100)) for _ in range(2))
    run = Regarding(world.namespace, "backfill", "a-uid", "7")
    path = f"/apis/events.k8s.io/v1/namespaces/{world.namespace}/events"

    async def tell(events: KubeEvents, reason: str, message: str = "away") -> None:
        await events.tell(run, reason=reason, message=message, warning=True)

    for _ in range(50):
        await tell(first, "BrokerUnavailable")
    (event,) = world.events("backfill")
    assert (event["reason"], event["note"], event["type"]) == ("BrokerUnavailable", "away", "Warning")
    assert event.get("series") is None

    await tell(second, "BrokerUnavailable")  # another process, or this one after a restart
    (event,) = world.events("backfill")
    assert event["series"]["count"] == 2

    monkeypatch.setattr(module, "REPEAT_SECONDS", 0.0)
    await tell(first, "BrokerUnavailable")
    (event,) = world.events("backfill")
    assert event["series"]["count"] > 50

    await tell(first, "Started", "x" * 5000 + "ü" * 500)
    assert len(world.events("backfill")) == 2

    for event in world.events("backfill"):  # as the API server does after an hour
        world.plane.request("DELETE", f"{path}/{event['metadata']['name']}")
    await tell(first, "BrokerUnavailable")
    (event,) = world.events("backfill")
    assert event["reason"] == "BrokerUnavailable"
    await api.close()
