"""The words about deliveries, which have no answer: they reach the broker together, and outlast a lost connection."""

from __future__ import annotations

from jetstream.worker.rig import Run, until
from jobrun_worker.broker import Broker
from support.nats_server import NatsServer


async def delivered(run: Run, number: int) -> list[bytes]:
    """Reply subjects of so many tasks, in their order."""
    subscription = await run.nc.subscribe(inbox := run.nc.new_inbox())
    await run.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{run.stream}.workers", b"%d" % number, inbox)
    replies = [(await subscription.next_msg(timeout=10)).reply.encode() for _ in range(number)]
    await subscription.unsubscribe()
    return replies


async def test_words_of_one_turn_are_each_about_their_own_delivery(run: Run) -> None:
    await run.release([{}] * 5)
    replies = await delivered(run, 5)
    broker = Broker(run.settings)
    await broker.connect()
    broker.ack(replies[0])
    broker.tell(replies[1], b"-NAK")
    broker.ack(replies[2])
    broker.tell(replies[3], b"+TERM")
    await broker.flush()
    await run.settled_but(2)
    (again,) = await delivered(run, 1)
    assert again.split(b".")[4:6] == [b"2", b"2"]  # delivered twice, the second task
    broker.ack(again)
    broker.ack(replies[4])
    await broker.flush()
    await run.finished()
    await broker.close()


async def test_words_without_a_connection_are_said_when_there_is_one(
    nats_server: NatsServer, run: Run
) -> None:
    await run.release([{}] * 3)
    replies = await delivered(run, 3)
    broker = Broker(run.settings)
    await broker.connect()
    await nats_server.stop()

    async def gone() -> bool:
        return not broker.connected

    await until("the connection is lost", gone)
    broker.ack(replies[0])
    broker.tell(replies[1], b"+TERM")
    broker.ack(replies[2])
    assert broker.unsaid == 3
    await nats_server.start()
    await run.finished()
    assert not broker.unsaid
    await broker.close()
