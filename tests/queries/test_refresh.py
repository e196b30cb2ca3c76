"""A refresh computes what is stale, nothing else, once; and says why."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from _build import STUDY, Built, add_checkpoint, build, put
from _clock import set_clock_back
from _kill import run_code, run_with_kills
from _slow import N, computed, slow_entry, slow_study
from _studies import STUDY as WORLD_STUDY
from _studies import StudyWorld, add_samples, make_study
from fstore.errors import DataError, UnknownNameError
from fstore.queries.cells import noted as _history
from fstore.queries.cells.code import code_version
from fstore.queries.publish.exhibits import exhibit
from fstore.queries.refresh import compute as _run
from fstore.queries.refresh import standing as _standing
from fstore.queries.refresh.driver import Brought, brought
from fstore.queries.refresh.listing import due, states
from fstore.queries.refresh.standing import Standing
from fstore.queries.reports import REPORTS, Cell, Need
from fstore.queries.studies.study import Study, parse_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop
from fstore.store.tables import replace_rows
from fstore.types import OnProgress

SOME = ("figure5", "retrieval", "table3", "table6", "table7_accuracy")
"""Reports of the larger store that are quick."""


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store that has all that table6 needs."""
    return build(tmp_path / "s")


@pytest.fixture
def study() -> Study:
    """Read its study."""
    return parse_study(STUDY)


@pytest.fixture
def world(tmp_path: Path) -> StudyWorld:
    """Make a store that has what most reports need."""
    return make_study(tmp_path / "s")


def state(store: Store, study: Study, name: str = "table6") -> tuple[str, str]:
    """Return the state of one report and why."""
    (found,) = states(store, study, [name])
    return found.state, found.why


def outcome(found: Brought) -> tuple[str, int, int]:
    """Return what became of a report, and how many cells were computed and reused."""
    return found.state, found.computed, found.reused


def test_a_second_refresh_computes_nothing(built: Built, study: Study) -> None:
    """What is fresh is left alone, and adds no row to any table."""
    assert state(built.store, study) == ("stale", "2 of 2 cells: new cell")
    (first,) = brought(built.store, study, ["table6"])
    assert outcome(first) == ("computed", 2, 0)
    counts = [built.store.rows(t).num_rows for t in ("reports", "refreshes")]
    (second,) = brought(built.store, study, ["table6"])
    assert outcome(second) == ("fresh", 0, 2)
    assert [built.store.rows(t).num_rows for t in ("reports", "refreshes")] == counts == [2, 1]
    assert state(built.store, study) == ("fresh", "")


def test_what_cells_cost(built: Built, study: Study) -> None:
    """The seconds of a report are those that its cells took, as they are stored."""
    (done,) = brought(built.store, study, ["table6"])
    (found,) = states(built.store, study, ["table6"])
    stored = built.store.rows("reports")["seconds"].to_pylist()
    assert found.seconds == pytest.approx(sum(stored))
    assert 0 < sum(stored) < done.seconds
    assert found.computed_at == max(built.store.rows("reports")["computed_at"].to_pylist())


def test_all_reports_are_looked_at(built: Built, study: Study) -> None:
    """Without names it is all reports: those that the study binds no part of are left out."""
    found = {r.report: r for r in brought(built.store, study)}
    assert list(found) == [entry.name for entry in REPORTS]
    assert outcome(found["table6"]) == ("computed", 2, 0)
    assert found["figure1"].state == "left out"
    assert "says nothing of 'detection'" in found["figure1"].error
    assert state(built.store, study, "figure1")[0] == "left out"


def test_names(built: Built, study: Study) -> None:
    """An unknown name is an error before anything is computed; one twice counts once."""
    for ask in (brought, states, due):
        with pytest.raises(UnknownNameError, match="no report 'table99'"):
            ask(built.store, study, ["table6", "table99"])
    assert built.store.rows("reports").num_rows == 0
    assert len(list(brought(built.store, study, ["table6", "table6"]))) == 1


# Why


