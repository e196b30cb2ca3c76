"""The schedule under a clock that only sleeping moves."""

import fcntl
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from _world import START, World, became, put_cells, set_small_study
from fstore.errors import DataError, FstoreError, StorageError
from fstore.queries.cells import code as _code
from fstore.queries.refresh.driver import Brought
from fstore.queries.reports import table6
from fstore.queries.schedule import loop as schedule
from fstore.queries.schedule.cron import parse_cron
from fstore.queries.schedule.hooks import Hooks
from fstore.queries.schedule.log import ScheduledJob, alone, past_runs, runs_of
from fstore.queries.schedule.loop import missed, run_once, run_schedule
from fstore.store import Store

NIGHTLY = parse_cron("0 3 * * *", "UTC")
JOB = ScheduledJob(study="small")


@pytest.fixture
def store(empty: Store) -> Store:
    """Return a store with study ``small`` and no report."""
    set_small_study(empty)
    return empty


def failing(*reports: str) -> Callable[[Store, Sequence[str]], list[Brought]]:
    """Return an act in which table6 is right and other reports fail."""
    bad = [became(name, "failed", 0, 0, "no luck") for name in reports]
    return lambda _store, _names: [became("table6"), *bad]


def exits(store: Store) -> list[str]:
    """Return how the runs ended, the first one first."""
    return [row["status"] for row in reversed(past_runs(store))]


def test_runs_at_the_times(store: Store) -> None:
    """Without anything missed, there is a run a night, each on record with its numbers."""
    world = World(stop_at=START + timedelta(days=3))
    run_schedule(store, NIGHTLY, JOB, around=world.around, catch_up=False)
    assert world.times == ["26 03:00", "27 03:00", "28 03:00"]
    row = past_runs(store)[-1]
    assert row["started"] == row["ended"] == datetime(2026, 11, 26, 3, tzinfo=UTC)
    assert {k: row[k] for k in ("kind", "status", "study", "computed", "reused", "failed")} == {
        "kind": "schedule",
        "status": "ok",
        "study": "small",
        "computed": 1,
        "reused": 0,
        "failed": 0,
    }
    assert world.said[0] == "next run at 2026-11-26 03:00:00 UTC"


def test_times_follow_the_time_zone(store: Store) -> None:
    """Three o'clock in Berlin comes an hour earlier in UTC after the clocks went forward."""
    world = World(now=datetime(2026, 3, 27, 12, tzinfo=UTC))
    world.stop_at = world.now + timedelta(days=4)
    berlin = parse_cron("0 3 * * *", "Europe/Berlin")
    run_schedule(store, berlin, JOB, around=world.around, catch_up=False)
    assert world.times == ["28 02:00", "29 01:00", "30 01:00", "31 01:00"]


def test_a_missed_time_is_made_up_for(store: Store) -> None:
    """After nights with the machine off, the start runs once at once, then at the usual times."""
    first = World(stop_at=START + timedelta(days=1))
    run_schedule(store, NIGHTLY, JOB, around=first.around, catch_up=False)
    later = START + timedelta(days=5)
    again = World(now=later, stop_at=later + timedelta(days=1))
    run_schedule(store, NIGHTLY, JOB, around=again.around)
    assert again.times == ["30 12:00", "01 03:00"]


def test_nothing_missed(store: Store) -> None:
    """A start after a finished run waits for the next time; so does one told not to catch up."""
    first = World(stop_at=START + timedelta(days=1))
    run_schedule(store, NIGHTLY, JOB, around=first.around, catch_up=False)
    for days, catch_up in ((1, True), (9, False)):
        now = START + timedelta(days=days)
        again = World(now=now, stop_at=now + timedelta(hours=1))
        run_schedule(store, NIGHTLY, JOB, around=again.around, catch_up=catch_up)
        assert again.times == []


