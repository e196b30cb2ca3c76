"""A refresh whose cells others compute stores the same cells, whatever becomes of the workers."""

import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from _build import put
from _cells import Cells, numbers
from _slow import N, slow_entry, slow_study
from _studies import StudyWorld, make_study
from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.queries.refresh import elsewhere as _elsewhere
from fstore.queries.refresh.driver import Brought, brought
from fstore.queries.refresh.elsewhere import Elsewhere, Executor
from fstore.queries.refresh.standing import State
from fstore.queries.refresh.task import Task, run_task
from fstore.queries.reports import REPORTS, Cell, Need
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop

SOME = ("figure1", "retrieval", "table5", "table6")
"""Reports that are quick; the cells of table6 are computed together."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Make a store that has what most reports need, which no test changes."""
    return make_study(tmp_path_factory.mktemp("made") / "s")


@pytest.fixture
def world(made: StudyWorld, tmp_path: Path) -> StudyWorld:
    """Return a copy of it."""
    return copy_of(made, tmp_path / "s")


@pytest.fixture
def other(made: StudyWorld, tmp_path: Path) -> StudyWorld:
    """Return another copy."""
    return copy_of(made, tmp_path / "other")


def copy_of(world: StudyWorld, path: Path) -> StudyWorld:
    """Copy a store and what is known of it."""
    shutil.copytree(world.store.path, path)
    return replace(world, store=Store.open(path))


@pytest.fixture
def empty_store(tmp_path: Path) -> Store:
    """Make an empty store: the slow report needs nothing."""
    return Store.create(tmp_path / "s")


@contextmanager
def pool() -> Iterator[Executor]:
    """Give threads as workers."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


@dataclass
class Held:
    """Runs nothing before a number of tasks is there, and then the last of them first."""

    n: int
    tasks: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = field(
        default_factory=list
    )

    def submit(self, function: Callable[..., Any], /, *given: Any) -> Future[Any]:  # noqa: ANN401
        """Take a task; run all if they are complete."""
        future: Future[Any] = Future()
        self.tasks.append((future, function, given))
        if len(self.tasks) >= self.n:
            while self.tasks:
                later, call, arguments = self.tasks.pop()
                later.set_result(call(*arguments))
        return future


@dataclass
class Losing:
    """Loses some tasks, as a cluster does whose workers die more often than it tries again."""

    lost: set[int]
    seen: int = 0

    def submit(self, function: Callable[..., Any], /, *given: Any) -> Future[Any]:  # noqa: ANN401
        """Run a task at once, or not at all."""
        future: Future[Any] = Future()
        if self.seen in self.lost:
            future.set_exception(ConnectionError("the worker is gone"))
        else:
            future.set_result(function(*given))
        self.seen += 1
        return future


def of(executor: Executor) -> Elsewhere:
    """Return what has cells computed by an executor that is there already."""

    @contextmanager
    def given() -> Iterator[Executor]:
        yield executor

    return Elsewhere(given)


def outcomes(done: Sequence[Brought]) -> list[tuple[str, str, int, int]]:
    """Return what became of reports."""
    return [(d.report, d.state, d.computed, d.reused) for d in done]


def test_the_same_cells(world: StudyWorld, other: StudyWorld) -> None:
    """Workers give the numbers of this process, bit for bit, and the same history and outcome."""
    here = outcomes(list(brought(other.store, other.study, SOME)))
    elsewhere = Elsewhere(pool)
    there = outcomes(list(brought(world.store, world.study, SOME, elsewhere=elsewhere)))
    assert there == here
    assert numbers(world.store) == numbers(other.store)
    assert sum(w.needs for w in elsewhere.work.values()) == sum(d[2] for d in here)
    histories = [
        {r["report"]: r["fingerprints"] for r in s.rows("refreshes").to_pylist()}
        for s in (world.store, other.store)
    ]
    assert histories[0] == histories[1]


def test_out_of_order(world: StudyWorld, other: StudyWorld) -> None:
    """Cells that come last first are stored as their own, and listed in the report's order."""
    (here,) = brought(other.store, other.study, ["figure1"])
    (done,) = brought(world.store, world.study, ["figure1"], elsewhere=of(Held(here.computed)))
    assert [(r["row"], r["col"], r["value"]) for r in done.rows] == [
        (r["row"], r["col"], r["value"]) for r in here.rows
    ]


def test_all_reports_are_sent_at_once(world: StudyWorld) -> None:
    """No worker waits for the last cell of one report before it begins the next."""
    # as many tasks as there are stale cells, of table6 one for both: a barrier would never end
    stale = sum(
        1 if d.report == "table6" else len(d.standing.stale)
        for d in brought(world.store, world.study, SOME, compute=False)
    )
    held = Held(stale)
    done = list(brought(world.store, world.study, SOME, elsewhere=of(held)))
    assert {d.state for d in done} == {State.COMPUTED}