def test_code_of_one_report(world: StudyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed code of one report stales its cells and no others."""
    list(brought(world.store, world.study, SOME))
    changed = {"fstore.queries.reports.table6": "other"}
    monkeypatch.setattr(_standing, "code_version", lambda *m: changed.get(m[0]) or code_version(*m))
    assert {(d.report, d.row, d.why) for d in due(world.store, world.study, SOME)} == {
        ("table6", "conv5", "code changed"),
        ("table6", "fc7", "code changed"),
    }
    found = {r.report: r.computed for r in brought(world.store, world.study, SOME)}
    assert found == dict.fromkeys(SOME, 0) | {"table6": 2}


def test_a_new_checkpoint_adds_its_cells(world: StudyWorld) -> None:
    """One checkpoint more in the sweep computes its cells, a layer each, and nothing else."""
    list(brought(world.store, world.study, SOME))
    before = set(world.store.rows("reports")["fingerprint"].to_pylist())
    add_checkpoint(world.store, "net", "50k")
    for layer in ("conv5", "fc7"):
        x = world.values["d", "15k", layer]
        put(world.store, Partition("net", "50k", "d", "image", layer), x)
    more = parse_study(WORLD_STUDY.replace('"15k"]', '"15k", "50k"]'))
    assert {(d.report, d.row, d.col, d.why) for d in due(world.store, more, SOME)} == {
        ("table3", "conv5", "50k", "new cell"),
        ("table3", "fc7", "50k", "new cell"),
    }
    found = {r.report: outcome(r) for r in brought(world.store, more, SOME)}
    assert found.pop("table3") == ("computed", 2, 4)
    assert {(s, n) for s, n, _ in found.values()} == {("fresh", 0)}
    rows = world.store.rows("reports").to_pylist()
    new = {r["fingerprint"]: r["col"].split(":")[0] for r in rows}
    assert [new[f] for f in new.keys() - before] == ["50k", "50k"]


def test_a_new_data_set_adds_its_cells(world: StudyWorld) -> None:
    """A part that is bound later computes the cells that read it, and nothing else."""
    without = parse_study(WORLD_STUDY[: WORLD_STUDY.index("[scenes]")])
    first = {r.report: r.computed for r in brought(world.store, without, SOME)}
    second = {r.report: outcome(r) for r in brought(world.store, world.study, SOME)}
    assert first["table7_accuracy"] == 2  # the pre-training set, with and without sp-max
    assert second.pop("table7_accuracy") == ("computed", 6, 2)  # conv5 4 ablations, fc7 2
    assert {(s, n) for s, n, _ in second.values()} == {("fresh", 0)}


def test_labels(world: StudyWorld) -> None:
    """Other labels of the same samples stale what looks at labels, and not what does not."""
    names = ("retrieval", "table6")
    list(brought(world.store, world.study, names))
    drop(world.store.place, Selection(dataset="d"))
    add_samples(world.store, "d", world.Y["d"][::-1], world.parts["d"])
    for (dataset, ckpt, layer), x in world.values.items():
        if dataset == "d":
            put(world.store, Partition("net", ckpt, dataset, "image", layer), x)
    assert state(world.store, world.study, "table6") == ("fresh", "")
    why = "1 of 1 cells: labels of d.image changed"
    assert state(world.store, world.study, "retrieval") == ("stale", why)
    assert [r.computed for r in brought(world.store, world.study, names)] == [1, 0]


def test_activations(built: Built, study: Study) -> None:
    """New content of one layer stales its cell, and the reason names it."""
    list(brought(built.store, study, ["table6"]))
    replace_fc(built, np.ones((6, 4, 1), dtype=np.float32))
    why = "1 of 2 cells: activations of net/5 d.image fc changed"
    assert state(built.store, study) == ("stale", why)
    (found,) = due(built.store, study, ["table6"])
    assert (found.row, found.why) == ("fc", "activations of net/5 d.image fc changed")


def test_weights_and_parameters(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights under the same name, and another parameter, are named with their values."""
    from fstore.queries.cells.needs import Need, Weights

    def needs(seed: int) -> None:
        need = Need("0", "", (), (("seed", seed),), (Weights("net", "5"),))
        entry = slow_entry(lambda: None)
        entry.meta["needs"] = lambda _store, _study: [need]
        monkeypatch.setitem(REPORTS._entries, "slow", entry)

    needs(0)
    list(brought(built.store, slow_study(), ["slow"]))
    drop(built.store.place, Selection(ckpt="5"), checkpoint=True)
    assert state(built.store, slow_study(), "slow")[0] == "missing inputs"
    rename_checkpoint(built.store, "6", "5")
    needs(1)
    why = "1 of 1 cells: weights of net/5 changed (1); parameter seed changed from 0 to 1 (1)"
    assert state(built.store, slow_study(), "slow") == ("stale", why)


def rename_checkpoint(store: Store, other: str, name: str) -> None:
    """Register the weights of one name under another."""
    from fstore.types import CheckpointRecord

    weights = store.path.parent / "w.safetensors"
    weights.write_text(other)
    store.register_checkpoint(CheckpointRecord("net", name, sha256=f"net{other}" * 16), weights)


def test_rewritten_files_stale_nothing(built: Built, study: Study) -> None:
    """The same rows in other files, as compaction leaves them, are nothing new."""
    list(brought(built.store, study, ["table6"]))
    drop(built.store.place, Selection(layer="fc"))
    for ids in ([0, 1, 2, 3], [4, 5]):
        x = built.values["fc"][ids]
        put(built.store, built.partition("fc"), x, sample_ids=ids)
    assert state(built.store, study) == ("fresh", "")


def replace_fc(built: Built, x: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> None:
    """Put other responses in the place of a layer's."""
    drop(built.store.place, Selection(layer="fc"))
    identity = {"weights": "5" if x is built.values["fc"] else "new", "samples": "s"}
    put(built.store, built.partition("fc"), x, identity=identity)


def test_the_last_of_several(built: Built, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that was computed twice from the same inputs counts as of the later time."""
    list(brought(built.store, study, ["table6"]))
    old = built.store.rows("reports").to_pylist()
    monkeypatch.setattr(_standing, "code_version", lambda *_: "other")
    list(brought(built.store, study, ["table6"]))
    later = [row | {"computed_at": datetime.now(UTC)} for row in old]
    built.store.append("reports", later)  # as where no locks are known
    replace_fc(built, np.ones((6, 4, 1), dtype=np.float32))
    monkeypatch.undo()
    why = "1 of 2 cells: activations of net/5 d.image fc changed"
    assert state(built.store, study) == ("stale", why)


# Missing inputs


def test_a_deleted_partition(built: Built, study: Study) -> None:
    """Its cell is missed, with the command; put back, it is there again and nothing is computed."""
    list(brought(built.store, study, ["table6"]))
    drop(built.store.place, Selection(layer="fc"))
    (found,) = states(built.store, study, ["table6"])
    command = "fstore extract --layer fc --ckpt net/5 --dataset d --view image"
    command += f" --store {built.store.path}"
    assert (found.state, found.commands) == ("missing inputs", (command,))
    assert found.why == "no fc: no activations of d.image at net/5"
    (done,) = brought(built.store, study, ["table6"])
    assert outcome(done) == ("missing inputs", 0, 1)
    assert [m.command for m in done.missing] == [command]
    (lacking,) = due(built.store, study, ["table6"])
    assert (lacking.state, lacking.row, lacking.command) == ("missing inputs", "fc", command)
    put(built.store, built.partition("fc"), built.values["fc"])
    (done,) = brought(built.store, study, ["table6"])
    assert outcome(done) == ("fresh", 0, 2)


def test_data_sets_that_are_not_registered(built: Built) -> None:
    """The command registers the data set, with the format of the study file, or its split."""
    making = '[[make.datasets]]\nname = "e"\nformat = "voc"\nroot = "r"\n'
    other = '\n[pretrain]\ndataset = "random"'  # the name of the split that is not there
    commands = {
        STUDY.replace('"d"', '"f"'): "fstore dataset add f --format FORMAT",
        STUDY.replace('"d"', '"e"') + making: "fstore dataset add e --format voc --root r",
        STUDY + 'split = "random"\nseeds = [3, 4]' + other: (
            f"fstore dataset add d --format '' --root {built.store.path / 'x'} --seeds 3,4"
        ),
    }
    for toml, command in commands.items():
        (found,) = states(built.store, parse_study(toml), ["table6"])
        expected = f"{command} --store {built.store.path}"
        assert (found.state, found.commands) == ("missing inputs", (expected,))
        (done,) = brought(built.store, parse_study(toml), ["table6"])
        assert (done.state, done.missing[0].command) == ("missing inputs", expected)


def test_whoever_watches(built: Built, study: Study) -> None:
    """A watcher sees how each report stands before it is computed, and what is done meanwhile."""
    stood, told, left = [], [], []

    @contextmanager
    def watch(name: str, standing: Standing) -> Iterator[OnProgress]:
        stood.append((name, standing.state))
        yield lambda *words: told.append(words[:3])
        left.append(name)

    for compute in (False, True, True):
        list(brought(built.store, study, ["table6", "figure1"], compute=compute, watch=watch))
    # figure1 is left out: there is nothing to watch
    assert stood == [("table6", "stale"), ("table6", "stale"), ("table6", "fresh")]
    assert told == [("table6", 1, 2), ("table6", 2, 2)]
    assert left == ["table6"] * 3


# What goes wrong


def test_only_what_is_not_bound_is_left_out(
    world: StudyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unfit data fail their report, in a refresh, a list and a page: it is not left out."""

    def unfit(*_: object) -> None:
        raise DataError("data sets differ in their classes")

    monkeypatch.setitem(REPORTS["table6"].meta, "needs", unfit)
    (found,) = brought(world.store, world.study, ["table6"])
    assert (found.state, found.error) == ("failed", "data sets differ in their classes")
    assert state(world.store, world.study) == ("failed", "data sets differ in their classes")
    (seen,) = brought(world.store, world.study, ["table6"], compute=False)
    assert exhibit(world.store, world.study, seen).state == "failed"


@pytest.mark.parametrize("error", [DataError("no such luck"), ZeroDivisionError("no such luck")])
def test_an_error_stops_its_report_only(
    world: StudyWorld, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A report that fails says so; those after it are computed."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("fstore.queries.methods.retrieval.cosine_similarity", fail)
    found = {r.report: r for r in brought(world.store, world.study, ["retrieval", "table6"])}
    assert found["retrieval"].state == "failed"
    assert "no such luck" in found["retrieval"].error
    assert outcome(found["table6"]) == ("computed", 2, 0)


def test_an_error_loses_no_cell(store_of_slow: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that were done before an error are stored, and not computed again."""
    left = iter([None] * 3)
    monkeypatch.setitem(REPORTS._entries, "slow", slow_entry(lambda: next(left)))
    (found,) = brought(store_of_slow, slow_study(), ["slow"])
    assert outcome(found) == ("failed", 3, 0)
    monkeypatch.setitem(REPORTS._entries, "slow", slow_entry(lambda: None))
    (found,) = brought(store_of_slow, slow_study(), ["slow"])
    assert outcome(found) == ("computed", N - 3, 3)
    assert len(computed(store_of_slow)) == N


def test_a_clock_that_goes_back(
    built: Built, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done later counts as later, whatever the clock says."""
    list(brought(built.store, study, ["table6"]))
    set_clock_back(monkeypatch, _run, _history)
    replace_fc(built, np.ones((6, 4, 1), dtype=np.float32))
    (found,) = brought(built.store, study, ["table6"])
    assert outcome(found) == ("computed", 1, 1)
    (found,) = brought(built.store, study, ["table6"])
    assert outcome(found) == ("fresh", 0, 2)
    times = built.store.rows("refreshes")["finished_at"].to_pylist()
    assert len(times) == len(set(times)) == 2
    last = max(built.store.rows("refreshes").to_pylist(), key=lambda row: row["finished_at"])
    latest = max(built.store.rows("reports").to_pylist(), key=lambda row: row["computed_at"])
    assert (latest["row"], latest["value"]) == ("fc", 100)
    assert latest["fingerprint"] in last["fingerprints"]


def test_inputs_that_change_meanwhile(
    built: Built, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell whose inputs change while it is computed is not stored: the next refresh has it right.

    The other cell is stored; a value of new inputs never stands under a fingerprint of old ones.
    """
    entry = REPORTS["table6"]

    def meanwhile(store: Store, needs: Sequence[Need]) -> Iterator[tuple[Need, Sequence[Cell]]]:
        replace_fc(built, np.ones((6, 4, 1), dtype=np.float32))
        yield from entry.function(store, needs)

    meanwhile.__module__ = entry.function.__module__
    with monkeypatch.context() as patch:
        patch.setitem(REPORTS._entries, "table6", replace(entry, function=meanwhile))
        (found,) = brought(built.store, study, ["table6"])
    assert found.state == "failed"
    expected = "inputs of fc nonzero_percent changed while it was computed; refresh again"
    assert found.error == expected
    assert built.store.rows("reports")["row"].to_pylist() == ["conv1"]
    replace_fc(built, built.values["fc"])  # as it was
    (found,) = brought(built.store, study, ["table6"])
    assert outcome(found) == ("computed", 1, 1)
    rows = {row["row"]: row["value"] for row in built.store.rows("reports").to_pylist()}
    assert rows["fc"] == pytest.approx(100 * np.mean(built.values["fc"][3:] != 0))


def test_what_changes_while_another_report_is_computed(built: Built, study: Study) -> None:
    """A report that goes stale while an earlier one is computed is computed, not called fresh."""
    more = parse_study(STUDY.replace("[class", 'top_layer = "fc"\n[class'))
    list(brought(built.store, study, ["table6"]))
    ones = np.ones((6, 4, 1), dtype=np.float32)
    found = brought(
        built.store,
        more,
        ["retrieval", "table6"],
        on_progress=lambda what, *_: replace_fc(built, ones) if what == "retrieval" else None,
    )
    assert [(r.report, r.state) for r in found] == [("retrieval", "failed"), ("table6", "computed")]
    assert state(built.store, study) == ("fresh", "")


def test_a_report_that_is_back_is_not_emptied(
    world: StudyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set that was gone when a refresh began, and is back, costs its report no cell."""
    store, splits = world.store, world.store.rows("splits", dataset="d")
    list(brought(store, world.study, ["table6"]))
    replace_rows(store.place, "splits", splits.slice(0, 0), dataset="d")
    locked = _run._alone_at

    def back(*given: Any, **named: Any) -> AbstractContextManager[None]:  # noqa: ANN401
        replace_rows(store.place, "splits", splits, dataset="d")
        return locked(*given, **named)

    monkeypatch.setattr("fstore.queries.refresh.compute._alone_at", back)
    (found,) = brought(store, world.study, ["table6"])
    assert outcome(found) == ("fresh", 0, 2)
    assert store.rows("refreshes").num_rows == 1


# Several at once, and killed


@pytest.fixture
def store_of_slow(tmp_path: Path) -> Store:
    """Make an empty store: the slow report needs nothing."""
    return Store.create(tmp_path / "s")


KILLED = """
import sys
from pathlib import Path
from _slow import add_slow, slow_study
from fstore.queries.refresh.driver import brought
from fstore.queries.refresh import compute as _run
from fstore.store import Store
_run.COMMIT_SECONDS = 0
add_slow()
(found,) = brought(Store.open(sys.argv[1]), slow_study(), ["slow"])
assert found.state == "computed", found
"""


@pytest.mark.slow
def test_killed_refreshes_go_on(store_of_slow: Store, seed: int) -> None:
    """After some kills every cell is stored once, and at most one a kill was computed twice.

    The last run gets the lock, though those that held it were killed.
    """
    kills = 2
    run_with_kills(KILLED, store_of_slow.path, kills=kills, longest=2, seed=seed)
    rows = store_of_slow.rows("reports")["row"].to_pylist()
    assert sorted(rows) == sorted(map(str, range(N)))
    assert N <= len(computed(store_of_slow)) <= N + kills


def test_two_at_once(store_of_slow: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the report that the first computes, says so, and finds it fresh."""
    begun, waits = Event(), Event()

    def wait() -> None:
        begun.set()
        assert waits.wait(60), "nobody waits"

    monkeypatch.setitem(REPORTS._entries, "slow", slow_entry(wait))
    told = []

    def tell(name: str) -> None:
        told.append(name)
        waits.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: list(brought(store_of_slow, slow_study(), ["slow"])))
        assert begun.wait(60)
        again = brought(Store.open(store_of_slow.path), slow_study(), ["slow"], on_wait=tell)
        second = pool.submit(list, again)
        found = [outcome(f.result()[0]) for f in (first, second)]
    assert found == [("computed", N, 0), ("fresh", 0, N)]
    assert set(told) == {"slow"}
    assert len(computed(store_of_slow)) == store_of_slow.rows("reports").num_rows == N


@pytest.mark.slow
def test_two_processes_at_once(store_of_slow: Store) -> None:
    """Processes that start together compute every cell once."""
    with ThreadPoolExecutor(2) as pool:
        code = KILLED.replace('== "computed"', 'in ("computed", "fresh")')
        list(pool.map(lambda _: run_code(code, store_of_slow.path), range(2)))
    assert sorted(computed(store_of_slow)) == sorted(map(str, range(N)))