def test_what_counts_as_missed(store: Store) -> None:
    """A run of another study or of other reports makes up for nothing; nor one from the future."""
    assert missed(store, NIGHTLY, JOB, now=START)  # there never was one
    one = ScheduledJob(study="small", reports=("table6",))
    run_once(store, one, World().around)
    assert missed(store, NIGHTLY, JOB, now=START)
    assert not missed(store, NIGHTLY, one, now=START)
    run_once(store, JOB, World(now=START + timedelta(days=400)).around)  # the clock was wrong
    assert missed(store, NIGHTLY, JOB, now=START + timedelta(days=1))


def test_a_failed_run_is_not_missed(store: Store) -> None:
    """A run that failed has finished: a restart does not repeat it before its time."""
    run_once(store, ScheduledJob(study="small", retries=0), World(acts=[failing("table7")]).around)
    assert exits(store) == ["failed"]
    assert not missed(store, NIGHTLY, JOB, now=START + timedelta(hours=1))


def test_times_during_a_run_are_left_out(store: Store) -> None:
    """A run that takes two and a half days leaves two times out, and overlaps with none."""
    world = World(stop_at=START + timedelta(days=4))

    def long(_store: Store, _names: Sequence[str]) -> list[Brought]:
        world.now += timedelta(days=2, hours=12)
        return [became("table6")]

    world.acts = [long, failing()]
    run_schedule(store, NIGHTLY, JOB, around=world.around, catch_up=False)
    assert world.times == ["26 03:00", "29 03:00"]
    assert any("left out" in line for line in world.said)


def test_the_machine_slept(store: Store) -> None:
    """A time that passed while the machine was suspended is made up for once, on waking."""
    world = World(stop_at=START + timedelta(days=4))
    sleep = world.wait

    def suspended(seconds: float) -> bool:
        if world.now == START + timedelta(hours=1):
            world.now += timedelta(days=2)
        return sleep(seconds)

    world.wait = suspended  # type: ignore[method-assign]
    run_schedule(store, NIGHTLY, JOB, around=world.around, catch_up=False)
    assert world.times == ["27 13:01", "28 03:00", "29 03:00"]


def test_the_clock_is_set_back(store: Store) -> None:
    """After the clock was set back by a day, the run is at the next time of the new clock."""
    world = World(stop_at=START + timedelta(hours=18))
    sleep, one_o_clock = world.wait, [START + timedelta(hours=1)]

    def set_back(seconds: float) -> bool:
        if world.now in one_o_clock:
            world.now -= timedelta(days=1)
            one_o_clock.clear()
        return sleep(seconds)

    world.wait = set_back  # type: ignore[method-assign]
    run_schedule(store, NIGHTLY, JOB, around=world.around, catch_up=False)
    assert world.times[0] == "25 03:00"


def test_retries_wait_longer_each_time(store: Store) -> None:
    """A failing report is asked for again after 60, 120 and 240 s, alone; then the run failed."""
    world = World(
        acts=[failing("table7"), lambda _s, _n: [became("table7", "failed", 0, 0, "bad")]]
    )
    outcome = run_once(store, JOB, world.around)
    waits = [(at - START).total_seconds() for at, _ in world.asked]
    assert waits == [0, 60, 180, 420]
    assert [names for _, names in world.asked] == [(), *[("table7",)] * 3]
    assert (outcome.exit, outcome.message) == ("failed", "table7: bad")
    (row,) = past_runs(store)
    assert (row["status"], row["computed"], row["failed"]) == ("failed", 1, 1)
    assert row["message"] == "table7: bad"


def test_waits_end_at_an_hour(store: Store) -> None:
    """No wait between attempts is longer than an hour."""
    world = World(acts=[failing("table7")])
    run_once(store, ScheduledJob(study="small", retries=9), world.around)
    waits = [b - a for (a, _), (b, _) in zip(world.asked, world.asked[1:], strict=False)]
    assert [w.total_seconds() for w in waits[4:]] == [960, 1920, 3600, 3600, 3600]


def test_a_retry_heals(store: Store) -> None:
    """If a further attempt succeeds, the run is ok, and counts what all attempts computed."""
    world = World(acts=[failing("table7", "table8"), lambda _s, n: [became(name) for name in n]])
    outcome = run_once(store, JOB, world.around)
    assert (outcome.exit, outcome.attempts, outcome.message) == ("ok", 2, "")
    assert world.asked[1][1] == ("table7", "table8")
    assert outcome.total("computed") == 3