def test_lost_tasks(world: StudyWorld) -> None:
    """A cell whose worker is lost fails its report; the others are stored, and it is done later."""
    losing = of(Losing(lost={1, 3}))
    (done,) = brought(world.store, world.study, ["figure1"], elsewhere=losing)
    assert (done.state, done.computed) == (State.FAILED, 2)
    assert "the worker is gone" in done.error
    (again,) = brought(world.store, world.study, ["figure1"], elsewhere=Elsewhere(pool))
    assert outcomes([again]) == [("figure1", State.COMPUTED, 2, 2)]


def test_an_error_in_a_cell(empty_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that fails keeps no other from being computed, before or after it."""
    entry = slow_entry(lambda: None)

    def unfit(store: Store, needs: Sequence[Need]) -> Iterator[tuple[Need, Sequence[Cell]]]:
        if any(need.row == "2" for need in needs):
            raise UnknownNameError("no such luck", dataset="d")
        yield from entry.function(store, needs)

    unfit.__module__ = entry.function.__module__
    monkeypatch.setitem(REPORTS._entries, "slow", replace(entry, function=unfit))
    (done,) = brought(empty_store, slow_study(), ["slow"], elsewhere=Elsewhere(pool))
    assert (done.state, done.computed, done.error) == (State.FAILED, N - 1, "no such luck")
    assert isinstance(done.raised, UnknownNameError)
    assert done.raised.dataset == "d"  # what a class carries beside its message comes along
    monkeypatch.setitem(REPORTS._entries, "slow", entry)
    (again,) = brought(empty_store, slow_study(), ["slow"], elsewhere=Elsewhere(pool))
    assert (again.state, again.computed, again.reused) == (State.COMPUTED, 1, N - 1)


class StubbornError(Exception):
    """An error that cannot be sent: it is made of more than its message."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def test_an_error_that_cannot_be_sent(empty_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that pickle cannot make again arrives as one that says the same."""

    def fail() -> None:
        raise StubbornError(1, 2)

    monkeypatch.setitem(REPORTS._entries, "slow", slow_entry(fail))
    (done,) = brought(empty_store, slow_study(), ["slow"], elsewhere=Elsewhere(pool))
    assert "StubbornError: 1 and 2" in done.error


def change_boxes(world: StudyWorld) -> None:
    """Put other responses in the place of those that the second cell of table5 reads."""
    place = Partition("net", "15k", "g", "gt", "conv5")
    drop(world.store.place, Selection(ckpt="15k", dataset="g", layer="conv5"))
    changed = world.values["g", "15k", "conv5"][::-1]
    put(world.store, place, changed, identity={"weights": "new"})


def test_inputs_that_change_after_sending(world: StudyWorld, other: StudyWorld) -> None:
    """A cell that was sent and whose inputs changed before its turn is computed again."""
    change_boxes(other)
    expected = numbers_of(other, ["table5"])
    done: list[Brought] = []
    # each task is computed as it is sent: from what is there before the first report is over
    sent = of(Losing(lost=set()))
    for result in brought(world.store, world.study, ["retrieval", "table5"], elsewhere=sent):
        if not done:
            change_boxes(world)
        done.append(result)
    assert done[1].state is State.COMPUTED
    cells = {k: v for k, v in numbers(world.store).items() if k[0] == "table5"}
    assert cells == expected


def numbers_of(world: StudyWorld, names: Sequence[str]) -> Cells:
    """Compute reports in this process, and return their cells."""
    list(brought(world.store, world.study, names))
    return numbers(world.store)


def test_inputs_that_change_before_the_worker_reads(
    world: StudyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that sees other inputs than it was sent for computes nothing, and says so."""
    computing = _elsewhere.Sent.collect

    def late(sent: _elsewhere.Sent, *given: Any) -> Iterator[Any]:  # noqa: ANN401
        change_boxes(world)
        return computing(sent, *given)

    held = Held(2)
    monkeypatch.setattr(_elsewhere.Sent, "collect", late)
    monkeypatch.setattr(_elsewhere.Sent, "send", _sent_late(_elsewhere.Sent.send))
    (done,) = brought(world.store, world.study, ["table5"], elsewhere=of(held))
    assert (done.state, done.computed) == (State.FAILED, 1)
    assert "sees other inputs of finetuned" in done.error
    assert {row for _, row, _ in numbers(world.store)} == {"pretrained 50%", "pretrained 90%"}


def _sent_late(send: Callable[..., None]) -> Callable[..., None]:
    """Return ``send``, but for the first call: nothing is sent ahead."""
    calls = iter(range(1 << 20))

    def second(*given: Any) -> None:  # noqa: ANN401
        if next(calls):
            send(*given)

    return second


def test_a_worker_with_other_code(world: StudyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker on which another version of fstore is installed computes nothing."""

    def elsewhere_run(task: Task) -> Any:  # noqa: ANN401
        stamps = {n: {**s, "code_version": "of another"} for n, s in task.stamps.items()}
        return run_task(replace(task, stamps=stamps))

    monkeypatch.setattr(_elsewhere, "run_task", elsewhere_run)
    (done,) = brought(world.store, world.study, ["table6"], elsewhere=Elsewhere(pool))
    assert (done.state, done.computed) == (State.FAILED, 0)
    assert "has another version of fstore's code for table6; install the same" in done.error


def test_a_worker_without_the_store(world: StudyWorld, tmp_path: Path) -> None:
    """A node that has no store under that path says which, and what it missed."""
    stamps = next(iter(brought(world.store, world.study, ["table6"], compute=False)))
    answer = run_task(Task(str(tmp_path / "nowhere"), "table6", stamps.standing.stale))
    assert answer.results == {}
    assert isinstance(answer.error, FstoreError)
    assert "nowhere" in str(answer.error)


def test_nothing_stale_opens_nothing(world: StudyWorld) -> None:
    """A refresh that finds nothing to compute starts no cluster; nor does one that only looks."""
    list(brought(world.store, world.study, SOME))

    def never() -> Any:  # noqa: ANN401
        raise AssertionError("opened")

    for compute in (True, False):
        done = brought(world.store, world.study, SOME, compute=compute, elsewhere=Elsewhere(never))
        assert {d.state for d in done} == {State.FRESH}


def test_what_is_slow_does_not_hold_up_what_is_done(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell is stored some seconds after it came, also where no other comes for long."""
    from fstore.queries.refresh import compute

    monkeypatch.setattr(_elsewhere, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(compute, "COMMIT_SECONDS", 0.01)
    stored: list[int] = []

    @dataclass
    class LastWaits:
        """Gives its last cell when the others are stored."""

        held: list[Any] = field(default_factory=list)

        def submit(self, function: Callable[..., Any], /, *given: Any) -> Future[Any]:  # noqa: ANN401
            future: Future[Any] = Future()
            self.held.append(future)
            answer = function(*given)
            if len(self.held) < N:
                future.set_result(answer)
            else:
                watching.submit(until_stored, future, answer)
            return future

    def until_stored(future: Future[Any], answer: object) -> None:
        while empty_store.rows("reports").num_rows < N - 1:
            pass
        stored.append(empty_store.rows("reports").num_rows)
        future.set_result(answer)

    monkeypatch.setitem(REPORTS._entries, "slow", slow_entry(lambda: None))
    with ThreadPoolExecutor(1) as watching:
        (done,) = brought(empty_store, slow_study(), ["slow"], elsewhere=of(LastWaits()))
    assert (done.computed, stored) == (N, [N - 1])


def test_an_interruption_gives_up_what_was_sent(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C keeps what was computed, and what was not begun is given up."""
    monkeypatch.setitem(REPORTS._entries, "slow", slow_entry(lambda: None))
    futures: list[Future[Any]] = []

    class Three:
        """Computes three cells, and leaves the others."""

        def submit(self, function: Callable[..., Any], /, *given: Any) -> Future[Any]:  # noqa: ANN401
            future: Future[Any] = Future()
            futures.append(future)
            if len(futures) <= 3:
                future.set_result(function(*given))
            return future

    def stop(_what: str, done: int, _total: int, _note: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(brought(empty_store, slow_study(), ["slow"], elsewhere=of(Three()), on_progress=stop))
    assert empty_store.rows("reports").num_rows == 3
    assert sum(f.cancelled() for f in futures) == N - 3
    (again,) = brought(empty_store, slow_study(), ["slow"], elsewhere=Elsewhere(pool))
    assert (again.computed, again.reused) == (N - 3, 3)


def test_a_cluster_that_is_not_there(world: StudyWorld) -> None:
    """What keeps the executor from being opened is the error of the refresh, not of each report."""

    def unreachable() -> Any:  # noqa: ANN401
        raise DataError("no cluster at that address")

    with pytest.raises(DataError, match="no cluster at that address"):
        list(brought(world.store, world.study, SOME, elsewhere=Elsewhere(unreachable)))
    assert world.store.rows("reports").num_rows == 0


def test_every_report_can_be_sent() -> None:
    """Needs are plain values that pickle makes again, equal and with the same hash."""
    from fstore.queries.cells.needs import Reading, Weights
    from fstore.store.parts import Samples

    reading = Reading("net", "5", "fc", Samples("d", "image", "official", 0, "test"))
    need = Need("a", "b", (reading,), (("x", 1.5),), (Weights("net", "5"),))
    again = pickle.loads(pickle.dumps(need))  # noqa: S301 - made in the line itself
    assert again == need
    assert hash(again) == hash(need)
    assert Task("s", "r", {again: {}}).stamps[need] == {}
