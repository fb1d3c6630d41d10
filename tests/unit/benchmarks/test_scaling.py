"""The simulator of scaling: the laws of its ideal, KEDA's and the HPA's rules by their documentation, and that the
page says what it prints."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.scaling.__main__ import SEEDS, main
from benchmarks.scaling.clock import Clock
from benchmarks.scaling.fleet import Fleet
from benchmarks.scaling.keda import KedaSettings, desired_replicas, scale_up_limit, stabilized
from benchmarks.scaling.load import Pace, due_times
from benchmarks.scaling.measures import busiest, compare, measure, percentile
from benchmarks.scaling.report import PAGE, filled_in, tables
from benchmarks.scaling.shapes import SHAPES, Shape, about, within
from benchmarks.scaling.world import POD_START_SECONDS, Way, simulate

COLD = next(shape for shape in SHAPES if shape.name == "cold-start")
PACED = Shape("paced", "", 600, about(1.0), ((0.0, 600), (30.0, 1200)), max_replicas=4)
FAILING = Shape("failing", "", 200, about(0.5), fail_share=0.3, max_replicas=2)
KEDA = KedaSettings(max_replicas=100)


# --- what runs ------------------------------------------------------------------------------------------


def test_actions_happen_in_the_order_of_their_times_and_of_their_planning() -> None:
    clock, seen = Clock(), []
    for name, time in (("c", 2.0), ("a", 1.0), ("b", 1.0), ("past", -1.0)):
        clock.at(time, lambda name=name: seen.append((name, clock.now)))  # type: ignore[misc]
    clock.run(lambda: len(seen) == 4, limit=10)
    assert seen == [("past", 0.0), ("a", 1.0), ("b", 1.0), ("c", 2.0)]


def test_a_run_that_does_not_end_is_told() -> None:
    clock = Clock()
    clock.every(1.0, 0.0, lambda: None)
    with pytest.raises(TimeoutError, match="60"):
        clock.run(lambda: False, limit=60)


def test_a_pod_counts_from_being_asked_for_until_it_has_given_back_its_last_slot() -> None:
    clock = Clock()
    fleet = Fleet(clock, concurrency=1, start_seconds=5.0)
    fleet.scale(2)
    assert fleet.take() is None
    clock.run(lambda: fleet.ready == 2, limit=10)
    pod = fleet.take()
    assert pod is not None
    assert clock.now == 5.0
    fleet.scale(0)  # the free one is gone at once, the other one stays for what it holds
    clock.after(3.0, lambda: fleet.give_back(pod))
    clock.run(lambda: fleet.empty, limit=10)
    assert fleet.replica_seconds == 5.0 + 8.0
    assert fleet.changes == [(0.0, 0), (0.0, 2), (5.0, 0)]


def test_pods_that_have_not_started_are_the_first_to_go() -> None:
    clock = Clock()
    fleet = Fleet(clock, concurrency=1, start_seconds=5.0)
    fleet.scale(1)
    clock.after(1.0, lambda: fleet.scale(2))
    clock.after(2.0, lambda: fleet.scale(1))
    clock.run(lambda: fleet.ready == 1, limit=10)
    assert clock.now == 5.0


def test_tasks_are_due_by_the_rate_of_their_time() -> None:
    assert due_times(3, [Pace(0.0, None)]) == [0.0, 0.0, 0.0]
    assert due_times(5, [Pace(0.0, 1.0), Pace(2.0, 0.5), Pace(6.0, 4.0)]) == [1.0, 2.0, 4.0, 6.0, 6.25]
    assert due_times(3, [Pace(0.0, 1.0), Pace(1.5, 2.0)]) == [
        1.0,
        1.75,
        2.25,
    ]  # half a task is kept at an edit


# --- the ideal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [PACED, FAILING, COLD], ids=lambda shape: shape.name)
def test_the_ideal_leaves_no_slot_idle_while_a_task_waits(shape: Shape) -> None:
    course = simulate(shape, Way.IDEAL, seed=1)
    slots = shape.max_replicas * shape.concurrency
    assert all(sample.busy == slots for sample in course.samples if sample.oldest > 0)


@pytest.mark.parametrize("shape", [PACED, FAILING, COLD], ids=lambda shape: shape.name)
def test_nothing_ends_before_the_ideal_nor_before_the_ideal_whose_pods_start(shape: Shape) -> None:
    ideal, prompt, *others = (
        simulate(shape, way, seed=3).drained_at for way in (Way.IDEAL, Way.PROMPT, Way.JOBRUN, Way.KEDA)
    )
    assert ideal <= prompt <= ideal + POD_START_SECONDS + 1
    assert min(others) >= prompt - 0.1


def test_the_ideal_of_equal_tasks_is_what_is_worked_out_by_hand() -> None:
    at_once = Shape("equal", "", 96, within(2, 2), max_replicas=3)  # 48 slots: two rounds
    assert simulate(at_once, Way.IDEAL, seed=1).drained_at == pytest.approx(4.0, abs=0.01)
    paced = Shape("equal", "", 20, within(2, 2), ((0.0, 120),))
    assert simulate(paced, Way.IDEAL, seed=1).drained_at == pytest.approx(12.0, abs=0.01)


# --- all of them ----------------------------------------------------------------------------------------


def test_every_way_of_scaling_has_the_same_attempts_to_do() -> None:
    attempts = {len(simulate(FAILING, way, seed=2).starts) for way in Way}
    assert len(attempts) == 1
    assert attempts.pop() > 1.2 * FAILING.total


@pytest.mark.parametrize("way", list(Way))
def test_the_same_seed_gives_the_same_course_and_another_one_another(way: Way) -> None:
    assert simulate(COLD, way, seed=7) == simulate(COLD, way, seed=7)
    assert simulate(COLD, way, seed=7) != simulate(COLD, way, seed=8)


def test_releases_keep_to_the_rate_and_to_max_waiting_whoever_scales() -> None:
    """G3, as the real bucket keeps it: what starts was released in this time, or was waiting."""
    shape = Shape("steady", "", 300, within(0.1, 0.1), ((0.0, 600),))
    for way in (Way.JOBRUN, Way.KEDA, Way.PROMPT, Way.IDEAL):
        course = simulate(shape, way, seed=1)
        rate, burst, max_waiting = 10, 10, 20
        assert busiest(course.starts, 5.0) <= rate * 5 + burst + max_waiting
    assert (
        busiest(simulate(shape, Way.PRODUCER, seed=1, seeds=2).starts, 5.0) > rate * 5 + burst + max_waiting
    )


# --- KEDA -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag", "replicas", "wanted"),
    [
        (200, 10, 20),  # the documentation's example: twice the target doubles,
        (50, 10, 5),  # half of it halves
        (109, 10, 10),  # within the tolerance of 0.1
        (91, 10, 10),
        (111, 10, 12),
        (1, 1, 1),
        (0, 3, 0),
    ],
)
def test_the_hpa_wants_the_metric_over_its_target_rounded_up(lag: int, replicas: int, wanted: int) -> None:
    assert desired_replicas(lag, KEDA.lag_threshold, replicas, KEDA.tolerance) == wanted


@pytest.mark.parametrize(
    ("replicas", "added", "most"),
    [(1, 0, 5), (3, 0, 7), (5, 0, 10), (10, 0, 20), (5, 4, 5), (20, 10, 20), (7, 2, 10)],
)
def test_the_hpa_adds_four_pods_or_doubles_within_its_period(replicas: int, added: int, most: int) -> None:
    assert scale_up_limit(replicas, added, KEDA) == most


def test_the_hpa_goes_down_to_the_highest_of_the_last_recommendations_and_up_at_once() -> None:
    assert stabilized(desired=3, replicas=8, recent=[8, 5, 6]) == 8
    assert stabilized(desired=3, replicas=8, recent=[5, 6]) == 6
    assert stabilized(desired=3, replicas=8, recent=[]) == 3
    assert stabilized(desired=9, replicas=8, recent=[20, 5]) == 9


def test_keda_activates_at_a_poll_and_goes_to_zero_at_the_first_one_after_the_cooldown() -> None:
    course = simulate(COLD, Way.KEDA, seed=0, seeds=2)  # polls 7.5 s after the start, then every 30 s
    assert course.changes[0] == (7.5, 1)
    assert course.changes[-1] == (337.5, 0)  # last seen active at 7.5; at 307.5 the cooldown is just not over
    assert all(after[1] <= before[1] + max(4, before[1]) for before, after in pairwise(course.changes))


# --- what is told ---------------------------------------------------------------------------------------


def test_a_percentile_is_the_nearest_rank() -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], 0.99) == 99.0
    assert percentile([3.0], 0.99) == 3.0


def test_the_busiest_seconds_lie_anywhere() -> None:
    assert busiest([0.0, 0.9, 1.0, 1.1, 5.0], 1.0) == 3
    assert measure(simulate(COLD, Way.IDEAL, seed=1)).busiest == 100


def test_the_page_says_what_is_simulated() -> None:
    """Of the quickest shape; ``make scaling`` writes all of it."""
    page = PAGE.read_text()
    printed = tables({COLD.name: compare(COLD, SEEDS)})
    assert all(lines[-1] in page for lines in printed.values())
    assert all(f"(scaling/{shape.name}.png)" in page for shape in SHAPES)
    assert all((PAGE.parent / "scaling" / f"{shape.name}.png").exists() for shape in SHAPES)


def test_the_page_shows_that_each_shape_reaches_what_is_aimed_at() -> None:
    table = PAGE.read_text().partition("<!-- overall -->\n")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == [shape.name for shape in SHAPES]
    for name, _, later, _, oldest, _, cost, until_drained, _ in rows:
        assert max(float(later), float(oldest)) <= 0.2, name
        assert max(float(cost), float(until_drained)) <= 1.2, name


def test_each_table_has_its_place_in_the_page() -> None:
    found = {COLD.name: compare(COLD, 1)}
    page = "".join(f"<!-- {name} -->\nformer\n<!-- end -->\n" for name in tables(found))
    filled = filled_in(page, found)
    assert "former" not in filled
    assert filled.count("| cold-start |") == 4
    assert filled_in(filled, found) == filled
    with pytest.raises(ValueError, match="shapes"):
        filled_in("no place", found)


def test_the_page_is_for_all_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["scaling", "--docs", "--seeds", "2"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--docs is for all shapes" in capsys.readouterr().err