def test_missing_inputs_are_no_failure(store: Store) -> None:
    """A report whose inputs are missing, or of which the study binds no part, fails nothing."""
    states = [became("table6", "missing inputs", 0), became("table7", "left out", 0, 0, "no part")]
    world = World(acts=[lambda _s, _n: states])
    outcome = run_once(store, JOB, world.around)
    assert (outcome.exit, outcome.message, outcome.attempts) == ("ok", "", 1)
    see = f"fstore report list --store {store.path}"
    assert f"table6: missing inputs, see: {see}" in world.said


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StorageError("the disk is full"), "the disk is full"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_an_error_beside_the_reports(store: Store, error: Exception, told: str) -> None:
    """Whatever is raised fails the attempt, is tried again in full, and the schedule lives on."""
    world = World(stop_at=START + timedelta(days=2))

    def broken(_store: Store, _names: Sequence[str]) -> list[Brought]:
        raise error

    world.acts = [broken, broken, broken, broken, failing()]
    run_schedule(store, NIGHTLY, JOB, around=world.around, catch_up=False)
    assert exits(store) == ["failed", "ok"]
    assert past_runs(store)[1]["message"] == told
    assert [names for _, names in world.asked] == [()] * 5


def test_a_study_that_is_gone_fails_the_run(empty: Store) -> None:
    """A run whose study is not set fails with the reason, as any other failure."""
    outcome = run_once(empty, ScheduledJob(study="none", retries=0), World().around)
    assert outcome.exit == "failed"
    assert "no study 'none' is set" in outcome.message


def test_stopping_keeps_what_is_done(store: Store) -> None:
    """Told to stop within a run, it ends after the cell at work; the row says ``interrupted``."""
    world = World()

    def stopped(_store: Store, _names: Sequence[str]) -> list[Brought]:
        world.stop_at = world.now
        return [became("table6"), became("table7")]

    world.acts = [stopped]
    run_schedule(store, NIGHTLY, JOB, around=world.around)
    assert exits(store) == ["interrupted"]
    assert len(world.asked) == 1
    assert missed(store, NIGHTLY, JOB, now=world.now)  # the next start makes up for it


def test_stopping_after_a_report_that_is_fresh(store: Store) -> None:
    """Told to stop, it ends after the report at work also where no cell is computed."""
    world, done = World(), []

    def stopped(_store: Store, _names: Sequence[str]) -> Iterator[Brought]:
        for name in ("table6", "table7"):
            done.append(name)
            world.stop_at = world.now
            yield became(name, "fresh", 0, 1)

    world.acts = [stopped]
    assert run_once(store, JOB, world.around).exit == "interrupted"
    assert done == ["table6"]


def test_stopping_ends_the_wait_for_an_attempt(store: Store) -> None:
    """Told to stop between attempts, it does not wait for the next one."""
    world = World(acts=[failing("table7")], stop_at=START + timedelta(seconds=100))
    assert run_once(store, JOB, world.around).exit == "interrupted"
    assert len(world.asked) == 2


def test_a_store_that_is_gone_ends_the_schedule(store: Store) -> None:
    """Where the store is gone the schedule ends with an error; it does not go on leaving out."""
    world = World(stop_at=START + timedelta(days=3))

    def remove(store: Store, _names: Sequence[str]) -> list[Brought]:
        shutil.rmtree(store.path)
        return []

    world.acts = [remove]
    with pytest.raises(StorageError, match="no store at"):
        run_schedule(store, NIGHTLY, JOB, around=world.around, catch_up=False)
    assert len(world.asked) == 1
    assert not any("left out" in line for line in world.said)


def test_no_overlap_between_processes(store: Store) -> None:
    """While another process has the job's lock, a run is refused and the loop leaves it out."""
    with alone(store, JOB):
        with pytest.raises(StorageError, match="another process is at work"):
            run_once(store, JOB, World().around)
        world = World(stop_at=START + timedelta(days=1))
        run_schedule(store, NIGHTLY, JOB, around=world.around)
        run_once(
            store, ScheduledJob(study="small", reports=("table6",)), World().around
        )  # another job
    assert world.asked == []
    assert sum("left out: another process" in line for line in world.said) == 2
    assert run_once(store, JOB, World().around).exit == "ok"


