"""Tables as they stood, and what changed between two refreshes: old rows are never lost."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from _build import STUDY, Built, build, put
from _clock import set_clock_back
from fstore.errors import UnknownNameError
from fstore.queries.cells import noted as _history
from fstore.queries.cells.inputs import Inputs
from fstore.queries.cells.noted import last_noted, note_refresh
from fstore.queries.refresh import compute as _run
from fstore.queries.refresh import standing as _standing
from fstore.queries.refresh.driver import brought
from fstore.queries.refresh.history import _same, as_of, changes, last_refresh_span
from fstore.queries.refresh.listing import due, states
from fstore.queries.refresh.show import show_report
from fstore.queries.refresh.standing import look
from fstore.queries.reports import REPORTS, Cell, Need
from fstore.queries.schedule import log as runs
from fstore.queries.schedule.log import ScheduledJob
from fstore.queries.studies.study import Study, parse_study
from fstore.store import Store
from fstore.store.maintenance import Selection, drop
from fstore.types import FloatArray

ONES = np.ones((6, 4, 1), dtype=np.float32)


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store whose table6 has been refreshed once."""
    made = build(tmp_path / "s")
    refreshed(made)
    return made


@pytest.fixture
def study() -> Study:
    """Read its study."""
    return parse_study(STUDY)


def refreshed(built: Built) -> datetime:
    """Refresh the report; return a time after that."""
    list(brought(built.store, parse_study(STUDY), ["table6"]))
    return max(built.store.rows("refreshes")["finished_at"].to_pylist())  # type: ignore[no-any-return]


def replace_fc(built: Built, x: FloatArray | None, weights: str = "5") -> None:
    """Put other responses in the place of a layer's, or none."""
    drop(built.store.place, Selection(layer="fc"))
    if x is not None:
        identity = {"weights": weights, "samples": "s"}
        put(built.store, built.partition("fc"), x.astype(np.float32), identity=identity)


def values_at(built: Built, time: datetime) -> dict[str, float]:
    """Return the values by row, as the table stood."""
    return {row["row"]: row["value"] for row in as_of(built.store, "small", "table6", time=time)}


def test_as_it_stood(built: Built, study: Study) -> None:
    """A table of another time has the rows that were shown at that time, whatever came later."""
    first = refreshed(built)
    shown = show_report(built.store, study, "table6").rows
    replace_fc(built, ONES, "new")
    second = refreshed(built)
    assert as_of(built.store, "small", "table6", time=first) == shown
    assert as_of(built.store, "small", "table6", time=second - timedelta(microseconds=1)) == shown
    assert values_at(built, second)["fc"] == 100 != values_at(built, first)["fc"]
    assert values_at(built, second)["conv1"] == values_at(built, first)["conv1"]


def test_there_and_back(built: Built) -> None:
    """Cells that are reused after a change and back count from then on, though computed before."""
    first = refreshed(built)
    old = values_at(built, first)["fc"]
    replace_fc(built, ONES, "new")
    second = refreshed(built)
    replace_fc(built, built.values["fc"])
    third = refreshed(built)
    assert first < second < third
    assert built.store.rows("reports").num_rows == 3  # the third time computed nothing
    assert [values_at(built, t)["fc"] for t in (first, second, third)] == [old, 100, old]
    (change,) = changes(built.store, "small", start=second, end=third)
    assert (change.old, change.new) == (100, old)


def test_a_cell_that_went(built: Built) -> None:
    """A cell whose inputs were deleted is not in the table any more, and was before."""
    first = refreshed(built)
    replace_fc(built, None)
    second = refreshed(built)
    assert list(values_at(built, second)) == ["conv1"]
    (change,) = changes(built.store, "small", start=first, end=second)
    assert (change.row, change.change, change.new, change.difference) == (
        "fc",
        "disappeared",
        None,
        None,
    )
    assert change.why == "its inputs are gone, or the study does not ask for it"
    (back,) = changes(built.store, "small", start=second, end=first)
    assert (back.change, back.old, back.why) == ("appeared", None, "new cell")


