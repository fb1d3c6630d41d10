"""The command ``jobrun`` as a process, without what the environment of the tests says."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

JOBRUN = Path(sys.executable).with_name("jobrun")
SECONDS = 60

_IMPATIENT = """
import sys
from jobrun_operator import cli
from jobrun_operator.jetstream import client
client.connect.__kwdefaults__["timeout"] = float(sys.argv.pop(1))
cli.main()
"""


def jobrun(
    *arguments: str | Path, cwd: Path | None = None, patience: float | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Its end. ``patience``: seconds for the first connection to the broker, where there will be none."""
    command = [str(JOBRUN)] if patience is None else [sys.executable, "-c", _IMPATIENT, str(patience)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBRUN_", "KUBE"))}
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=cwd,
        env=kept | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


async def jobrun_soon(
    *arguments: str | Path, patience: float | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """The same, from a test with a loop of its own."""
    return await asyncio.to_thread(jobrun, *arguments, patience=patience, **env)


def lines(text: str) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]