KILLED = """
import sys, time
from pathlib import Path
from _world import World, became, put_cells
from fstore.queries.schedule.log import ScheduledJob
from fstore.queries.schedule.loop import run_once
from fstore.store import Store

world = World()
def slow(store, names):
    put_cells(store, "table6", {"fc": 2.0}, world.now)
    yield became("table6")
    print("at work", flush=True)
    time.sleep(60)
world.acts = [slow]
run_once(Store.open(Path(sys.argv[1])), ScheduledJob(study="small"), world.around)
"""


def test_a_killed_run_is_healed_by_the_next(store: Store, tmp_path: Path) -> None:
    """A killed process leaves ``running``; the next run notes it, goes on, and tells its cells."""
    path = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    command = [sys.executable, "-c", path + KILLED, str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        with pytest.raises(StorageError, match="another process is at work"):
            run_once(store, JOB, World().around)
        assert exits(store) == ["running"]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert exits(store) == ["killed"]  # also if no run of this job ever follows
    assert [row["exit"] for row in runs_of(store, JOB)] == ["running"]
    assert missed(store, NIGHTLY, JOB, now=START + timedelta(hours=1))
    world, told = World(now=START + timedelta(hours=1)), tmp_path / "told.json"
    world.stop_at = world.now + timedelta(hours=1)
    world.acts = [lambda _s, _n: [became("table6", "fresh", 0, 1)]]
    hooks = Hooks(on_change=("cp", "/dev/stdin", str(told)))
    run_schedule(store, NIGHTLY, JOB, around=world.around, hooks=hooks)
    assert exits(store) == ["killed", "ok"]
    assert any("was killed" in line for line in world.said)
    assert json.loads(told.read_text())["changed"] == {"table6": 1}


def test_changes_are_those_of_values(store: Store) -> None:
    """A cell counts if its value is another one, new or gone; computed again is not enough."""
    put_cells(store, "table6", {"conv1": 1.0, "fc": 2.0, "gone": 3}, START - timedelta(days=1))
    put_cells(store, "table7", {"nan": float("nan")}, START - timedelta(days=1))

    def act(store: Store, _names: Sequence[str]) -> list[Brought]:
        put_cells(store, "table6", {"conv1": 1.0, "fc": 2.5, "new": 0.0}, START)
        put_cells(store, "table7", {"nan": float("nan")}, START)
        return [became("table6", computed=3), became("table7")]

    outcome = run_once(store, JOB, World(acts=[act]).around)
    assert outcome.changed == {"table6": 3}
    assert past_runs(store)[0]["changed"] == 3
    assert run_once(store, JOB, World().around).changed == {}


def test_changes_in_between_are_told(store: Store) -> None:
    """What somebody computed since the last run, or an interrupted one, is told by the next."""
    run_once(store, JOB, World().around)
    put_cells(store, "table6", {"fc": 2.0}, START)
    stopped = World(stop_at=START)
    assert run_once(store, JOB, stopped.around).changed == {}
    assert run_once(store, JOB, World().around).changed == {"table6": 1}
    one = ScheduledJob(study="small", reports=("table7",))
    run_once(store, one, World().around)
    put_cells(store, "table6", {"fc": 3.0}, START + timedelta(hours=1))
    assert run_once(store, one, World().around).changed == {}  # not among its reports


def test_the_clock_set_back_tells_nothing_twice(store: Store) -> None:
    """Runs on a clock that was set back tell each change once, as do those after it caught up."""
    changed = []
    for hour, value in ((10, 1.0), (9, 2.0), (9.2, None), (9.4, None), (11, None)):
        world = World(now=START + timedelta(hours=hour))
        if value is not None:  # times of refreshes only go forward
            put_cells(store, "table6", {"fc": value}, START + timedelta(hours=10, seconds=value))
        changed.append(run_once(store, JOB, world.around).changed)
    assert changed == [{}, {"table6": 1}, {}, {}, {}]


def test_changes_that_cannot_be_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a run cannot see what was told before, it tells of no change; the next run does."""
    put_cells(store, "table6", {"fc": 1.0}, START)
    run_once(store, JOB, World().around)
    put_cells(store, "table6", {"fc": 2.0}, START + timedelta(hours=1))

    def broken(*_: object) -> None:
        raise StorageError("cannot read")

    with monkeypatch.context() as patched:
        patched.setattr(schedule, "seen", broken)
        assert run_once(store, JOB, World().around).changed == {}
    assert run_once(store, JOB, World().around).changed == {"table6": 1}


def test_a_full_disk_does_not_stop_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the run cannot be recorded, it is done all the same, and its failure is told."""

    def full(*_: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(store, "append", full)
    world, told = World(acts=[failing("table7")]), tmp_path / "told"
    hooks = Hooks(on_failure=("touch", str(told)))
    outcome = run_once(store, ScheduledJob(study="small", retries=0), world.around, hooks=hooks)
    assert outcome.exit == "failed"
    assert "cannot record the start of the run: no space left" in world.said
    assert told.exists()


def test_other_runs_stay_as_they_are(store: Store) -> None:
    """A store with runs of extractions lists them beside scheduled ones, and changes none."""
    row = {
        "run_id": "x",
        "kind": "extract",
        "started_at": START,
        "finished_at": START,
        "exit": "ok",
        "message": "",
        "parameters": "{}",
        "samples": 7,
    }
    store.append("runs", [row])
    run_once(store, JOB, World(now=START + timedelta(hours=1)).around)
    assert [r["kind"] for r in past_runs(store)] == ["schedule", "extract"]
    (kept,) = past_runs(store, "extract")
    assert (kept["samples"], kept["computed"], kept["status"]) == (7, None, "ok")
    assert len(runs_of(store, JOB)) == 1


def test_a_report_named_twice_is_the_same_job() -> None:
    """Neither their order nor how often reports are named makes another job."""
    jobs = [ScheduledJob(study="s", reports=reports) for reports in (("a", "b"), ("b", "a", "b"))]
    assert jobs[0].identity == jobs[1].identity


def test_the_lock_ends_with_the_run(store: Store) -> None:
    """After a run, also one with an error, the lock is free."""
    with pytest.raises(DataError, match="mine"), alone(store, JOB):
        raise DataError("mine")
    places = list((store.path / "locks").iterdir())
    assert places
    for place in places:
        with place.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_page_follows_each_run(store: Store) -> None:
    """The page is made after a run, also of what is left where a report failed."""
    made: list[str] = []
    for act in (failing(), failing("table7")):
        around = replace(World(acts=[act]).around, publish=lambda _, study: made.append(study.name))
        run_once(store, JOB, around)
    assert made == ["small", "small"]
    assert exits(store) == ["ok", "failed"]


def test_a_page_that_fails_fails_the_run(store: Store) -> None:
    """If the page cannot be made, the run failed, and says why; the reports are kept."""

    def publish(*_: object) -> None:
        raise StorageError("no space left for the page")

    outcome = run_once(store, JOB, replace(World().around, publish=publish))
    assert (outcome.exit, outcome.message) == ("failed", "no space left for the page")
    assert outcome.total("computed") == 1


def test_code_that_changes_ends_the_schedule(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a report's source is not what it was at the start, no run begins: a named error."""
    world, sources = World(stop_at=START + timedelta(days=4)), _code._source
    new = {table6.__name__: b"# pulled"}

    def pulled(_store: Store, _names: Sequence[str]) -> list[Brought]:
        monkeypatch.setattr(_code, "_source", lambda name: new.get(name) or sources(name))
        return [became("table6")]

    world.acts = [pulled]
    with pytest.raises(FstoreError, match="code changed since this process began; restart it"):
        run_schedule(store, NIGHTLY, JOB, around=world.around, catch_up=False)
    assert world.times == ["26 03:00"]
    assert exits(store) == ["ok"]
    assert missed(store, NIGHTLY, JOB, now=world.now)  # a restart makes up for it
