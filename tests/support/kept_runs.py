"""What runs have left on a broker, as the commands of people find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from jobrun_operator.engine.ports import RunRef, SourceSummary
from jobrun_operator.jetstream.client import JetStream
from jobrun_operator.jetstream.layout import LayoutSettings
from jobrun_operator.jetstream.streams import JetStreamWorkStreams
from jobrun_worker.wire import Names, Outcome
from support.command_line import jobrun_soon
from support.nats_server import NatsServer

TIME = "2026-06-01T12:00:00.000000Z"


def outcome_of(index: int, *, good: bool = True, error: str = "no", body: bytes = b"") -> Outcome:
    """As a worker stores it after the first attempt."""
    body = body or (b'{"n":1}' if good else b"{}")
    reason, said = ("", "") if good else ("MaxAttempts", error)
    return Outcome(index, good, body, 1, "w", TIME, TIME, TIME, reason, said)


@dataclass
class KeptRuns:
    """A broker on which runs left their outcomes."""

    server: NatsServer
    js: JetStream

    async def run(
        self,
        name: str,
        uid: str,
        total: int = 3,
        *,
        keeps: bool = True,
        installation: str = "here",
        prefix: str = "jobrun",
    ) -> None:
        """A run whose streams are there."""
        settings = LayoutSettings(installation=installation, names=Names(prefix))
        source = SourceSummary(total, "sha256:0")
        await JetStreamWorkStreams(self.js, settings).provision(
            RunRef("team", name, uid), source, keeps_results=keeps
        )

    async def ended(self, uid: str, *indexes: int, failed: int = -1, prefix: str = "jobrun") -> None:
        for index in indexes:
            await self.store(uid, outcome_of(index, good=index != failed), prefix=prefix)

    async def store(self, uid: str, outcome: Outcome, *, prefix: str = "jobrun") -> None:
        names = Names(prefix)
        subject_of = names.ok if outcome.succeeded else names.dead
        await self.js.publish(subject_of(uid, outcome.index), outcome.body, outcome.headers())

    async def jobrun(self, command: str, name: str, *arguments: str | Path) -> CompletedProcess[str]:
        """``command`` about the run ``name``, in a process."""
        return await jobrun_soon(
            *command.split(), name, "-n", "team", *arguments, JOBRUN_NATS_URL=self.server.url
        )
