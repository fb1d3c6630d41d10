"""``python -m faults``: schedules of faults, one after the other or side by side, and a closing line with the counts.

``make faults SCHEDULES=20 SEED=7`` runs the schedules of the seeds 7 to 26. Every fifth is at full rate; all are with
``FULL=1``. One that fails is printed with what it broke and the command that repeats it; its folder is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from faults import schedule, trial
from faults.schedule import Schedule
from faults.trial import Verdict


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--schedules", type=int, default=20, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of the first; each further one has the next")
    parser.add_argument("--jobs", type=int, default=1, help="side by side")
    parser.add_argument("--full", action="store_true", help="all at full rate, and not only every fifth")
    parser.add_argument("--show", action="store_true", help="only print the schedules")
    options = parser.parse_args(arguments)
    seeds = range(options.seed, options.seed + options.schedules)
    schedules = [schedule.choose(seed, full=options.full) for seed in seeds]
    if options.show:
        print("\n".join(map(str, schedules)))
        return 0
    try:
        verdicts = asyncio.run(_all(schedules, options.jobs))
    except asyncio.CancelledError:
        print("interrupted")
        return 130
    print(closing_line(verdicts))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


async def _all(schedules: list[Schedule], jobs: int) -> list[Verdict]:
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):  # either way nothing is left running
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    slots = asyncio.Semaphore(jobs)

    async def one(drawn: Schedule) -> Verdict:
        async with slots:
            folder = Path(tempfile.mkdtemp(prefix=f"faults-{drawn.seed}-"))
            try:
                verdict = await trial.run(drawn, folder)
            except asyncio.CancelledError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            print(told(verdict), flush=True)
            if verdict.holds:
                shutil.rmtree(folder, ignore_errors=True)
            return verdict

    return await asyncio.gather(*map(one, schedules))


def told(verdict: Verdict) -> str:
    """One line for one that holds; else all that it takes to understand it."""
    seed = verdict.schedule.seed
    figures = (
        f"{verdict.tasks} tasks, {verdict.begun} begun, {verdict.redelivered} redeliveries, {verdict.dead} dead, "
        f"ended {verdict.recovery:.1f} s after the last fault"
    )
    faults = ", ".join(fault.kind for fault in verdict.schedule.faults)
    if verdict.holds:
        kind = " at full rate" if verdict.schedule.full_rate else ""
        return f"seed {seed}{kind}: ok; {figures}; {faults}"
    lines = [f"seed {seed}: FAILED; {figures}", str(verdict.schedule)]
    lines += [f"  broken: {violation}" for violation in verdict.violations]
    full = " FULL=1" if verdict.schedule.full_rate else ""
    lines += [f"  again: make faults SCHEDULES=1 SEED={seed}{full}; kept in {verdict.folder}"]
    return "\n".join(lines)


def closing_line(verdicts: list[Verdict]) -> str:
    done: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for verdict in verdicts:
        done += verdict.done
        skipped += verdict.skipped
    broken = [str(verdict.schedule.seed) for verdict in verdicts if not verdict.holds]
    failed = f"{len(broken)} FAILED" + (f" (seeds {', '.join(broken)})" if broken else "")
    figures = {
        "faults": sum(done.values()),
        "tasks": sum(one.tasks for one in verdicts),
        "begun": sum(one.begun for one in verdicts),
        "redeliveries": sum(one.redelivered for one in verdicts),
        "dead letters": sum(one.dead for one in verdicts),
    }
    longest = max((one.recovery for one in verdicts), default=0.0)
    return "\n".join(
        [
            "",
            f"faults done: {_counted(done)}",
            f"faults that were not possible here, or found nobody to hit: {_counted(skipped)}",
            f"{len(verdicts)} schedules, {len(verdicts) - len(broken)} hold, {failed}; "
            + ", ".join(f"{number} {what}" for what, number in figures.items())
            + f"; the longest recovery took {longest:.1f} s",
        ]
    )


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items())) or "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
