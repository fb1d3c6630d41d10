"""Room for the workers' pull requests at the consumer of a run."""

from __future__ import annotations

from jobrun_operator.api.scale import Scaling
from jobrun_operator.api.worker import Worker
from jobrun_operator.jetstream import layout
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.making import Maker
from jobrun_worker.pull import LANES
from support.broker_bench import UID

SETTINGS = LayoutSettings(installation="test")
CONFIG = layout.workers_consumer(SETTINGS)


def test_those_of_the_largest_run_may_all_wait() -> None:
    workers = Scaling.model_json_schema()["properties"]["maxReplicas"]["maximum"]
    processes = Worker.model_json_schema()["properties"]["processes"]["maximum"]
    assert CONFIG["max_waiting"] == workers * processes * LANES


async def test_a_consumer_that_was_made_with_less_room_stays(js: JetStream) -> None:
    stream = SETTINGS.names.work_stream(UID)
    await js.api(f"STREAM.CREATE.{stream}", {"name": stream, "subjects": ["some"]})
    for most in (4096, CONFIG["max_waiting"]):
        await Maker(js, SETTINGS).consumer(stream, CONFIG | {"max_waiting": most})
    info = await js.api(f"CONSUMER.INFO.{stream}.{CONFIG['durable_name']}")
    assert info["config"]["max_waiting"] == 4096