def test_all_data_gone(built: Built) -> None:
    """Without its data set a table is empty from the next refresh on."""
    first = refreshed(built)
    drop(built.store.place, Selection(dataset="d"))
    second = refreshed(built)
    assert (len(values_at(built, first)), len(values_at(built, second))) == (2, 0)


def test_before_the_first_refresh(built: Built) -> None:
    """There is no table before the first refresh: an error says when that was."""
    first = refreshed(built)
    with pytest.raises(UnknownNameError, match=r"was not refreshed before 2000.*; the first time"):
        as_of(built.store, "small", "table6", time=datetime(2000, 1, 1, tzinfo=UTC))
    with pytest.raises(UnknownNameError, match="fstore report refresh table3"):
        as_of(built.store, "small", "table3", time=first)
    with pytest.raises(UnknownNameError, match="no report 'table99'"):
        as_of(built.store, "small", "table99", time=first)
    with pytest.raises(UnknownNameError, match="no refresh of study 'other' is on record"):
        last_refresh_span(built.store, "other")
    with pytest.raises(UnknownNameError, match="no report 'tabel6'"):
        last_refresh_span(built.store, "small", ["tabel6"])


def test_a_refresh_under_way_is_not_seen(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that a refresh stored before it was stopped are no part of any table yet."""
    first = refreshed(built)
    replace_fc(built, ONES, "new")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_run, "note_refresh", stop)
        with pytest.raises(KeyboardInterrupt):
            refreshed(built)
    assert built.store.rows("reports").num_rows == 3
    assert values_at(built, datetime.now(UTC)) == values_at(built, first)
    second = refreshed(built)
    assert built.store.rows("reports").num_rows == 3
    assert values_at(built, second)["fc"] == 100


def failing(monkeypatch: pytest.MonkeyPatch, *fine: str) -> None:
    """Let table6 compute some rows, then fail; all are stale, as its code is another."""
    entry = REPORTS["table6"]

    def bad(store: Store, needs: Sequence[Need]) -> Iterator[tuple[Need, Sequence[Cell]]]:
        if right := [need for need in needs if need.row in fine]:
            yield from entry.function(store, right)
        raise ValueError("no luck")

    bad.__module__ = entry.function.__module__
    monkeypatch.setitem(REPORTS._entries, "table6", replace(entry, function=bad))
    monkeypatch.setattr(_standing, "code_version", lambda *_: "other")


def test_a_cell_that_fails_keeps_no_other_out(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a failing report has stored is in its table, once: a second failure adds nothing."""
    failing(monkeypatch, "conv1")
    counts = []
    for _ in range(2):
        (done,) = brought(built.store, parse_study(STUDY), ["table6"])
        counts.append((done.state, done.computed, done.reused))
        assert done.error.startswith("ValueError: no luck")
        noted = last_noted(built.store, "small")["table6"]["fingerprints"]
        assert code_versions(built, noted)["conv1"] == "other"
    assert counts == [("failed", 1, 0), ("failed", 0, 1)]
    assert built.store.rows("refreshes").num_rows == 2


def code_versions(built: Built, fingerprints: Sequence[str]) -> dict[str, str]:
    """Return which code computed the row of each cell."""
    rows = built.store.rows("reports").to_pylist()
    return {r["row"]: r["code_version"] for r in rows if r["fingerprint"] in fingerprints}


@pytest.mark.parametrize("fine", [("conv1",), ()], ids=["beside one that is computed", "alone"])
def test_a_cell_that_fails_keeps_its_row(
    built: Built, study: Study, monkeypatch: pytest.MonkeyPatch, fine: tuple[str, ...]
) -> None:
    """A failing cell stands as before, in tables of any time, and counts as stale till it works."""
    first = refreshed(built)
    replace_fc(built, ONES, "new")
    before = as_of(built.store, "small", "table6", time=first)
    with monkeypatch.context() as patch:
        failing(patch, *fine)
        (done,) = brought(built.store, study, ["table6"])
        assert done.state == "failed"
        assert as_of(built.store, "small", "table6", time=first) == before
        assert as_of(built.store, "small", "table6", time=datetime.now(UTC)) == before
        (state,) = states(built.store, study, ["table6"])
        stale = [one.row for one in due(built.store, study, ["table6"])]
        assert (state.state, stale) == ("stale", [r for r in ("conv1", "fc") if r not in fine])
        assert [r["row"] for r in look(Inputs.now(built.store), study, "table6").rows] == list(fine)
        assert not list(changes(built.store, "small", start=first, end=datetime.now(UTC)))
        patch.undo()
        patch.setattr(_standing, "code_version", lambda *_: "other")
        second = refreshed(built)
        (change,) = changes(built.store, "small", start=first, end=second)
    assert (change.row, change.change, change.new) == ("fc", "changed", 100)
    assert as_of(built.store, "small", "table6", time=first) == before


def test_a_cell_that_went_while_another_fails(
    built: Built, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell whose inputs are gone leaves the table though another fails, which stays in it."""
    first = refreshed(built)
    replace_fc(built, None)
    failing(monkeypatch)
    (done,) = brought(built.store, study, ["table6"])
    assert (done.state, done.computed) == ("failed", 0)
    assert (list(values_at(built, first)), list(values_at(built, datetime.now(UTC)))) == (
        ["conv1", "fc"],
        ["conv1"],
    )


def test_changes(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed value comes with old, new, difference and all that changed; others do not."""
    first = refreshed(built)
    old = values_at(built, first)["fc"]
    replace_fc(built, ONES, "new")
    monkeypatch.setattr(_standing, "code_version", lambda *_: "other")
    second = refreshed(built)
    (change,) = changes(built.store, "small", ["table6"], start=first, end=second)
    assert (change.report, change.row, change.col) == ("table6", "fc", "nonzero_percent")
    assert (change.change, change.old, change.new) == ("changed", old, 100)
    assert change.difference == pytest.approx(100 - old)
    assert change.why == "code changed; activations of net/5 d.image fc changed"
    assert list(changes(built.store, "small", ["table3"], start=first, end=second)) == []


def test_between_the_last_two_refreshes(built: Built) -> None:
    """The last refresh is the last that changed something: those that found all fresh are none."""
    replace_fc(built, ONES, "new")
    refreshed(built)
    refreshed(built)
    start, end = last_refresh_span(built.store, "small")
    (change,) = changes(built.store, "small", start=start, end=end)
    assert (change.row, change.new) == ("fc", 100)


def test_a_clock_set_back_hides_no_change(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the clock went back, changes come after all that is stored of other reports, too.

    The last refresh is the one that was made last, and a schedule tells what it changed.
    """
    job = ScheduledJob(study="small")
    note_refresh(built.store, "small", "table7", cells=["x"], refresh_id="other")
    since = runs.seen(built.store, job)
    set_clock_back(monkeypatch, _run, _history)
    replace_fc(built, ONES, "new")
    refreshed(built)
    assert runs.changes(built.store, job, since)[0] == {"table6": 1}
    start, end = last_refresh_span(built.store, "small")
    (change,) = changes(built.store, "small", start=start, end=end)
    assert (change.report, change.row, change.new) == ("table6", "fc", 100)


def test_from_the_beginning(built: Built) -> None:
    """Before its first refresh a report has no cells: all of them appear."""
    start, end = last_refresh_span(built.store, "small", ["table6"])
    found = list(changes(built.store, "small", start=start, end=end))
    assert [(c.row, c.change, c.why) for c in found] == [
        ("conv1", "appeared", "new cell"),
        ("fc", "appeared", "new cell"),
    ]


def test_a_value_that_is_no_number() -> None:
    """NaN is the same as NaN, and nothing else is."""
    nan = float("nan")
    assert [_same(nan, nan), _same(nan, 1.0), _same(1.0, 1.0)] == [True, False, True]
