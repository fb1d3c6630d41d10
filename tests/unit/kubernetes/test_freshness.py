"""A watch that owes what lists show is found out; one that is only quiet, or an API that is away, is not."""

from __future__ import annotations

from jobrun_operator.kubernetes import health
from jobrun_operator.kubernetes.freshness import Freshness


def test_quiet_is_not_behind() -> None:
    watch = Freshness()
    watch.seen("a", "5")
    watch.listed("a", "5", now=10)
    assert watch.behind(10_000) == 0


def test_behind_until_it_tells() -> None:
    watch = Freshness()
    watch.seen("a", "5")
    watch.listed("a", "7", now=10)
    watch.listed("a", "9", now=70)
    assert watch.behind(100) == 90
    watch.seen("a", "6")
    assert watch.behind(100) == 90
    watch.seen("a", "7")
    assert watch.behind(100) == 0
    watch.listed("a", "9", now=130)
    assert watch.behind(140) == 10


def test_never_told_at_all() -> None:
    watch = Freshness()
    watch.listed("a", "1", now=0)
    assert watch.behind(300) == 300
    watch.forget("a")
    assert watch.behind(300) == 0


def test_what_was_deleted_while_the_watch_was_cut_is_not_owed() -> None:
    watch = Freshness()
    watch.listed("a", "1", now=0)
    watch.listed("b", "1", now=0)
    watch.seen("b", "1")
    watch.keep({"b"})
    assert watch.behind(300) == 0


def test_alive() -> None:
    assert health.alive(beat_age=5, behind=100) == ""
    assert "loop" in health.alive(beat_age=500, behind=0)
    assert "watch" in health.alive(beat_age=0, behind=500)
    assert "workers" in health.alive(beat_age=0, behind=0, still=500)
    assert health.alive(beat_age=0, behind=0, broker_away=900) == "", "an outage is no reason to be replaced"
    assert "no connection to the broker" in health.alive(beat_age=0, behind=0, broker_away=2000)
    assert "closed" in health.alive(beat_age=0, behind=0, broker_away=float("inf"))
